"""`edge-experts verify`: play what a result is of again, and see whether it agrees to the last digit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_experts.envs.io.command_line import existing_file

from ...markdown import table

if TYPE_CHECKING:
    from ...bench.verify import Compared

HELP = "play what a result is of again, and see whether it agrees to the last digit"
HEAD = ("number", "recorded", "now", "")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("result", type=existing_file, metavar="RESULT", help="a JSON file of bench")
    command.add_argument(
        "--policy",
        metavar="CHECKPOINT|file.py:name",
        help="what it is of: a checkpoint, an export or zoo:NAME; by default the checkpoint that bench has left",
    )
    command.add_argument(
        "--trust", action="store_true", help="trust whoever wrote the checkpoint: import networks of their own"
    )


def run(arguments: argparse.Namespace) -> int:
    """Compare; 1 if something differs."""
    from ...bench.verify import verify

    file: Path = arguments.result
    compared = verify(file, arguments.policy, arguments.trust)
    rows = [
        [c.name, str(c.recorded), str(c.found), "" if c.agrees else "differs"] for c in compared if not _is_nested(c)
    ]
    print(table(HEAD, rows, is_padded=True))
    wrong = [c.name for c in compared if not c.agrees]
    if wrong:
        print(f"{file}: {len(wrong)} of {len(compared)} differ: {', '.join(wrong)}")
        return 1
    print(f"{file}: all {len(compared)} agree")
    return 0


def _is_nested(compared: Compared) -> bool:
    """Whether it is too long for a row of a table, and agrees."""
    return isinstance(compared.recorded, dict | list) and compared.agrees
