"""Estimators and measures, against hand-worked cases and other people's code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from edge_experts.baselines.evaluation.metrics import gini_index, worst_decile
from edge_experts.baselines.leaderboard.bootstrap import (
    bootstrap_band,
    bootstrap_interval,
    difference_of_means,
    interquartile_mean,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)

RNG = np.random.default_rng(0)
TWO = [RNG.random(8), RNG.random(12)]


def test_interquartile_mean_is_the_mean_of_the_middle_half() -> None:
    assert interquartile_mean([np.array([0.0, 1.0]), np.array([2.0, 100.0])]) == 1.5
    assert interquartile_mean(TWO) == pytest.approx(stats.trim_mean(np.concatenate(TWO), 0.25))
    assert interquartile_mean([np.array([0.3])]) == 0.3


def test_optimality_gap_counts_what_is_missing_only() -> None:
    assert optimality_gap([np.array([0.5, 1.5]), np.array([1.0, 0.0])]) == pytest.approx((0.25 + 0.5) / 2)


def test_probability_of_improvement_counts_pairs_and_halves_ties() -> None:
    a, b = [np.array([1.0, 2.0]), np.array([0.0])], [np.array([1.0, 0.0, 3.0]), np.array([0.0])]
    assert probability_of_improvement(a, b) == pytest.approx(((0.5 + 1 + 0 + 1 + 1 + 0) / 6 + 0.5) / 2)
    assert probability_of_improvement(a, b) + probability_of_improvement(b, a) == pytest.approx(1.0)
    u = stats.mannwhitneyu(TWO[0], TWO[1]).statistic
    assert probability_of_improvement([TWO[0]], [TWO[1]]) == pytest.approx(u / 96)


def test_profiles_fall_from_one_to_nothing() -> None:
    levels = np.linspace(-0.1, 1.1, 13)
    profile = performance_profile(TWO, levels)
    assert profile[0] == 1.0 and profile[-1] == 0.0 and (np.diff(profile) <= 0).all()
    assert performance_profile([np.array([0.5, 0.7])], np.array([0.6])).tolist() == [0.5]


def mean(scores: list[np.ndarray]) -> np.ndarray:
    return np.mean([runs.mean(axis=-1) for runs in scores], axis=0)


def test_estimators_of_many_samples_are_those_of_each() -> None:
    """The axes before the last stay, as the bootstrap needs it."""
    samples, others = ([RNG.random((6, 8)).round(1), RNG.random((6, 3)).round(1)] for _ in range(2))
    levels = np.linspace(0, 1, 4)
    cases: list[tuple[Any, list[Any]]] = [
        (interquartile_mean, [samples]),
        (optimality_gap, [samples]),
        (probability_of_improvement, [samples, others]),
        (difference_of_means, [samples, others]),
        (lambda scores: performance_profile(scores, levels), [samples]),
    ]
    for estimate, given in cases:
        each = [estimate(*([runs[i] for runs in scores] for scores in given)) for i in range(6)]
        np.testing.assert_allclose(estimate(*given), each)


def test_bootstrap_is_stratified_and_covers() -> None:
    """Runs are drawn within their environment: what never varies there adds nothing to the interval."""
    apart = [np.zeros(5), np.ones(5)]
    one = bootstrap_interval(mean, apart)
    assert (one.mean, one.low, one.high) == (0.5, 0.5, 0.5)
    sample = [np.random.default_rng(1).normal(0.5, 0.1, 200)]
    interval = bootstrap_interval(mean, sample)
    half = 1.96 * sample[0].std(ddof=1) / np.sqrt(200)
    assert interval.high - interval.mean == pytest.approx(half, rel=0.1)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.1)
    assert str(bootstrap_interval(mean, sample)) == str(interval)  # the same every time
    low, high = bootstrap_band(lambda scores: performance_profile(scores, np.linspace(0, 1, 5)), sample)
    assert low.shape == high.shape == (5,) and (low <= high).all()
    alone = bootstrap_interval(mean, [np.array([0.3])])
    assert alone.mean == 0.3 and np.isnan(alone.low)


def test_inequality_against_the_definition() -> None:
    x = RNG.random(9)
    pairs = np.abs(x[:, None] - x).sum() / (2 * 9**2 * x.mean())
    assert gini_index(x) == pytest.approx(pairs)
    assert gini_index([1, 1, 1]) == 0.0 and gini_index([0, 0, 0, 4]) == pytest.approx(0.75)
    assert gini_index([-1.0, 0.0]) == 0.0
    assert worst_decile(np.arange(30)) == 1.0 and worst_decile([3.0, 1.0, 2.0]) == 1.0
