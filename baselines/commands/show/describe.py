"""`edge-experts describe`: print a scenario's page: fields, observations, actions."""

from __future__ import annotations

import argparse

from edge_experts.envs import World
from edge_experts.envs.registry import find

from ...arguments import add_changes, refuse_for_others, scenario_of

HELP = "print a scenario's page: fields, observations, actions"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("env", metavar="ID|YAML")
    add_changes(command)


def run(arguments: argparse.Namespace) -> None:
    """Print the page."""
    if (source := find(arguments.env)).market is None:
        from ...evaluation.generic_env import describe_generic

        refuse_for_others(arguments, "set")
        print(describe_generic(source))
        return
    from ...pages.scenario_pages import page

    print(page(World(scenario_of(arguments))))
