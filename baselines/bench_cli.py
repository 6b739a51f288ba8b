"""The commands that compare: bench, demonstrate."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_experts.envs import load_scenario
from edge_experts.envs.library import parse_overrides

from .benchmark import FOLDER, load_benchmark, select_cells


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands."""
    bench = commands.add_parser(
        "bench", help="train and evaluate algorithms on environments, as far as results are missing"
    )
    bench.add_argument("--algos", nargs="+", metavar="NAME", help="of the benchmark; all by default")
    bench.add_argument(
        "--algo",
        action="append",
        default=[],
        metavar="module:name|file.py:name",
        help="an algorithm of your own beside them: an RLlib Algorithm, or act(observations, masks) -> actions",
    )
    bench.add_argument("--envs", nargs="+", metavar="ID|YAML", help="those of the benchmark by default")
    bench.add_argument(
        "--seeds", type=int, metavar="N", help="training seeds of each; those of the benchmark by default"
    )
    bench.add_argument(
        "--steps", type=int, metavar="N", help="environment steps of a run; those of the presets by default"
    )
    bench.add_argument("--jobs", type=int, metavar="N", help="runs at a time; one for each core by default")
    bench.add_argument("--benchmark", type=Path, metavar="YAML", help="a protocol of your own")
    bench.add_argument("--results", type=Path, default=FOLDER, metavar="D", help="where results go")
    bench.add_argument("--list", action="store_true", help="only say what there is and what is missing")
    teach = commands.add_parser("demonstrate", help="record episodes of a policy as demonstrations, for BC and MARWIL")
    teach.add_argument("policy", metavar="POLICY")
    teach.add_argument("--env", required=True, metavar="ID|YAML")
    teach.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    teach.add_argument("--episodes", type=int, default=128, metavar="N")
    teach.add_argument("--seed", type=int, default=10_000, metavar="S")
    teach.add_argument("--save", type=Path, required=True, metavar="DIR")


def bench(arguments: argparse.Namespace) -> int:
    """Fill missing cells; returns 1 if some failed."""
    from dataclasses import replace

    from .bench import fill

    for name in ("seeds", "steps", "jobs"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name}: {value} must be 1 or more")
    benchmark = load_benchmark(arguments.benchmark)
    if arguments.steps:
        benchmark = replace(benchmark, steps=arguments.steps)
    algos = arguments.algos if arguments.algos or not arguments.algo else []
    cells = select_cells(benchmark, algos, arguments.envs, arguments.seeds, arguments.algo)
    if arguments.list:
        for cell in cells:
            state = "done   " if cell.result(arguments.results).exists() else "missing"
            print(f"{state} {cell.name:16s} {cell.env} seed {cell.seed}")
        return 0
    failed = fill(cells, benchmark, arguments.jobs, arguments.results, source=arguments.benchmark)
    print(f"{len(cells) - len(failed)} of {len(cells)} results in {arguments.results}")
    return int(bool(failed))


def demonstrate(arguments: argparse.Namespace) -> None:
    """Record demonstrations."""
    from .bench_cell import demonstrate as record

    if arguments.episodes < 1:
        raise ValueError(f"--episodes: {arguments.episodes} must be 1 or more")
    scenario = load_scenario(arguments.env, parse_overrides(arguments.set))
    print(f"wrote {record(arguments.policy, scenario, arguments.episodes, arguments.seed, arguments.save)}")


COMMANDS = {"bench": bench, "demonstrate": demonstrate}
