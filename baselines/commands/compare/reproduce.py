"""`edge-experts reproduce`: what papers have published, beside what is measured here."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from edge_experts.envs.io.command_line import at_least, existing_folder, new_file

from ...arguments import write_json
from ...provenance import where_from

HELP = "show what papers have published beside what is measured here"
PAPERS = ("netmoe", "object3d", "video", "compact", "networked")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("papers", nargs="*", metavar="NAME", help=f"of {', '.join(PAPERS)}; all by default")
    command.add_argument(
        "--results", type=existing_folder, default=Path("results"), metavar="D", help="of bench, worth and federate"
    )
    command.add_argument(
        "--episodes", type=at_least(2), default=100, metavar="N", help="of everything that is played for it"
    )
    command.add_argument("--json", type=new_file(".json"), metavar="F", help="write the comparisons to a file")


def run(arguments: argparse.Namespace) -> None:
    """Compare, print, write what was asked for."""
    from edge_experts.envs.io.suggestions import did_you_mean

    for name in arguments.papers:
        if name not in PAPERS:
            raise ValueError(f"reproduce: {name!r} is no paper of ours; {did_you_mean(name, PAPERS)}")
    found = {}
    for name in arguments.papers or PAPERS:
        module = import_module(f"...papers.{name}", __package__)
        try:
            comparison = module.compare(arguments.results, arguments.episodes)
        except FileNotFoundError as error:
            raise ValueError(f"--results: '{error.filename}' is missing; give the folder of stored results") from None
        found[name] = asdict(comparison)
        print(f"## {name}\n\n{comparison.text()}\n")
    write_json(
        arguments.json, {"command": arguments.line, "episodes": arguments.episodes, **where_from(), "papers": found}
    )
