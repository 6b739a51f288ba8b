"""The process of one cell: `python -m edge_experts.baselines.bench TASK.json`, as the scheduler starts it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from filelock import FileLock

from edge_experts.agents import ray_logging

from .protocol import Task


def main() -> int:
    """Run the cell unless its result is there; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", type=Path, help="JSON, see `protocol.Task`")
    task = Task.from_json(parser.parse_args().task.read_text("utf-8"))
    ray_logging.before_import()
    from .cell import run_cell

    ray_logging.after_import()
    with FileLock(task.cell.folder(task.runs).with_suffix(".lock")):  # who comes second waits, and finds the result
        if not task.cell.result(task.results).exists():
            run_cell(task)
            print(f"wrote {task.cell.result(task.results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
