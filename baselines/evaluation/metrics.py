"""Means with intervals, and the measures of a mixed-motive game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from edge_experts.agents.score_reference import normalised_score


@dataclass(frozen=True)
class Interval:
    """A mean and the 95 % confidence interval around it."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(values: ArrayLike) -> Interval:
    """Mean with Student's t interval; a single value has no interval (NaN)."""
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    if len(sample) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.975, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample)))
    return Interval(mean, mean - half, mean + half)


def normalised_interval(policy: Sequence[float], floor: Sequence[float], bound: Sequence[float]) -> Interval:
    """Normalised score `(x - random) / (reference - random)` of mean returns over the same episodes.

    The interval is the percentile bootstrap's, over episodes drawn together for all three policies: they faced the
    same episodes, so their differences vary less than they do.
    """
    x, low, high = (np.asarray(values, dtype=float) for values in (policy, floor, bound))

    def score(x: Any, low: Any, high: Any, axis: int = -1) -> Any:
        return normalised_score(x.mean(axis), low.mean(axis), high.mean(axis))

    mean = float(score(x, low, high))
    if len(x) < 2 or np.ptp(x - low) == 0.0 or np.ptp(x - high) == 0.0:
        return Interval(mean, mean, mean)  # the floor and the bound themselves
    result = stats.bootstrap(
        (x, low, high), score, paired=True, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    )
    return Interval(mean, float(result.confidence_interval.low), float(result.confidence_interval.high))


def gini_index(values: ArrayLike) -> float:
    """Gini's index of inequality, half the relative mean absolute difference: 0 is equal, (n - 1)/n is one takes all.

    Values below zero count as zero.
    """
    x = np.sort(np.maximum(np.asarray(values, dtype=float), 0.0))
    n, total = len(x), float(x.sum())
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * total)) if total > 0.0 else 0.0


def worst_decile(values: ArrayLike) -> float:
    """Mean of the lowest tenth of the values, of one at least."""
    x = np.sort(np.asarray(values, dtype=float))
    return float(x[: max(1, len(x) // 10)].mean())


def jain_index(values: ArrayLike) -> float:
    """Jain's fairness index `(sum x)^2 / (n sum x^2)` of non-negative values: 1 is equal, 1/n is one takes all.

    Values below zero count as zero. Source: Jain, Chiu and Hawe, DEC-TR-301, 1984.
    """
    x = np.maximum(np.asarray(values, dtype=float), 0.0)
    squares = float((x**2).sum())
    return float(x.sum() ** 2 / (len(x) * squares)) if squares > 0.0 else 1.0
