"""How long a benchmark will take, judged by results that there are."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edge_experts.agents.market_names import stages_of
from edge_experts.configs.train.common import budget

from .protocol import Benchmark, Cell

MINUTE, HOUR = 60, 3600


def steps_of(cell: Cell, benchmark: Benchmark) -> int:
    """Environment steps of a cell's training."""
    if benchmark.steps:
        return benchmark.steps
    return sum(map(budget, stages_of(cell.env))) or budget(cell.env)


def forecast(missing: Sequence[Cell], benchmark: Benchmark, folders: Iterable[Path], jobs: int) -> str:
    """What is missing and for how long it will run, in one line, or that nothing is known of that.

    A cell takes as long for a step as results of the same algorithm in the same environment did; else of the same
    environment; else as all. The median counts.

    Args:
        missing: What is to be run.
        benchmark: The protocol.
        folders: Where results lie.
        jobs: Cells at a time.
    """
    known = [seconds for folder in folders for seconds in _known(folder)]
    runs = f"{len(missing)} run{'s' * (len(missing) != 1)} to do"
    if not known:
        return f"{runs}; there is no result yet to say how long that takes"
    total = sum(steps_of(cell, benchmark) * _rate(cell, known) for cell in missing)
    at_once = min(jobs, len(missing))
    return (
        f"{runs}: about {duration(total / at_once)}, {at_once} at a time "
        f"({duration(total)} of processor time, judged by {len(known)} results)"
    )


def duration(seconds: float) -> str:
    """Seconds for people, in minutes and hours."""
    if seconds < MINUTE:
        return "a minute"
    minutes = round(seconds / MINUTE)
    hours, rest = divmod(minutes, HOUR // MINUTE)
    return f"{hours} h {rest:02d} min" if hours else f"{minutes} min"


def _known(folder: Path) -> list[tuple[str, str, float]]:
    """Algorithm, environment and processor time of a step, of every result under a folder that trained."""
    found = []
    for file in sorted(folder.rglob("seed_*.json")):
        try:
            result: dict[str, Any] = json.loads(file.read_text("utf-8"))
            seconds = result["cpu_time_s"] + result.get("evaluation_s", 0.0)
            found.append((result["name"], result["env"], seconds / result["env_steps"]))
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            continue  # damaged, or of a policy that was not trained: `report` says so
    return found


def _rate(cell: Cell, known: Sequence[tuple[str, str, float]]) -> float:
    same_env = [(name, rate) for name, env, rate in known if env == cell.env]
    same = [rate for name, rate in same_env if name == cell.name]
    return statistics.median(same or [rate for _, rate in same_env] or [rate for *_, rate in known])
