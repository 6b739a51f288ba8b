"""`edge-experts federate`: train experts federatedly by a plan, and say what they came to."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_experts.envs.io.command_line import at_least, existing_file, new_file

from ...arguments import write_json
from ...provenance import where_from

HELP = "train edge experts federatedly by a plan"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("plan", metavar="PLAN", help="a YAML file, or a shipped plan, as dirichlet01")
    command.add_argument("--save", type=Path, metavar="DIR", help="folder of the results of all methods and seeds")
    command.add_argument(
        "--table",
        type=Path,
        metavar="DIR",
        help="folder of a table of what the experts of seed 0 and FedGate's gates say, and of a scenario that plays it",
    )
    command.add_argument(
        "--law",
        type=new_file(".json"),
        metavar="FILE.json",
        help="what one expert, gate and oracle are worth at concentrations from 0.05 to IID, with a picture beside it",
    )
    command.add_argument(
        "--images",
        type=at_least(5),
        default=50,
        metavar="N",
        help="test images of each client in the table (default 50)",
    )
    command.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    command.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the plan")
    command.add_argument(
        "--data", type=existing_file, metavar="FILE.npz", help="arrays images and labels to learn from"
    )
    command.add_argument(
        "--ray-address",
        metavar="A",
        help="clients train as tasks of the Ray cluster at this address (local: one on this machine); same results",
    )


def run(arguments: argparse.Namespace) -> None:
    """Check the plan, train all methods and print the table, or record the experts."""
    import torch
    from tqdm import tqdm

    from edge_experts.federated.engine import Engine, RayEngine
    from edge_experts.federated.market import record_table
    from edge_experts.federated.plan import load_plan
    from edge_experts.federated.report.law import law
    from edge_experts.federated.report.page import law_table, table
    from edge_experts.federated.report.pictures import draw_law
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
    if not (arguments.save or arguments.table or arguments.law):
        raise ValueError("--save: say where results go, or take --table or --law")
    torch.set_num_threads(1)  # networks are small: more threads would only wait for one another
    noted = {"plan_hash": plan.hash(), **where_from()}
    engine = RayEngine(arguments.ray_address) if arguments.ray_address else Engine()

    def progress(cells: list[Any]) -> Any:
        return tqdm(cells, unit="run", disable=None)

    if arguments.save:
        rows = federate(plan, arguments.save, arguments.resume, progress, engine)
        write_json(arguments.save / "provenance.json", noted)
        print(table(rows))
    if arguments.table:
        scenario = record_table(plan, arguments.table, arguments.images, noted)
        print(f"{arguments.table / 'scenario.yaml'}: {scenario.title}")
    if arguments.law:
        found = law(plan, engine, progress)
        write_json(arguments.law, {"rows": found, **noted})
        draw_law(found, arguments.law.with_suffix(".png"))
        print(law_table(found))
