"""The commands that compare: bench, report, demonstrate, exploit, crossplay."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_experts.envs import Scenario, load_scenario
from edge_experts.envs.io.atomic import check_folder, write_text
from edge_experts.envs.scenarios import parse_overrides

from ..bench.protocol import FOLDER, load_benchmark, select_cells
from ..heuristics.policy_spec import find_players
from ..provenance import where_from
from .arguments import add_env, add_players


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
    deviate = commands.add_parser(
        "exploit", help="train deviators against a policy: a lower bound of its exploitability"
    )
    _add_game(deviate, 200, "a gain is")
    deviate.add_argument(
        "--steps", type=int, default=100_000, metavar="N", help="environment steps of a deviator's training"
    )
    deviate.add_argument("--starts", type=int, default=3, metavar="N", help="networks that a deviator begins from")
    cross = commands.add_parser("crossplay", help="how policies do among agents that play another one: a matrix")
    _add_game(cross, 50, "a pair is")
    teach = commands.add_parser("demonstrate", help="record episodes of a policy as demonstrations, for BC and MARWIL")
    teach.add_argument("policy", metavar="POLICY")
    add_env(teach)
    teach.add_argument("--episodes", type=int, default=128, metavar="N")
    teach.add_argument("--seed", type=int, default=10_000, metavar="S")
    teach.add_argument("--save", type=Path, required=True, metavar="DIR")


def _add_game(command: argparse.ArgumentParser, episodes: int, measured: str) -> None:
    add_players(command)
    add_env(command)
    command.add_argument("--episodes", type=int, default=episodes, metavar="N", help=f"that {measured} measured on")
    command.add_argument("--seed", type=int, default=0, metavar="S")
    command.add_argument("--json", type=Path, metavar="F")


def bench(arguments: argparse.Namespace) -> int:
    """Fill missing cells; returns 1 if some failed."""
    from dataclasses import replace

    from ..bench.scheduler import fill

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
    with _terminable():
        failed = fill(cells, benchmark, arguments.jobs, arguments.results, source=arguments.benchmark)
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


def report(arguments: argparse.Namespace) -> None:
    """Write the leaderboard, its figures, and what else is asked for."""
    from edge_experts.agents.score_reference import stored_references

    from ..leaderboard import page
    from ..leaderboard.data import Leaderboard
    from ..leaderboard.figures import draw_all
    from ..leaderboard.tables import overall_table, short_table

    board = Leaderboard.load(arguments.results, stored_references())
    texts = {}
    if arguments.readme is not None:
        if not arguments.readme.is_file():
            raise ValueError(f"--readme: there is no file '{arguments.readme}'")
        text = arguments.readme.read_text("utf-8")
        texts[arguments.readme] = page.with_block(text, short_table(board))
    if arguments.presets is not None:
        if not arguments.presets.is_dir():
            raise ValueError(f"--presets: there is no folder '{arguments.presets}'")
        texts |= page.presets(board, arguments.presets)
    folder = arguments.save or arguments.results.parent
    (folder / "images").mkdir(parents=True, exist_ok=True)
    draw_all(board, folder / "images", page.digest(board))
    texts[folder / "leaderboard.md"] = page.page(board)
    for path, text in texts.items():
        write_text(path, text)
    print(f"{overall_table(board)}\n\nwrote {folder / 'leaderboard.md'}")


def demonstrate(arguments: argparse.Namespace) -> None:
    """Record demonstrations."""
    from ..bench.cell import demonstrate as record

    if arguments.episodes < 1:
        raise ValueError(f"--episodes: {arguments.episodes} must be 1 or more")
    scenario = load_scenario(arguments.env, parse_overrides(arguments.set))
    print(f"wrote {record(arguments.policy, scenario, arguments.episodes, arguments.seed, arguments.save)}")


def exploit(arguments: argparse.Namespace) -> None:
    """Measure how much a deviator gains."""
    from ..evaluation.exploit import as_json
    from ..evaluation.exploit import exploit as search
    from ..markdown import table

    for name, least in (("steps", 1), ("starts", 1), ("episodes", 2)):
        if getattr(arguments, name) < least:
            raise ValueError(f"--{name}: {getattr(arguments, name)} must be {least} or more")
    if arguments.json:
        check_folder(arguments.json)
    scenario = load_scenario(arguments.env, parse_overrides(arguments.set))
    found, rows = {}, []
    for name, make in find_players(arguments.policies, scenario, arguments.explore).items():
        deviations = search(
            make, scenario, arguments.starts, arguments.episodes, arguments.steps, seed=arguments.seed, progress=True
        )
        found[name] = as_json(deviations)
        rows += [[name, d.agent, f"{d.before:.2f}", str(d.gain), d.start] for d in deviations.values()]
    print(
        table(["policy", "deviator", "return, credits", "gain and 95 % interval", "best start"], rows, is_padded=True)
    )
    _write_game(arguments, scenario, steps=arguments.steps, starts=arguments.starts, deviations=found)


def crossplay(arguments: argparse.Namespace) -> None:
    """Play every policy with every other."""
    from ..evaluation.crossplay import crossplay as play_pairs
    from ..markdown import table

    if arguments.episodes < 2:
        raise ValueError(f"--episodes: {arguments.episodes} must be 2 or more")
    if arguments.json:
        check_folder(arguments.json)
    scenario = load_scenario(arguments.env, parse_overrides(arguments.set))
    makers = find_players(arguments.policies, scenario, arguments.explore)
    matrix = play_pairs(makers, scenario, arguments.episodes, arguments.seed)
    print("normalised welfare; row: every second agent, column: the others\n")
    rows = [[name, *(f"{score:.3f}" for score in row)] for name, row in zip(makers, matrix, strict=True)]
    print(table(["", *makers], rows, is_padded=True))
    _write_game(arguments, scenario, policies=list(makers), matrix=matrix.tolist())


def _write_game(arguments: argparse.Namespace, scenario: Scenario, **found: Any) -> None:
    if arguments.json:
        how = {"command": arguments.line, "explore": arguments.explore, "episodes": arguments.episodes}
        game = {"env": scenario.id, **how, "seed": arguments.seed, **found, **where_from()}
        write_text(arguments.json, json.dumps(game, indent=1) + "\n")
        print(f"wrote {arguments.json}")


COMMANDS = {"bench": bench, "report": report, "demonstrate": demonstrate, "exploit": exploit, "crossplay": crossplay}
