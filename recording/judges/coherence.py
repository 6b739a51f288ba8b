"""How well the composition rule foretells judged fusions, and with which coherence factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs.physics.quality import compose_text

from ..records import Fusion, Record

FACTORS = np.linspace(0.0, 1.0, 1001)
RESAMPLES = 1000

Floats = NDArray[np.float64]


class Fit(NamedTuple):
    """The rule's fit to judged fusions.

    Attributes:
        factor: What a change of expert leaves of the quality, with the least squared error; None where no fusion
            changes expert.
        low: Lower end of its 95 % interval, from resampled prompts.
        high: Upper end.
        r2: Share of the variance of the judged scores that the rule explains with this factor; negative where it does
            worse than their mean; None without variance.
        bias: Mean of what the rule says less what the judges say, in [0, 1].
        fusions: How many were judged.
        changing: How many of them change expert.
    """

    factor: float | None
    low: float | None
    high: float | None
    r2: float | None
    bias: float | None
    fusions: int
    changing: int


def predicted(record: Record, fusion: Fusion, coherence: float) -> float | None:
    """What the rule for text says of a fusion, in [0, 1], from the judged parts; None where a part has no score."""
    answers = [part.answers[name][0] for part, name in zip(record.parts, fusion.experts, strict=True)]
    quality = [answer.quality for answer in answers]
    if any(score is None for score in quality):
        return None
    names = sorted(set(fusion.experts))
    experts = np.array([names.index(name) for name in fusion.experts])
    words = np.array([float(answer.words) for answer in answers])
    return float(compose_text(experts, len(experts), np.array(quality, float), words, coherence))


def fit_coherence(records: Sequence[Record], seed: int) -> Fit:
    """Find the coherence factor that explains judged fusions best.

    Args:
        records: What was recorded.
        seed: Of the resampling of prompts.
    """
    plain, judged, changes, prompt = [], [], [], []
    for i, record in enumerate(records):
        for fusion in record.fusions:
            rule, score = predicted(record, fusion, 1.0), fusion.answer.quality
            if rule is not None and score is not None:
                plain.append(rule)
                judged.append(score)
                changes.append(fusion.changes)
                prompt.append(i)
    changing = sum(n > 0 for n in changes)
    if not judged:
        return Fit(None, None, None, None, None, 0, 0)
    y, x = np.array(judged), np.array(plain)[:, None] * FACTORS ** np.array(changes)[:, None]
    errors = _by_prompt((x - y[:, None]) ** 2, prompt)
    best = int(errors.sum(axis=0).argmin()) if changing else len(FACTORS) - 1
    spread = float(((y - y.mean()) ** 2).sum())
    low, high = _interval(errors, seed) if changing else (None, None)
    return Fit(
        factor=float(FACTORS[best]) if changing else None,
        low=low,
        high=high,
        r2=1.0 - float(errors[:, best].sum()) / spread if spread > 0 else None,
        bias=float((x[:, best] - y).mean()),
        fusions=len(y),
        changing=changing,
    )


def _by_prompt(errors: Floats, prompt: Sequence[int]) -> Floats:
    """Squared errors summed over the fusions of each prompt: (P, F)."""
    _, index = np.unique(prompt, return_inverse=True)
    out = np.zeros((index.max() + 1, errors.shape[1]))
    np.add.at(out, index, errors)
    return out


def _interval(errors: Floats, seed: int) -> tuple[float, float]:
    n = len(errors)
    counts = np.random.default_rng([seed, 2]).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    low, high = np.quantile(FACTORS[(counts @ errors).argmin(axis=1)], [0.025, 0.975])
    return float(low), float(high)
