"""`edge-experts tune`: search an algorithm's settings, and keep a record of every trial."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from edge_experts.envs.io.command_line import at_least, existing_file
from edge_experts.envs.registry import is_market

from ...bench.tune import load_search, search_settings, try_settings
from ...markdown import table

HELP = "search an algorithm's settings, and keep a record of every trial"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("--algo", required=True, metavar="NAME", help="a preset")
    command.add_argument("--envs", nargs="+", metavar="ID", help="where; those of the search by default")
    command.add_argument("--trials", type=at_least(1), metavar="N", help="together with those recorded before")
    command.add_argument("--steps", type=at_least(1), metavar="N", help="environment steps of a trial and environment")
    command.add_argument("--episodes", type=at_least(1), metavar="N", help="that a trial is scored on")
    command.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="of training and of the search")
    command.add_argument("--search", type=existing_file, metavar="YAML", help="a search of your own")
    command.add_argument("--results", type=Path, default=Path("results") / "tune", metavar="D", help="where trials go")


def run(arguments: argparse.Namespace) -> None:
    """Try, record, and say what was best."""
    search = load_search(arguments.search)
    for env in arguments.envs or ():
        if not is_market(env):
            raise ValueError(f"--envs: '{env}' is not one of ours, so nothing is known to score it by")
    given = {name: getattr(arguments, name) for name in ("envs", "trials", "steps", "episodes")}
    search = replace(search, **{name: value for name, value in given.items() if value is not None})
    search.space(arguments.algo)
    file = arguments.results / f"{arguments.algo}.jsonl"

    def score(drawn: Mapping[str, Any]) -> dict[str, Any]:
        found = attempt(drawn)
        print(f"{found['score']:.3f}  {json.dumps(drawn) if drawn else 'the preset as it is'}", flush=True)
        return found

    attempt = partial(try_settings, arguments.algo, search, Path("runs") / "tune", seed=arguments.seed)
    trials = search_settings(arguments.algo, search, file, score, arguments.seed)
    ranked = sorted(enumerate(trials), key=lambda pair: -pair[1]["score"])
    rows = [[str(n), f"{t['score']:.3f}", f"{t['cpu_time_s']:.0f}", json.dumps(t["config"])] for n, t in ranked[:5]]
    print("\n" + table(["trial", "score", "CPU-s", "settings"], rows, is_padded=True))
    print(f"{len(trials)} trials in {file}")
