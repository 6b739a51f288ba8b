"""`edge-experts compete`: what a market comes to when everybody is after their own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edge_experts.envs.io.atomic import replacing, write_text
from edge_experts.envs.io.command_line import at_least, new_file
from edge_experts.envs.scenarios import parse_overrides

from ...arguments import add_env
from ...provenance import where_from

HELP = "let users and providers compete, and measure welfare, prices and what deviators gain"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    add_env(command)
    command.add_argument("--solvers", nargs="+", metavar="NAME", help="all by default")
    command.add_argument(
        "--vary", metavar="FIELD=A,B,C", help="play every variant of the scenario, as providers.count=2,4,8"
    )
    command.add_argument("--seeds", type=at_least(1), default=1, metavar="N", help="runs of each solver")
    command.add_argument(
        "--steps",
        type=at_least(1),
        default=200_000,
        metavar="N",
        help="environment steps that a solver trains for in all",
    )
    command.add_argument("--episodes", type=at_least(2), default=64, metavar="N", help="that everything is measured on")
    command.add_argument(
        "--deviator-steps",
        type=at_least(0),
        default=50_000,
        metavar="N",
        help="of a deviator's training; 0: by rule alone",
    )
    command.add_argument(
        "--starts", type=at_least(1), default=2, metavar="N", help="networks that a deviator begins from"
    )
    command.add_argument(
        "--json",
        type=new_file(".json"),
        metavar="F",
        help="write the runs to a file; those in it already are not run again",
    )
    command.add_argument("--plot", type=new_file(), metavar="F", help="draw prices over training")


def run(arguments: argparse.Namespace) -> None:
    """Run what is missing, print the table, write what was asked for."""
    from tqdm import tqdm

    from edge_experts.envs.io.strict_json import parse_json
    from edge_experts.envs.io.suggestions import did_you_mean

    from ...competition.runs import Plan, fill, missing
    from ...competition.solvers import SOLVERS
    from ...competition.tables import collusion_sentence, draw, outcome_table, providers_sentence

    for name in arguments.solvers or ():
        if name not in SOLVERS:
            raise ValueError(f"--solvers: {name!r} is none; {did_you_mean(name, SOLVERS)}")
    field, values = _varied(arguments.vary)
    settings = {name: getattr(arguments, name) for name in ("seeds", "steps", "episodes", "deviator_steps", "starts")}
    plan = Plan(
        env=arguments.env,
        changes=parse_overrides(arguments.set),
        field=field,
        values=values,
        solvers=arguments.solvers or tuple(SOLVERS),
        **settings,
    )
    file: Path | None = arguments.json
    rows: list[dict[str, Any]] = []
    if file is not None and file.exists():
        rows = parse_json(file.read_text("utf-8"))["rows"]
    todo = missing(plan, rows)
    with tqdm(total=len(todo) * plan.steps, unit="step", unit_scale=True, disable=None) as bar:

        def advance(solver: str, steps: int) -> None:
            bar.set_description(solver, refresh=False)
            bar.update(steps)

        for grown in fill(plan, rows, advance):
            rows = grown
            if file is not None:
                write_text(file, json.dumps({"command": arguments.line, **where_from(), "rows": rows}, indent=1) + "\n")
    print(outcome_table(rows))
    for sentence in (collusion_sentence(rows), providers_sentence(rows, field) if field else ""):
        if sentence:
            print(f"\n{sentence}")
    if file is not None:
        print(f"wrote {file}")
    if arguments.plot:
        with replacing(arguments.plot) as part:
            draw(rows, part, field)
        print(f"wrote {arguments.plot}")


def _varied(text: str | None) -> tuple[str | None, list[Any]]:
    """The field that `--vary` names, and its values.

    Raises:
        ValueError: if it is not of the form FIELD=A,B.
    """
    if text is None:
        return None, []
    field, is_given, values = text.partition("=")
    if not is_given or "," not in values:
        raise ValueError(f"--vary: {text!r} must be FIELD=A,B,C, as providers.count=2,4,8")
    return field, [parse_overrides([f"{field}={value}"])[field] for value in values.split(",")]
