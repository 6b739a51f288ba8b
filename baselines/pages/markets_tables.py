"""One policy on several markets, by algorithm: what a mixture is worth there, beside its two controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..leaderboard.bootstrap import bootstrap_interval, difference_of_means
from ..leaderboard.data import CONTROLS, MIXTURE, bare
from ..markdown import table


def markets_block(folder: Path) -> str:
    """Scores on every market and on twins, and the mixture less its controls; nothing if nothing was measured.

    Args:
        folder: Of the results of `edge-experts bench --envs all`.
    """
    runs = {
        place.name: [json.loads(file.read_text("utf-8")) for file in sorted(place.glob("seed_*.json"))]
        for place in sorted(folder.iterdir())
        if place.is_dir()
    }
    runs = {name: found for name, found in runs.items() if found}
    if not runs:
        return ""
    ranked = sorted(runs, key=lambda name: -_means(runs[name]).mean())
    markets = list(runs[ranked[0]][0]["scores"])
    rows = [_row(runs[name], markets) for name in ranked]
    steps = max(run["env_steps"] for found in runs.values() for run in found)
    header = ["algorithm", "runs", "mean", "least to greatest", "twins", *map(bare, markets), "CPU-seconds"]
    parts = [
        f"One policy for all {len(markets)} markets, {steps:,} slots of training in all, mean normalised scores:",
        table(header, rows),
    ]
    if MIXTURE in runs:
        parts.append(_verdict(runs))
    return "\n\n".join(parts)


def _means(runs: list[dict[str, Any]]) -> Any:
    return np.array([run["normalised_score"] for run in runs])


def _row(runs: list[dict[str, Any]], markets: list[str]) -> list[str]:
    means = _means(runs)
    twins = np.mean([np.mean(list(run["heldout"].values())) for run in runs])
    by_market = [f"{np.mean([run['scores'][market] for run in runs]):.2f}" for market in markets]
    spread = f"{means.min():.3f} to {means.max():.3f}"
    cpu = f"{np.mean([run['cpu_time_s'] for run in runs]):,.0f}"
    return [runs[0]["title"], str(len(runs)), f"{means.mean():.3f}", spread, f"{twins:.3f}", *by_market, cpu]


def _verdict(runs: dict[str, list[dict[str, Any]]]) -> str:
    """The mixture less each control; a run's markets are not independent, so runs are drawn anew, not their markets."""
    told = []
    beats = True
    for control in CONTROLS:
        if control not in runs:
            return ""
        found = bootstrap_interval(difference_of_means, [_means(runs[MIXTURE])], [_means(runs[control])])
        beats = beats and found.low > 0.0
        title = runs[control][0]["title"]
        told.append(f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}] over {title}")
    verdict = "So the mixture beats both." if beats else "So the mixture does not beat both of its controls."
    return f"{runs[MIXTURE][0]['title']} has {' and '.join(told)} (95 % intervals, bootstrap over runs). {verdict}"
