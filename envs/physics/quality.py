"""What a composed request is worth, in [0, 1].

A rule sees the answers to the K parts of a request, of which the first `n` count: which expert gave it, its recorded
quality, work and aspects, and what the gate had said of that expert.
"""

from __future__ import annotations

from typing import Any

from .bitexact import exp
from .jit import formula

TEXT, VIDEO, OBJECT3D, ENSEMBLE = 0, 1, 2, 3
# the recorded columns that a rule reads, in the order of `aspects`
ASPECTS = {TEXT: (), VIDEO: (), OBJECT3D: ("alignment", "geometry", "texture"), ENSEMBLE: ()}
OWN_PARTS = (TEXT, VIDEO)
"""The rules whose parts are tasks of their own, unless a scenario says otherwise."""


@formula
def compose_text(experts: Any, n: int, quality: Any, work: Any, coherence: float) -> float:
    """Text: the word-weighted mean of the segments' recorded scores, times `coherence` for each change of expert.

    Args:
        experts: (K,) int, the experts of the segments.
        n: Number of segments that count.
        quality: (K,) recorded scores.
        work: (K,) words of a segment; 0 where an expert answered with nothing.
        coherence: Factor per change between neighbours (modelled).
    """
    scores, weight, changes = 0.0, 0.0, 0
    for i in range(n):
        scores += quality[i] * work[i]
        weight += work[i]
        if i > 0 and experts[i - 1] != experts[i]:
            changes += 1
    if weight <= 0.0:
        return 0.0
    return scores / weight * coherence**changes


@formula
def compose_video(experts: Any, n: int, quality: Any, coherence: float) -> float:
    """Video: the scenes' mean recorded quality, times `coherence` for each change of expert between neighbours.

    Args:
        experts: (K,) int, the experts of the scenes.
        n: Number of scenes that count.
        quality: (K,) mean of the recorded dimensions.
        coherence: Factor per change; from the recorded temporal consistency (`tables.agreement`).
    """
    total, changes = 0.0, 0
    for i in range(n):
        total += quality[i]
        if i > 0 and experts[i - 1] != experts[i]:
            changes += 1
    return total / n * coherence**changes


@formula
def compose_object3d(experts: Any, n: int, aspects: Any, transfer: float) -> float:
    """3D: the mean of the geometry's expert's recorded geometry, the texture's expert's recorded texture, and the mean
    recorded alignment of both; different experts multiply by a transfer factor.

    Args:
        experts: (K,) int: geometry first, texture last. A part that is missing counts as done by the one before.
        n: Number of parts that count.
        aspects: (K, 3) recorded alignment, geometry, texture.
        transfer: Factor where the parts are of different experts (modelled).
    """  # noqa: D205
    t = n - 1
    alignment = 0.5 * (aspects[0, 0] + aspects[t, 0])
    value = (aspects[0, 1] + aspects[t, 2] + alignment) / 3.0
    return value if experts[0] == experts[t] else value * transfer


@formula
def compose_ensemble(n: int, quality: Any, gate: Any, temperature: float) -> float:
    """Top-k: the recorded scores weighed by the softmax of the gate's readings of the experts that answered.

    Source: the client's output in networked MoE, arXiv 2511.01743.

    Args:
        n: Number of answers that count.
        quality: (K,) recorded scores.
        gate: (K,) the gate's readings.
        temperature: Divides the readings.
    """
    total, weight = 0.0, 0.0
    for i in range(n):
        share = exp((gate[i] - gate[0]) / temperature)
        total += share * quality[i]
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
