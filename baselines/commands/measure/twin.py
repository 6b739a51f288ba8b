"""`edge-experts twin`: play a log of `edge-experts route` again in the market, and show the gap."""

from __future__ import annotations

import argparse

from edge_experts.envs.io.command_line import at_least, existing_file, new_file

from ...arguments import write_json
from ...markdown import table

HELP = "play a log of `edge-experts route` again in the market: simulated beside measured latency, cost and score"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("log", type=existing_file, metavar="LOG", help="of `edge-experts route`")
    command.add_argument(
        "--scenario", type=existing_file, metavar="YAML", help="where the log's market is now, if it was moved"
    )
    command.add_argument("--seed", type=at_least(0), default=0, metavar="S", help="of the recorded prompts")
    command.add_argument("--json", type=new_file(), metavar="FILE", help="also write all questions to a file")


def run(arguments: argparse.Namespace) -> None:
    """Print the gaps."""
    from edge_experts.recording.live.twin import WORLDS, replay

    twin = replay(arguments.log, arguments.scenario, arguments.seed)
    columns = ["expert", "measure", "questions", "measured", "simulated", "gap", "error"]
    rows = [[*gap[:2], f"{gap.questions}", *(f"{value:.4g}" for value in gap[3:])] for gap in twin.gaps]
    print(table(columns, rows, is_padded=True))
    others = "".join(f", {count} {how}" for how, count in sorted(twin.others.items()))
    print(f"Policy {twin.header.policy}: {twin.answered} questions answered{others}.", end=" ")
    print(f"Simulated in {WORLDS} worlds, whose queues refused {twin.refused:.1%}.")
    write_json(
        arguments.json,
        {
            "log": str(arguments.log),
            "policy": twin.header.policy,
            "seed": arguments.seed,
            "answered": twin.answered,
            "others": twin.others,
            "refused": twin.refused,
            "gaps": [gap._asdict() for gap in twin.gaps],
            "questions": twin.rows,
        },
    )
