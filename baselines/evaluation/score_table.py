"""Results as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..markdown import table
from .metrics import mean_interval

COLUMNS = (
    "policy",
    "normalised score",
    "95 % interval",
    "score",
    "user",
    "provider",
    "quality",
    "p95 latency s",
    "missed",
    "Jain",
)


def score_table(results: Sequence[dict[str, Any]]) -> str:
    """One row a result, as a Markdown table: normalised score, score, mean return by role, and service measures."""
    return table(COLUMNS, [_row(result) for result in results], is_padded=True)


def across_checkpoints(results: Sequence[dict[str, Any]]) -> str:
    """Mean normalised score over several checkpoints of one training job, with Student's t interval over them."""
    interval = mean_interval([result["normalised_score"]["mean"] for result in results])
    return f"over {len(results)} checkpoints: normalised score {interval}"


def _row(result: dict[str, Any]) -> tuple[str, ...]:
    score = result["normalised_score"]
    return (
        result["policy"],
        f"{score['mean']:.3f}",
        f"{score['low']:.3f} to {score['high']:.3f}",
        f"{result['score']['mean']:.2f}",
        f"{result['returns']['user']['mean']:.2f}",
        f"{result['returns']['provider']['mean']:.2f}",
        "-" if result["quality"] is None else f"{result['quality']:.3f}",
        "-" if result["latency_s"]["p95"] is None else f"{result['latency_s']['p95']:.1f}",
        f"{100 * result['deadline_miss_rate']:.1f} %",
        f"{result['jain_index']:.2f}",
    )
