"""`edge-experts transfer`: every policy on every market."""

from __future__ import annotations

import argparse

from edge_experts.envs import load_scenario, shipped_ids
from edge_experts.envs.io.command_line import at_least, new_file

from ...arguments import add_trust, write_json
from ...heuristics.policy_spec import find_policies

HELP = "measure policies on markets that they were not trained on"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("policies", nargs="+", metavar="[NAME=]POLICY|CHECKPOINT")
    command.add_argument("--envs", nargs="+", metavar="ID|YAML", help="all shipped scenarios by default")
    command.add_argument("--twins", action="store_true", help="the held-out twins of each, too")
    command.add_argument("--explore", action="store_true", help="checkpoints draw their actions")
    add_trust(command)
    command.add_argument(
        "--episodes", type=at_least(1), metavar="N", help="as many as floor and reference were measured on, by default"
    )
    command.add_argument("--json", type=new_file(), metavar="F", help="write the result to a file")


def run(arguments: argparse.Namespace) -> None:
    """Play all on all, print the table, write what was asked for."""
    from tqdm import tqdm

    from ...evaluation.transfer import transfer, transfer_table

    envs = arguments.envs or shipped_ids()
    policies = find_policies(arguments.policies, load_scenario(envs[0]), arguments.explore, False, arguments.trust)
    with tqdm(total=len(policies) * len(envs), unit="market", disable=None) as bar:

        def note(text: str) -> None:
            bar.set_description(text, refresh=False)
            bar.update()

        result = transfer(policies, envs, arguments.twins, arguments.episodes, note)
    print(transfer_table(result))
    write_json(arguments.json, result)
