"""A judge's score as the expectation over the digits that it might have written."""

from __future__ import annotations

import math
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ..calls.store import Reply
from ..questions import read_number

LEAST_MASS = 0.5
"""Probability that the listed tokens from 0 to 10 must have together; with less the list says too little."""


@dataclass(config=ConfigDict(allow_inf_nan=False))
class _Token:
    token: str
    logprob: float = Field(le=1e-6, strict=True)


@dataclass
class _Position:
    token: str
    top_logprobs: list[_Token] = Field(min_length=1)


@dataclass
class _Logprobs:
    content: list[_Position] = Field(min_length=1)


_LOGPROBS = TypeAdapter(_Logprobs)


def expected_score(reply: Reply, is_constrained: bool = False) -> float | None:
    """The mean of the scores 0 to 10, weighed by the probabilities of their digits; None where they cannot be known.

    They are read at the first token that is not blank. Where 10 is written as 1 and 0, what was written after the 1
    divides its probability between 1 and 10. Probabilities that are no probabilities (above 1, in sum or alone, or of
    other tokens than what was written) count as not given.

    Args:
        reply: Of a judge.
        is_constrained: Whether only a score could be written, so that what else is likely does not count.
    """
    written = read_number(reply)
    if written is None or written != int(written):
        return None
    positions = [position for position in _positions(reply.logprobs) if position.token.strip()]
    mass = _masses(positions[0]) if positions else {}
    if (
        not mass
        or positions[0].token.strip() not in mass
        or not str(int(written)).startswith(positions[0].token.strip())
    ):
        return None
    scores = {int(token): p for token, p in mass.items() if token in map(str, range(11))}
    if positions[0].token.strip() == "1" and len(positions) > 1:
        ten = _masses(positions[1]).get("0", 0.0)
        scores[10] = scores.get(10, 0.0) + scores[1] * ten
        scores[1] *= 1.0 - ten
    total = sum(scores.values())
    return (
        sum(score * p for score, p in scores.items()) / total
        if total >= (0.0 if is_constrained else LEAST_MASS)
        else None
    )


def _positions(logprobs: Any) -> list[_Position]:
    try:
        return _LOGPROBS.validate_python(logprobs).content
    except ValidationError:
        return []


def _masses(position: _Position) -> dict[str, float]:
    """Probability of each listed token, blanks aside; empty if they are none."""
    found: dict[str, float] = {}
    for one in position.top_logprobs:
        found[one.token.strip()] = found.get(one.token.strip(), 0.0) + math.exp(one.logprob)
    return found if sum(found.values()) <= 1.01 else {}
