"""The `edge-experts` command, of which each subcommand is a file in `commands`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from edge_experts.envs import ScenarioError, TableError
from edge_experts.envs.io.answer import answer
from edge_experts.envs.io.command_line import Parser, add_about, parse, with_file

COMMANDS: dict[str, tuple[str, ...]] = {
    "show": ("evaluate", "list", "describe", "new", "play", "zoo", "export", "dashboard"),
    "measure": ("calibrate", "worth", "transfer", "validate", "speed", "record", "route", "twin", "federate"),
    "compare": ("bench", "tune", "report", "verify", "reproduce", "compete", "exploit", "crossplay", "demonstrate"),
}  # by the folder of `commands` that they stand in


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(prog="edge-experts", description="Markets of edge experts: evaluate, look at, describe.")
    add_about(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in (name for names in COMMANDS.values() for name in names):
        module = _module(name)
        module.add_arguments(commands.add_parser(name, help=module.HELP))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (1: `validate` found faults; 2: the input is not valid)."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = parse(build_parser(), words)
    if isinstance(arguments, int):
        return arguments
    arguments.line = shlex.join(["edge-experts", *words])
    return answer("edge-experts", lambda: _run(arguments), (ScenarioError, TableError, ValueError, ImportError))


def _run(arguments: argparse.Namespace) -> int:
    try:
        return _module(arguments.command).run(arguments) or 0
    except ScenarioError as error:
        raise ScenarioError(with_file(str(error), arguments)) from None
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{error}; pip install 'edge-experts[rllib,plot,speed,dashboard,record,route,games]'"
        ) from None


def _module(name: str) -> Any:
    folder = next(folder for folder, names in COMMANDS.items() if name in names)
    return import_module(f".commands.{folder}.{name}", __package__)


if __name__ == "__main__":
    sys.exit(main())
