"""`edge-experts evaluate`: measure a policy or a checkpoint, with its floor and reference."""

from __future__ import annotations

import argparse
from typing import Any

from edge_experts.envs import World
from edge_experts.envs.io.command_line import at_least, new_file
from edge_experts.envs.registry import Source, find
from edge_experts.envs.scenarios import parse_overrides

from ...arguments import add_env, add_policies, policies_of, refuse_for_others, scenario_of, write_json

HELP = "measure a policy or a checkpoint, with its floor and reference"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    add_policies(command)
    add_env(command, "an id, a scenario file, or module:Class or file.py:Class")
    command.add_argument("--episodes", type=at_least(1), default=100, metavar="N", help="how many to play")
    command.add_argument(
        "--seed", type=at_least(0), default=0, metavar="S", help="key of the episodes; never that of a training run"
    )
    command.add_argument(
        "--split", choices=("train", "heldout", "all"), help="prompts to draw from (the scenario's own by default)"
    )
    command.add_argument(
        "--json", type=new_file(), metavar="F", help="write the result (a list, if there are several) to a file"
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure, print a table, write what is asked for."""
    from ...evaluation.evaluate import evaluate
    from ...evaluation.score_table import across_checkpoints, score_table

    changes = parse_overrides(arguments.set)
    if (source := find(arguments.env)).market is None:
        _evaluate_other(source, arguments)
        return
    world = World(scenario_of(arguments))
    specs = policies_of(arguments, world.scenario)
    policies = {
        name: spec(world) if spec.is_checkpoint or spec.is_outside else spec.given for name, spec in specs.items()
    }
    results = evaluate(
        policies, arguments.env, arguments.episodes, arguments.seed, arguments.split, changes, progress=True
    )
    print(score_table(results))
    trained = [result for result in results if specs[result["policy"]].is_checkpoint]
    if len(trained) > 1:
        print(across_checkpoints(trained))
    _write(results, arguments)


def _evaluate_other(source: Source, arguments: argparse.Namespace) -> None:
    """The same for an environment that is no market."""
    from ...evaluation.generic_env import evaluate_generic, results_table

    refuse_for_others(arguments, "set", "split", "explore")
    results = evaluate_generic(source, arguments.policies, arguments.episodes, arguments.seed)
    print(results_table(results))
    _write(results, arguments)


def _write(results: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    write_json(arguments.json, results[0] if len(results) == 1 else results)
