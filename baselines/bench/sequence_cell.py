"""One cell of the benchmark on one market after another: what is learned there, and what is forgotten of the others.

Source of the measures: Chaudhry et al., "Riemannian walk for incremental learning", ECCV 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edge_experts.agents.checkpoints.metadata import checkpoints_of, read_description
from edge_experts.agents.market_names import stages_of
from edge_experts.configs.train.common import budget
from edge_experts.envs import load_scenario

from ..provenance import provenance
from .cell import (
    PROGRESS,
    command_of,
    described,
    job_of,
    policies_of,
    score_on,
    train_on,
    write_result,
)
from .markets_cell import mode_of
from .protocol import Task


def run_sequence_cell(task: Task, references: Mapping[str, Any]) -> dict[str, Any]:
    """Train on each market in turn from the weights of the one before, with a new optimiser, and evaluate on all.

    Unless it is done; a run that was killed goes on. Steps, where they are given, are those of all stages together.
    """
    cell, stages = task.cell, stages_of(task.cell.env)
    markets = list(dict.fromkeys(stages))
    rows: list[dict[str, Any]] = []
    commands, before = [], None
    for i, market in enumerate(stages):
        folder = cell.folder(task.runs) / f"stage_{i}"
        steps = task.benchmark.steps // len(stages) if task.benchmark.steps else budget(market)
        job = replace(job_of(replace(cell, env=market), steps, 1, folder), restore=before)
        train_on(job, folder, steps)
        before = checkpoints_of(folder)[-1]
        commands.append(command_of(job))
        rows.append(_stage(before, stages, i, markets, references))
    scores = [row["scores"] for row in rows]
    result = {
        **described(cell),
        "stages": list(stages),
        "normalised_score": float(np.mean(list(scores[-1].values()))),
        "forgetting": forgetting(scores, stages[-1]),
        **{name: sum(row[name] for row in rows) for name in PROGRESS},
        "rows": rows,
        "commands": commands,
        "provenance": {market: provenance(load_scenario(market)) for market in markets},
    }
    write_result(task, result)
    return result


def _stage(
    checkpoint: Any, stages: Sequence[str], i: int, markets: Sequence[str], references: Mapping[str, Any]
) -> dict[str, Any]:
    """What a stage ended with: its score on every market, in the mode that validation chose on those trained so far."""
    policies = policies_of(checkpoint)
    mode = mode_of(policies, dict.fromkeys(stages[: i + 1]), references)
    about = read_description(checkpoint)
    return {
        "env": stages[i],
        "mode": mode,
        "scores": {market: score_on(policies[mode], market, references) for market in markets},
        **{name: about[name] for name in PROGRESS},
    }


def forgetting(scores: Sequence[Mapping[str, float]], last: str) -> float:
    """How far markets have fallen below their best score after any stage but the last: the mean, which may be negative.

    Args:
        scores: After each stage, of every market.
        last: The market that was trained last, which is left out.

    Returns:
        0 where no other market was trained.
    """
    others = [market for market in scores[-1] if market != last]
    falls = [max(row[market] for row in scores[:-1]) - scores[-1][market] for market in others]
    return float(np.mean(falls)) if falls else 0.0
