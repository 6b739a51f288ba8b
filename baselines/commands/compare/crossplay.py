"""`edge-experts crossplay`: how policies do among agents that play another one: a matrix."""

from __future__ import annotations

import argparse

from ...arguments import add_game, policies_of, scenario_of, write_game
from ...markdown import table

HELP = "how policies do among agents that play another one: a matrix"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    add_game(command, 50, "a pair is")


def run(arguments: argparse.Namespace) -> None:
    """Play every policy with every other."""
    from ...evaluation.crossplay import crossplay

    scenario = scenario_of(arguments)
    makers = policies_of(arguments, scenario)
    matrix = crossplay(makers, scenario, arguments.episodes, arguments.seed)
    print("normalised welfare; row: every second agent, column: the others\n")
    rows = [[name, *(f"{score:.3f}" for score in row)] for name, row in zip(makers, matrix, strict=True)]
    print(table(["", *makers], rows, is_padded=True))
    write_game(arguments, scenario, policies=list(makers), matrix=matrix.tolist())
