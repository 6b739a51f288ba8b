"""One policy on several markets, at once or in turn, by algorithm: what a mixture is worth beside its two controls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_experts.agents.market_names import ALL, LEFT_OUT
from edge_experts.envs import load_scenario

from ..leaderboard.bootstrap import bootstrap_interval, difference_of_means
from ..leaderboard.data import CONTROLS, MIXTURE, bare
from ..markdown import table


def markets_block(folder: Path) -> str:
    """Scores on every market and on twins, and the mixture less its controls; nothing if nothing was measured.

    Args:
        folder: Of the results of `edge-experts bench --envs all`.
    """
    runs = _runs(folder)
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
    if verdict := _verdict(runs, _means):
        parts.append(verdict)
    return "\n\n".join(parts)


def sequence_block(folder: Path) -> str:
    """One market after another: scores in the end, what was forgotten, and the mixture less its controls.

    Args:
        folder: Of the results of `edge-experts bench --envs 'A>B>C'`.
    """
    runs = _runs(folder)
    if not runs:
        return ""
    ranked = sorted(runs, key=lambda name: -_means(runs[name]).mean())
    stages = runs[ranked[0]][0]["stages"]
    steps = max(run["env_steps"] for found in runs.values() for run in found)
    rows = []
    for name in ranked:
        found = runs[name]
        learned = [np.mean([run["rows"][i]["scores"][market] for run in found]) for i, market in enumerate(stages)]
        final = [np.mean([run["rows"][-1]["scores"][market] for run in found]) for market in stages]
        told = [f"{score:.2f}, {last:.2f}" for score, last in zip(learned, final, strict=True)]
        cpu = f"{np.mean([run['cpu_time_s'] for run in found]):,.0f}"
        means = [f"{_means(found).mean():.3f}", f"{_forgotten(found).mean():.3f}"]
        rows.append([found[0]["title"], str(len(found)), *means, *told, cpu])
    header = ["algorithm", "runs", "mean in the end", "forgotten", *map(bare, stages), "CPU-seconds"]
    parts = [
        f"{' then '.join(map(bare, stages))}, {steps:,} slots in all. Of each market: the score when it had been "
        "trained, and that in the end.",
        table(header, rows),
    ]
    if verdict := _verdict(runs, _means):
        parts.append(f"In the end, {verdict}")
    if verdict := _verdict(runs, lambda found: -_forgotten(found)):
        parts.append(f"Forgetting less counts as more: {verdict}")
    return "\n\n".join(parts)


def left_out_block(folder: Path, alone: Path, references: Mapping[str, Any]) -> str:
    """Markets that a policy was never trained on, beside who was: nothing if nothing was measured.

    Args:
        folder: Of the results of `edge-experts bench --envs all-A` and others, `all` among them.
        alone: Of the results of the leaderboard.
        references: Floor, reference and heuristics of scenarios, by hash.
    """
    rows = []
    for place in sorted(folder.glob(f"{LEFT_OUT}*")):
        name = place.name.removeprefix(LEFT_OUT)
        for algorithm, runs in _runs(place).items():
            market = next(iter(runs[0]["unseen"]))
            known = references[load_scenario(market).hash()]["normalised"]
            together = _runs(folder / ALL).get(algorithm, [])
            special = _runs(alone / name).get(algorithm, [])
            numbers = [
                np.mean([run["unseen"][market] for run in runs]),
                np.mean([run["scores"][market] for run in together]) if together else np.nan,
                _means(special).mean() if special else np.nan,
                *(known.get(heuristic, np.nan) for heuristic in ("myopic", "coordinated")),
            ]
            told = ["-" if np.isnan(number) else f"{number:.2f}" for number in numbers]
            rows.append([name, runs[0]["title"], str(len(runs)), *told])
    if not rows:
        return ""
    header = ["market", "algorithm", "runs", "left out", "trained on with all others", "trained on alone"]
    return table([*header, "*myopic*", "*coordinated*"], rows)


def _runs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The results in a folder by algorithm."""
    places = [place for place in sorted(folder.iterdir()) if place.is_dir()] if folder.is_dir() else []
    runs = {p.name: [json.loads(file.read_text("utf-8")) for file in sorted(p.glob("seed_*.json"))] for p in places}
    return {name: found for name, found in runs.items() if found}


def _forgotten(runs: list[dict[str, Any]]) -> Any:
    return np.array([run["forgetting"] for run in runs])


def _means(runs: list[dict[str, Any]]) -> Any:
    return np.array([run["normalised_score"] for run in runs])


def _row(runs: list[dict[str, Any]], markets: list[str]) -> list[str]:
    means = _means(runs)
    twins = np.mean([np.mean(list(run["heldout"].values())) for run in runs])
    by_market = [f"{np.mean([run['scores'][market] for run in runs]):.2f}" for market in markets]
    spread = f"{means.min():.3f} to {means.max():.3f}"
    cpu = f"{np.mean([run['cpu_time_s'] for run in runs]):,.0f}"
    return [runs[0]["title"], str(len(runs)), f"{means.mean():.3f}", spread, f"{twins:.3f}", *by_market, cpu]


def _verdict(runs: dict[str, list[dict[str, Any]]], measure: Callable[[list[dict[str, Any]]], Any]) -> str:
    """The mixture less each control, nothing if one is missing.

    A run's markets are not independent, so runs are drawn anew, not their markets.
    """
    if not {MIXTURE, *CONTROLS} <= set(runs):
        return ""
    told = []
    beats = True
    for control in CONTROLS:
        found = bootstrap_interval(difference_of_means, [measure(runs[MIXTURE])], [measure(runs[control])])
        beats = beats and found.low > 0.0
        title = runs[control][0]["title"]
        told.append(f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}] over {title}")
    verdict = "So the mixture beats both." if beats else "So the mixture does not beat both of its controls."
    return f"{runs[MIXTURE][0]['title']} has {' and '.join(told)} (95 % intervals, bootstrap over runs). {verdict}"
