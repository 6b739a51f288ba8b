"""Options that several commands share."""

from __future__ import annotations

import argparse


def add_env(command: argparse.ArgumentParser, about: str = "an id, or a scenario file") -> None:
    """Let a command take an environment and changes of its scenario."""
    command.add_argument("--env", required=True, metavar="ID|YAML", help=about)
    add_changes(command)


def add_changes(command: argparse.ArgumentParser) -> None:
    """Let a command take changes of a scenario."""
    command.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a scenario field, as devices.count=32"
    )


def add_players(command: argparse.ArgumentParser) -> None:
    """Let a command take players."""
    command.add_argument(
        "policies",
        nargs="+",
        metavar="[NAME=]CHECKPOINT|POLICY",
        help="checkpoint folders, or names of `edge-experts list`; with NAME to show them by, if you like",
    )
    command.add_argument(
        "--explore", action="store_true", help="let checkpoints draw their actions instead of taking the likeliest"
    )
