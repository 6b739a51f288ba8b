"""`edge-experts report`: make leaderboard and figures of the results of bench."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_experts.envs.io.atomic import write_text
from edge_experts.envs.io.command_line import existing_file, existing_folder

from ...bench.protocol import FOLDER

HELP = "make leaderboard and figures of the results of bench"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("--results", type=Path, default=FOLDER, metavar="D", help="where they are")
    command.add_argument(
        "--save", type=Path, metavar="DIR", help="where the page goes; the parent of the results by default"
    )
    command.add_argument(
        "--readme", type=existing_file, metavar="F", help="also put the short table between the marks in this file"
    )
    command.add_argument(
        "--presets", type=existing_folder, metavar="DIR", help="also say in these presets what they reached"
    )
    command.add_argument(
        "--stale",
        action="store_true",
        help="also take results of other versions, scenarios or tables; the page names them",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the leaderboard, its figures, and what else is asked for."""
    from edge_experts.agents.score_reference import stored_references

    from ...leaderboard import page
    from ...leaderboard.data import Leaderboard
    from ...leaderboard.figures import draw_all
    from ...leaderboard.tables import overall_table, short_table

    board = Leaderboard.load(arguments.results, stored_references())
    if not arguments.stale:
        board.refuse_stale()
    texts = {}
    if arguments.readme is not None:
        texts[arguments.readme] = page.with_block(arguments.readme.read_text("utf-8"), short_table(board))
    if arguments.presets is not None:
        texts |= page.presets(board, arguments.presets)
    folder = arguments.save or arguments.results.parent
    (folder / "images").mkdir(parents=True, exist_ok=True)
    draw_all(board, folder / "images", page.digest(board))
    texts[folder / "leaderboard.md"] = page.page(board)
    for path, text in texts.items():
        write_text(path, text)
    print(f"{overall_table(board)}\n\nwrote {folder / 'leaderboard.md'}")
