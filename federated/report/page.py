"""Tables of results, with intervals over seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .law import CHOICES


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half of its 95% interval by Student's t over seeds; the half is 0 for one seed."""
    from scipy.stats import t

    count = len(values)
    spread = float(np.std(values, ddof=1) / count**0.5) if count > 1 else 0.0
    return float(np.mean(values)), float(t.ppf(0.975, count - 1)) * spread if count > 1 else 0.0


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of `results.json`: a row for each method, its seeds' means and 95% intervals."""
    lines = [
        "| method | global | personal | worst client | rounds | Mbit up | Mbit down | seconds | joules |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        scores = [
            "{:.3f} ± {:.3f}".format(*interval([row[n] for row in mine])) for n in ("global", "personal", "worst")
        ]
        means = {name: np.mean([row[name] for row in mine]) for name in ("bits_up", "bits_down", "seconds", "joules")}
        costs = [f"{means['bits_up'] / 1e6:.1f}", f"{means['bits_down'] / 1e6:.1f}"]
        costs += [f"{means['seconds']:.1f}", f"{means['joules']:.1f}"]
        lines.append(f"| {method} | {' | '.join(scores)} | {mine[0]['rounds']} | {' | '.join(costs)} |")
    return "\n".join(lines)


def difference(rows: list[dict[str, Any]], method: str, control: str, name: str) -> tuple[float, float]:
    """Mean of a score's differences between two methods on the same seeds, and half of its 95% interval."""
    mine, other = ({row["seed"]: row[name] for row in rows if row["method"] == m} for m in (method, control))
    return interval([mine[seed] - other[seed] for seed in mine])


def law_table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of what ways to choose experts are worth: a row for each concentration."""
    lines = [f"| concentration | {' | '.join(CHOICES)} |", f"|---|{'---|' * len(CHOICES)}"]
    for value in dict.fromkeys(row["concentration"] for row in rows):
        found = [interval([row[name] for row in rows if row["concentration"] == value]) for name in CHOICES]
        cells = [f"{mean:.3f} ± {half:.3f}" for mean, half in found]
        lines.append(f"| {'IID' if value is None else f'{value:g}'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def block(results: dict[str, list[dict[str, Any]]]) -> str:
    """What the documentation shows of some runs: a table each, and what partial synchronisation of the gate is worth.

    Args:
        results: Rows of `results.json` by the name of the plan.
    """
    parts = []
    for name, rows in results.items():
        seeds = len({row["seed"] for row in rows})
        told = [f"### {name}", "", f"Means and 95% intervals over {seeds} seeds.", "", table(rows), ""]
        gains = {kind: difference(rows, "fedgate", "fedavg_gate", kind) for kind in ("personal", "global")}
        said = " and ".join(f"{mean:+.3f} ± {half:.3f} {kind}" for kind, (mean, half) in gains.items())
        parts.append("\n".join([*told, f"FedGate less the FedAvg gate, seed by seed: {said} accuracy."]))
    return "\n\n".join(parts)


def stored(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of every run under a folder, by the run's name."""
    return {p.parent.name: json.loads(p.read_text("utf-8")) for p in sorted(folder.glob("*/results.json"))}
