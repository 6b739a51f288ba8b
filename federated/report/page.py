"""Tables of results, with intervals over seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .law import CHOICES

SCORES = ("global", "personal", "worst")


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
        scores = ["{:.3f} ± {:.3f}".format(*interval([row[n] for row in mine])) for n in SCORES]
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
        lines.append(f"| {name_of(value)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def name_of(concentration: float | None) -> str:
    """How tables and pictures call a concentration."""
    return "IID" if concentration is None else f"{concentration:g}"


def use_table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of `details.json`: load of the experts, what it took to reach the target, epsilon.

    The load is the share of the gate's weight that the busiest expert gets (even: one over the experts); rounds and
    bits are means over the seeds that reached the target.
    """
    lines = [
        "| method | busiest expert | seeds that reached the target | rounds to it | Mbit up to it | epsilon |",
        "|---|---|---|---|---|---|",
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        reached = [row for row in mine if row["rounds_to_target"] is not None]
        cells = [f"{np.mean([max(row['load']) for row in mine]):.2f}" if mine[0]["load"] else "-"]
        cells += [f"{len(reached)} of {len(mine)}" if mine[0]["curve"] else "-"]
        cells += [f"{np.mean([row['rounds_to_target'] for row in reached]):.1f}" if reached else "-"]
        cells += [f"{np.mean([row['bits_up_to_target'] for row in reached]) / 1e6:.1f}" if reached else "-"]
        cells += ["-" if mine[0]["epsilon"] is None else f"{mine[0]['epsilon']:.0f}"]
        if set(cells) != {"-"}:
            lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def compared(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    """A Markdown table of the differences of two runs on the same seeds, for methods that use the shared features."""
    lines = ["| FedSC less FedCE | global | personal | worst client |", "|---|---|---|---|"]
    for method in ("own", "fedavg_gate", "fedgate"):
        one, other = ({row["seed"]: row for row in run if row["method"] == method} for run in (rows, others))
        found = [interval([one[seed][name] - other[seed][name] for seed in one]) for name in SCORES]
        lines.append(f"| {method} | {' | '.join(f'{mean:+.3f} ± {half:.3f}' for mean, half in found)} |")
    return "\n".join(lines)


def block(results: dict[str, list[dict[str, Any]]], law: list[dict[str, Any]]) -> str:
    """What the documentation shows of some runs: two tables each, and what personal biases of the gate are worth.

    Args:
        results: Rows of `details.json` by the name of the plan.
        law: Rows of `law.json`.
    """
    parts = []
    for name, rows in results.items():
        seeds = len({row["seed"] for row in rows})
        gains = {kind: difference(rows, "fedgate", "fedavg_gate", kind) for kind in ("personal", "global")}
        said = " and ".join(f"{mean:+.3f} ± {half:.3f} {kind}" for kind, (mean, half) in gains.items())
        told = [f"### {name}", "", f"Means and 95% intervals over {seeds} seeds.", "", table(rows), "", use_table(rows)]
        parts.append("\n".join([*told, "", f"FedGate less the FedAvg gate, seed by seed: {said} accuracy."]))
    if {"dirichlet01", "dirichlet01_fedsc"} <= set(results):
        parts += ["### Without labels", compared(results["dirichlet01_fedsc"], results["dirichlet01"])]
    return "\n\n".join([*parts, "### The law of specialisation", law_table(law)])


def stored(folder: Path) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """Details of every run under a folder by the run's name, and the rows of `law.json` there."""
    runs = {p.parent.name: json.loads(p.read_text("utf-8")) for p in sorted(folder.glob("*/details.json"))}
    return runs, json.loads((folder / "law.json").read_text("utf-8"))["rows"]
