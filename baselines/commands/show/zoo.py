"""`edge-experts zoo`: list the trained policies that are shipped."""

from __future__ import annotations

import argparse
import json

from ...markdown import table

HELP = "list the trained policies that are shipped; others take them as zoo:NAME"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("--json", action="store_true", help="all that is known of them, as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print the list."""
    from edge_experts.agents.checkpoints.metadata import read_description
    from edge_experts.agents.checkpoints.weights import zoo

    known = {name: read_description(folder) for name, folder in zoo().items()}
    if arguments.json:
        print(json.dumps(known, indent=1))
        return
    if not known:
        print("the zoo is empty: nothing was shipped with this package")
        return
    rows = []
    for name, about in known.items():
        scores = about["scores"]
        best = ", ".join(f"{env} {score:.2f}" for env, score in scores.items())
        rows.append(
            [f"zoo:{name}", about["algo"].removeprefix("Masked"), about["knows"], f"{about['env_steps']:,}", best]
        )
    print(table(["policy", "algorithm", "knows", "steps", "scores"], rows, is_padded=True))
    for name, about in known.items():
        print(f"zoo:{name}: {about['command']}")
