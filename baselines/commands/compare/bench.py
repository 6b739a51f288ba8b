"""`edge-experts bench`: train and evaluate algorithms on environments, as far as results are missing."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edge_experts.envs.io.command_line import at_least, existing_file

from ...bench.protocol import FOLDER, load_benchmark, select_cells

HELP = "train and evaluate algorithms on environments, as far as results are missing"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("--algos", nargs="+", metavar="NAME", help="of the benchmark; all by default")
    command.add_argument(
        "--algo",
        action="append",
        default=[],
        metavar="module:name|file.py:name",
        help="an algorithm of your own beside them: an RLlib Algorithm, or act(observations, masks) -> actions",
    )
    command.add_argument("--envs", nargs="+", metavar="ID|YAML", help="those of the benchmark by default")
    command.add_argument(
        "--seeds", type=at_least(1), metavar="N", help="training seeds of each; those of the benchmark by default"
    )
    command.add_argument(
        "--steps", type=at_least(1), metavar="N", help="environment steps of a run; those of the presets by default"
    )
    command.add_argument("--jobs", type=at_least(1), metavar="N", help="runs at a time; one for each core by default")
    command.add_argument(
        "--ray-address", metavar="ADDR", help="run them on this Ray cluster, whose nodes share this folder"
    )
    command.add_argument("--benchmark", type=existing_file, metavar="YAML", help="a protocol of your own")
    command.add_argument("--results", type=Path, default=FOLDER, metavar="D", help="where results go")
    command.add_argument("--list", action="store_true", help="only say what there is and what is missing")


def run(arguments: argparse.Namespace) -> int:
    """Fill missing cells; 1 if some failed."""
    from ...bench.cluster import Cluster
    from ...bench.forecast import forecast
    from ...bench.scheduler import fill

    benchmark = load_benchmark(arguments.benchmark)
    if arguments.steps:
        benchmark = replace(benchmark, steps=arguments.steps)
    algos = arguments.algos if arguments.algos or not arguments.algo else []
    cells = select_cells(benchmark, algos, arguments.envs, arguments.seeds, arguments.algo)
    if arguments.list:
        for cell in cells:
            state = "done   " if cell.result(arguments.results).exists() else "missing"
            print(f"{state} {cell.name:16s} {cell.env} seed {cell.seed}")
    missing = [cell for cell in cells if not cell.result(arguments.results).exists()]

    def say(jobs: int | None) -> None:
        if missing:
            print(forecast(missing, benchmark, {arguments.results, FOLDER}, jobs or os.cpu_count() or 1), flush=True)

    if arguments.list:
        say(arguments.jobs)
        return 0
    with _terminable():
        cluster = Cluster(arguments.ray_address) if arguments.ray_address else None
        say(arguments.jobs or (cluster.slots if cluster else None))
        failed = fill(cells, benchmark, arguments.jobs, arguments.results, cluster=cluster)
    print(f"{len(cells) - len(failed)} of {len(cells)} results in {arguments.results}")
    return int(bool(failed))


@contextmanager
def _terminable() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, so that the runs are told to stop."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
