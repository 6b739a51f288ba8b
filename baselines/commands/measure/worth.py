"""`edge-experts worth`: what a mixture of experts is worth, on the tables and in the market."""

from __future__ import annotations

import argparse

from edge_experts.envs import load_scenario, shipped_ids
from edge_experts.envs.io.atomic import replacing
from edge_experts.envs.io.command_line import at_least, new_file

from ...arguments import write_json

HELP = "measure what a mixture of experts is worth"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("envs", nargs="*", metavar="ID|YAML", help="all shipped scenarios by default")
    command.add_argument("--episodes", type=at_least(2), default=100, metavar="N", help="of each policy in the market")
    command.add_argument("--json", type=new_file(), metavar="F", help="write the result to a file")
    command.add_argument("--plot", type=new_file(), metavar="F", help="draw how it moves with coherence")


def run(arguments: argparse.Namespace) -> None:
    """Measure all scenarios, print both tables, write what was asked for."""
    from tqdm import tqdm

    from ...evaluation.worth import market_table, plot_coherence, tables_table, worth

    scenarios = [load_scenario(env) for env in arguments.envs or shipped_ids()]
    results = [worth(scenario, arguments.episodes) for scenario in tqdm(scenarios, unit="env", disable=None)]
    print("Recorded quality, everything known, no contention\n")
    print(tables_table(results))
    print("\nIn the market\n")
    print(market_table(results))
    write_json(arguments.json, results)
    if arguments.plot:
        with replacing(arguments.plot) as part:
            plot_coherence(results, part)
