"""`edge-experts demonstrate`: record episodes of a policy as demonstrations, for BC and MARWIL."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_experts.envs.io.command_line import at_least
from edge_experts.envs.seeds import TEACHER

from ...arguments import add_env, scenario_of

HELP = "record episodes of a policy as demonstrations, for BC and MARWIL"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("policy", metavar="POLICY", help="a name of `edge-experts list`")
    add_env(command)
    command.add_argument("--episodes", type=at_least(1), default=128, metavar="N", help="how many to record")
    command.add_argument(
        "--seed",
        type=at_least(0),
        default=TEACHER,
        metavar="S",
        help="key of the episodes, which are training episodes",
    )
    command.add_argument("--save", type=Path, required=True, metavar="DIR", help="the folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Play and record."""
    from ...heuristics.demonstrate import demonstrate

    scenario = scenario_of(arguments)
    print(f"wrote {demonstrate(arguments.policy, scenario, arguments.episodes, arguments.seed, arguments.save)}")
