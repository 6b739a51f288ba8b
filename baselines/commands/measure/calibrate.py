"""`edge-experts calibrate`: measure the floor, the reference and all heuristics of scenarios."""

from __future__ import annotations

import argparse

from edge_experts.envs import heldout_ids, shipped_ids
from edge_experts.envs.io.command_line import at_least, new_file

from ...arguments import write_json

HELP = "measure the floor, the reference and all heuristics of scenarios"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("envs", nargs="*", metavar="ID|YAML", help="all shipped scenarios by default")
    command.add_argument("--episodes", type=at_least(2), default=200, metavar="N", help="of each policy")
    command.add_argument(
        "--heldout",
        action="store_true",
        help="also the held-out twins, by the main heuristics, on a quarter of the episodes",
    )
    command.add_argument(
        "--references",
        type=new_file(),
        metavar="F",
        help="also store floor and reference for `rllib train` here; what is stored already, of as many episodes or "
        "more and of the same policies, is not played again",
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure scenario after scenario, and store their references if asked to."""
    from ...evaluation.calibration import calibrate, is_stored, read_references, reference_of
    from ...evaluation.score_table import score_table

    references = read_references(arguments.references)
    envs = arguments.envs or shipped_ids()
    twins = [twin for env in envs for twin in heldout_ids(env)] if arguments.heldout else []
    for env in (*envs, *twins):
        quick = env in twins
        episodes = max(2, arguments.episodes // 4) if quick else arguments.episodes
        if is_stored(env, references, episodes, quick):
            print(f"{env}: stored already")
            continue
        results = calibrate(env, episodes, quick)
        print(f"{env}\n{score_table(results)}\n", flush=True)
        references.update(reference_of(results))
        write_json(arguments.references, references)
