"""What a composed request is worth, in [0, 1].

A rule sees the experts that were chosen for the parts, of which the first `n` count, and the figures of all X experts
for the request's prompt: recorded quality, work of a part, recorded aspects, the gate's readings.
"""

from __future__ import annotations

from typing import Any

from .bitexact import exp
from .jit import formula

TEXT, VIDEO, OBJECT3D, ENSEMBLE = 0, 1, 2, 3
# the recorded columns that a rule reads, in the order of `aspects`
ASPECTS = {TEXT: (), VIDEO: ("temporal_consistency",), OBJECT3D: ("alignment", "geometry", "texture"), ENSEMBLE: ()}


@formula
def compose_text(experts: Any, n: int, quality: Any, work: Any, coherence: float) -> float:
    """Text: the word-weighted mean of the segments' recorded scores, times `coherence` for each change of expert.

    Args:
        experts: (K,) int, the experts of the segments.
        n: Number of segments that count.
        quality: (X,) recorded scores.
        work: (X,) words of a segment; 0 for an expert that answered with nothing.
        coherence: Factor per change between neighbours (modelled).
    """
    scores, weight, changes = 0.0, 0.0, 0
    for i in range(n):
        e = experts[i]
        scores += quality[e] * work[e]
        weight += work[e]
        if i > 0 and experts[i - 1] != e:
            changes += 1
    if weight <= 0.0:
        return 0.0
    return scores / weight * coherence**changes


@formula
def compose_video(experts: Any, n: int, quality: Any, aspects: Any) -> float:
    """Video: the mean of the scenes' recorded quality; each change of expert between neighbours multiplies by the
    recorded temporal consistency of both.

    Args:
        experts: (K,) int, the experts of the scenes.
        n: Number of scenes that count.
        quality: (X,) mean of the recorded dimensions.
        aspects: (X, 1) recorded temporal consistency.
    """  # noqa: D205
    total, factor = 0.0, 1.0
    for i in range(n):
        e = experts[i]
        total += quality[e]
        if i > 0 and experts[i - 1] != e:
            factor *= aspects[e, 0] * aspects[experts[i - 1], 0]
    return total / n * factor


@formula
def compose_object3d(experts: Any, n: int, aspects: Any, transfer: float) -> float:
    """3D: the mean of the geometry's expert's recorded geometry, the texture's expert's recorded texture, and the mean
    recorded alignment of both; different experts multiply by a transfer factor.

    Args:
        experts: (K,) int: geometry first, texture last. A part that is missing counts as done by the one before.
        n: Number of parts that count.
        aspects: (X, 3) recorded alignment, geometry, texture.
        transfer: Factor where the parts are of different experts (modelled).
    """  # noqa: D205
    g, t = experts[0], experts[n - 1]
    alignment = 0.5 * (aspects[g, 0] + aspects[t, 0])
    value = (aspects[g, 1] + aspects[t, 2] + alignment) / 3.0
    return value if g == t else value * transfer


@formula
def compose_ensemble(experts: Any, n: int, quality: Any, gate: Any, temperature: float) -> float:
    """Top-k: the recorded scores weighed by the softmax of the gate's readings over the chosen experts.

    Source: the client's output in networked MoE, arXiv 2511.01743.

    Args:
        experts: (K,) int, the k experts.
        n: Number of experts that count.
        quality: (X,) recorded scores.
        gate: (X,) the gate's readings.
        temperature: Divides the readings.
    """
    total, weight = 0.0, 0.0
    for i in range(n):
        share = exp((gate[experts[i]] - gate[experts[0]]) / temperature)
        total += share * quality[experts[i]]
        weight += share
    return total / weight


@formula
def gate_reading(prior: float, recorded: float, skill: float, noise: float) -> float:
    """What a gating network would say: the category's mean plus `skill` of the prompt's own deviation plus an error."""
    return min(1.0, max(0.0, prior + skill * (recorded - prior) + noise))


@formula
def coverage(views: float, angle_deg: float) -> float:
    """Share of the turn around an object that evenly spaced views show, each of them `angle_deg` of it."""
    return min(1.0, views * angle_deg / 360.0)
