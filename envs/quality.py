"""What a composed request is worth, in [0, 1]."""

from __future__ import annotations

from .jit import formula


@formula
def compose_text(weighted_scores: float, weight: float, switches: int, coherence: float) -> float:
    """Text: the word-weighted mean of the segments' recorded scores, times `coherence` for each change of expert.

    Args:
        weighted_scores: Sum over segments of recorded score times words.
        weight: Sum of the words; 0 if every expert answered with nothing.
        switches: Number of neighbouring segments from different experts.
        coherence: Factor per change (modelled).
    """
    if weight <= 0.0:
        return 0.0
    return weighted_scores / weight * coherence**switches


@formula
def gate_reading(prior: float, recorded: float, skill: float, noise: float) -> float:
    """What a gating network would say: the category's mean plus `skill` of the prompt's own deviation plus an error."""
    return min(1.0, max(0.0, prior + skill * (recorded - prior) + noise))
