"""`edge-experts federate`: train experts federatedly by a plan, and say what they came to."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_experts.envs.io.command_line import existing_file

from ...arguments import write_json
from ...provenance import where_from

HELP = "train edge experts federatedly by a plan"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("plan", metavar="PLAN", help="a YAML file, or a shipped plan: dirichlet01, dirichlet03, iid")
    command.add_argument("--save", type=Path, required=True, metavar="DIR", help="folder of the results")
    command.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    command.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the plan")
    command.add_argument(
        "--data", type=existing_file, metavar="FILE.npz", help="arrays images and labels to learn from"
    )


def run(arguments: argparse.Namespace) -> None:
    """Check the plan, train all methods, print the table."""
    import torch
    from tqdm import tqdm

    from edge_experts.federated.plan import load_plan
    from edge_experts.federated.report.page import table
    from edge_experts.federated.runner import federate

    changes = {}
    for pair in arguments.set:
        name, sign, value = pair.partition("=")
        if not sign:
            raise ValueError(f"--set: {pair!r} must have the form FIELD=VALUE, as clients=4")
        changes[name] = value
    if arguments.data:
        changes["data"] = str(arguments.data)
    plan = load_plan(arguments.plan, changes)
    torch.set_num_threads(1)  # networks are small: more threads would only wait for one another
    rows = federate(plan, arguments.save, arguments.resume, lambda cells: tqdm(cells, unit="method", disable=None))
    write_json(arguments.save / "provenance.json", {"plan_hash": plan.hash(), **where_from()})
    print(table(rows))
