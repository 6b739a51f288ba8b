"""What recorded figures say of two modelled numbers: how well a gate reads, and what a change of expert costs a video.

Run `python -m edge_experts.envs.tables.agreement`. It prints the skill and the noise that are the defaults of a
scenario's `gate`, from the text table's second judge, and the `coherence` of video, from the recorded temporal
consistency.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .quality_table import QualityTable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """A second judge beside the recorded quality, on the experts and prompts that both scored.

    Attributes:
        prompts: How many prompts.
        experts: How many experts.
        overall: Pearson correlation of the two judges over all scores.
        within: The same within a prompt: of deviations from the prompt's mean over the experts.
        skill: How much of a prompt's own deviation from an expert's mean in its category the second judge sees.
        noise: Standard deviation of a reading's error with which the modelled gate of this skill agrees as well,
            within a
            prompt, with the recorded quality.
    """

    prompts: int
    experts: int
    overall: float
    within: float
    skill: float
    noise: float


def agreement(table: QualityTable, column: str) -> Agreement:
    """Compare a column of a second judge with the recorded quality.

    Raises:
        KeyError: if the table has no such column.
    """
    second = table.dimensions[column]
    judged = np.flatnonzero(~np.isnan(second).all(axis=0))
    rows = np.flatnonzero(~np.isnan(second[:, judged]).any(axis=1))
    first, second = table.quality[np.ix_(rows, judged)], second[np.ix_(rows, judged)]
    category = table.category[rows]
    own, other = first - _means(first, category), second - _means(second, category)
    skill = float((_within(own) * _within(other)).sum() / (_within(own) ** 2).sum())
    within = _correlation(_within(first), _within(second))
    return Agreement(
        prompts=len(rows),
        experts=len(judged),
        overall=_correlation(first, second),
        within=within,
        skill=skill,
        noise=_noise(first, _means(first, category), skill, within),
    )


def _noise(quality: Floats, prior: Floats, skill: float, wanted: float) -> float:
    """The noise with which readings `prior + skill * (quality - prior) + noise` correlate as wanted within a prompt.

    With independent errors of variance v, deviations from the mean of n experts have an error variance of v (n - 1) /
    n.
    """
    signal, truth = _within(prior + skill * (quality - prior)), _within(quality)
    explained = float((signal * truth).mean()) ** 2 / float((truth**2).mean()) / wanted**2
    n = quality.shape[1]
    return float(np.sqrt(max(0.0, explained - float((signal**2).mean())) * n / (n - 1)))


def _within(values: Floats) -> Floats:
    return np.asarray(values - values.mean(axis=1, keepdims=True))


def _means(values: Floats, category: NDArray[np.int64]) -> Floats:
    """Every expert's mean over the category of each prompt: (N, E)."""
    means = np.stack([values[category == c].mean(axis=0) for c in range(int(category.max()) + 1)])
    return np.asarray(means[category])


def _correlation(first: Floats, second: Floats) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def coherence_of_change(table: QualityTable, column: str) -> float:
    """Quality factor of a change of expert, from a recorded dimension that rates how consistent a whole output is.

    A joined output is taken to be as consistent as the less consistent of the two experts' own. Quality is the mean of
    the D dimensions that a prompt was rated on, so it falls by half the difference between the two over D; the factor
    is the mean over the prompts rated on the dimension and all pairs of experts.
    """
    values = table.dimensions[column]
    rows = np.flatnonzero(~np.isnan(values).any(axis=1))
    rated = np.sum([~np.isnan(other[rows]).any(axis=1) for other in table.dimensions.values()], axis=0)
    factors = []
    for a, b in combinations(range(len(table.experts)), 2):
        fall = np.abs(values[rows, a] - values[rows, b]) / 2 / rated
        factors.append(1.0 - fall / ((table.quality[rows, a] + table.quality[rows, b]) / 2))
    return float(np.mean(factors))


def main() -> None:
    """Print the gate and the coherence that follow from the shipped tables."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found = agreement(QualityTable.load("text"), "second_judge")
    print(f"text: {found.prompts} prompts, {found.experts} experts that both judges scored")
    print(f"agreement: {found.overall:.3f} over all scores, {found.within:.3f} within a prompt")
    print(f"a modelled gate that reads as well: skill {found.skill:.2f}, noise {found.noise:.2f}")
    coherence = coherence_of_change(QualityTable.load("video"), "temporal_consistency")
    print(f"video: a change of expert costs a factor of {coherence:.2f}")


if __name__ == "__main__":
    main()
