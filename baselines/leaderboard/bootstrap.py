"""Comparing algorithms over runs and environments by the estimators of rliable, on normalised scores.

Source of all: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021.
    The package
`rliable` itself does not run with the versions used here: it needs a release of `arch` that fails with pandas 3.

Scores are a list with an array (..., runs) for each environment: an algorithm may have another number of runs in
each. Every estimator is over the last axis; the axes before it, as those of resamples, stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.metrics import Interval

Floats = NDArray[np.float64]
Scores = Sequence[Floats]
RESAMPLES = 5_000


def interquartile_mean(scores: Scores) -> Any:
    """Mean of the middle half of all runs: (...)."""
    ordered = np.sort(np.concatenate([np.asarray(runs, float) for runs in scores], axis=-1), axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def optimality_gap(scores: Scores, target: float = 1.0) -> Any:
    """How much runs fall short of a target on average; what exceeds it does not count: (...)."""
    return np.mean([np.maximum(0.0, target - np.asarray(runs, float)).mean(axis=-1) for runs in scores], axis=0)


def probability_of_improvement(first: Scores, second: Scores) -> Any:
    """Chance that a run of the first beats one of the second, averaged over environments; ties are half: (...)."""
    chances = []
    for a, b in zip(first, second, strict=True):
        difference = np.asarray(a, float)[..., :, None] - np.asarray(b, float)[..., None, :]
        chances.append((difference > 0).mean(axis=(-2, -1)) + 0.5 * (difference == 0).mean(axis=(-2, -1)))
    return np.mean(chances, axis=0)


def difference_of_means(first: Scores, second: Scores) -> Any:
    """Mean of the first algorithm's runs less that of the second's, averaged over environments: (...)."""
    pairs = zip(first, second, strict=True)
    return np.mean([np.asarray(a).mean(axis=-1) - np.asarray(b).mean(axis=-1) for a, b in pairs], axis=0)


def performance_profile(scores: Scores, levels: Floats) -> Floats:
    """Share of runs that score above each level, averaged over environments: (..., levels)."""
    above = [(np.asarray(runs, float)[..., :, None] > levels).mean(axis=-2) for runs in scores]
    return np.asarray(np.mean(above, axis=0))


def bootstrap_interval(estimate: Callable[..., Any], *scores: Scores, seed: int = 0) -> Interval:
    """An estimate with its 95 % interval by the stratified bootstrap: runs are drawn anew within each environment.

    Args:
        estimate: Of one `Scores` or of several, over the last axis.
        scores: What it takes, (runs,) each.
        seed: Key of the draws.
    """
    low, high = bootstrap_band(estimate, *scores, seed=seed)
    return Interval(float(estimate(*scores)), float(low), float(high))


def bootstrap_band(estimate: Callable[..., Any], *scores: Scores, seed: int = 0) -> tuple[Any, Any]:
    """Lower and upper end of that interval, of an estimate that may be an array; NaN if something was run only once."""
    if any(len(runs) < 2 for given in scores for runs in given):
        nothing = np.full_like(np.asarray(estimate(*scores), float), np.nan)
        return nothing, nothing
    rng = np.random.default_rng(seed)
    drawn = [
        [np.asarray(runs)[rng.integers(len(runs), size=(RESAMPLES, len(runs)))] for runs in given] for given in scores
    ]
    low, high = np.percentile(estimate(*drawn), [2.5, 97.5], axis=0)
    return low, high
