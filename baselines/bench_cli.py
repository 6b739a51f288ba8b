"""The commands that compare: bench, report, demonstrate, exploit, crossplay."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_experts.envs import load_scenario
from edge_experts.envs.library import parse_overrides

from .benchmark import FOLDER, load_benchmark, select_cells
from .files import write_text


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
    report = commands.add_parser("report", help="make leaderboard and figures of the results of bench")
    report.add_argument("--results", type=Path, default=FOLDER, metavar="D", help="where they are")
    report.add_argument(
        "--save", type=Path, metavar="DIR", help="where the page goes; the parent of the results by default"
    )
    report.add_argument(
        "--readme", type=Path, metavar="F", help="also put the short table between the marks in this file"
    )
    report.add_argument("--presets", type=Path, metavar="DIR", help="also say in these presets what they reached")
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


def report(arguments: argparse.Namespace) -> None:
    """Write the leaderboard, its figures, and what else is asked for."""
    from edge_experts.agents.references import stored_references

    from . import leaderboard_page
    from .leaderboard import Leaderboard
    from .leaderboard_figures import draw_all

    board = Leaderboard.load(arguments.results, stored_references())
    texts = {}
    if arguments.readme is not None:
        if not arguments.readme.is_file():
            raise ValueError(f"--readme: there is no file '{arguments.readme}'")
        text = arguments.readme.read_text("utf-8")
        texts[arguments.readme] = leaderboard_page.with_block(text, board.short_table())
    if arguments.presets is not None:
        if not arguments.presets.is_dir():
            raise ValueError(f"--presets: there is no folder '{arguments.presets}'")
        texts |= leaderboard_page.presets(board, arguments.presets)
    folder = arguments.save or arguments.results.parent
    (folder / "images").mkdir(parents=True, exist_ok=True)
    draw_all(board, folder / "images", leaderboard_page.digest(board))
    texts[folder / "leaderboard.md"] = leaderboard_page.page(board)
    for path, text in texts.items():
        write_text(path, text)
    print(f"{board.overall_table()}\n\nwrote {folder / 'leaderboard.md'}")


def demonstrate(arguments: argparse.Namespace) -> None:
    """Record demonstrations."""
    from .bench_cell import demonstrate as record

    if arguments.episodes < 1:
        raise ValueError(f"--episodes: {arguments.episodes} must be 1 or more")
    scenario = load_scenario(arguments.env, parse_overrides(arguments.set))
    print(f"wrote {record(arguments.policy, scenario, arguments.episodes, arguments.seed, arguments.save)}")


COMMANDS = {"bench": bench, "report": report, "demonstrate": demonstrate}
