"""Arguments that several commands share, and what they do with them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edge_experts.envs import Scenario, load_scenario
from edge_experts.envs.io.atomic import write_text
from edge_experts.envs.io.command_line import at_least, new_file
from edge_experts.envs.scenarios import parse_overrides

from .heuristics.policy_spec import PolicySpec, find_policies
from .provenance import where_from


def add_env(command: argparse.ArgumentParser, about: str = "an id, or a scenario file") -> None:
    """Let a command take an environment and changes of its scenario."""
    command.add_argument("--env", required=True, metavar="ID|YAML", help=about)
    add_changes(command)


def add_changes(command: argparse.ArgumentParser) -> None:
    """Let a command take changes of a scenario."""
    command.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a scenario field, as devices.count=32"
    )


def add_policies(command: argparse.ArgumentParser) -> None:
    """Let a command take policies and checkpoints."""
    command.add_argument(
        "policies",
        nargs="+",
        metavar="[NAME=]CHECKPOINT|POLICY|file.py:name",
        help="checkpoint folders, names of `edge-experts list`, or act(observations, masks) -> actions of yours; with "
        "NAME to show them by, if you like",
    )
    command.add_argument(
        "--explore", action="store_true", help="let checkpoints draw their actions instead of taking the likeliest"
    )
    add_trust(command)


def add_trust(command: argparse.ArgumentParser) -> None:
    """Let a command be told that whoever wrote its checkpoints is trusted."""
    command.add_argument(
        "--trust", action="store_true", help="trust whoever wrote the checkpoints: their code may be run"
    )


def add_game(command: argparse.ArgumentParser, episodes: int, measured: str) -> None:
    """Let a command take what games among policies need.

    Args:
        command: Of the command line.
        episodes: The default of `--episodes`.
        measured: What is measured on them.
    """
    add_policies(command)
    add_env(command)
    command.add_argument(
        "--episodes", type=at_least(2), default=episodes, metavar="N", help=f"that {measured} measured on"
    )
    command.add_argument("--seed", type=at_least(0), default=0, metavar="S", help="key of the episodes")
    command.add_argument("--json", type=new_file(), metavar="F", help="write the result to a file")


def scenario_of(arguments: argparse.Namespace) -> Scenario:
    """The scenario that `--env` and `--set` name."""
    return load_scenario(arguments.env, parse_overrides(arguments.set))


def policies_of(arguments: argparse.Namespace, scenario: Scenario) -> dict[str, PolicySpec]:
    """The policies that are named, by the names to show them by."""
    return find_policies(arguments.policies, scenario, arguments.explore, trust=arguments.trust)


def refuse_for_others(arguments: argparse.Namespace, *options: str) -> None:
    """Refuse options that mean nothing for an environment that is no market.

    Raises:
        ValueError: if one of them is given.
    """
    for option in options:
        if getattr(arguments, option):
            raise ValueError(f"--{option}: is for markets; {arguments.env} is none")


def write_json(path: Path | None, data: Any) -> None:
    """Write a result to the file that was asked for, if one was."""
    if path is not None:
        write_text(path, json.dumps(data, indent=1) + "\n")
        print(f"wrote {path}")


def write_game(arguments: argparse.Namespace, scenario: Scenario, **found: Any) -> None:
    """Write what a game among policies found, with all that is needed to find it again."""
    how = {"command": arguments.line, "explore": arguments.explore, "episodes": arguments.episodes}
    write_json(arguments.json, {"env": scenario.id, **how, "seed": arguments.seed, **found, **where_from()})
