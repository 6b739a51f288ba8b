"""What a recording will ask and cost, before anybody is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from . import questions as q
from .calls.budget import price
from .judges.report import CALLS_OF_A_PROBE
from .plan import TOKENS, Endpoint, Plan
from .prompts import Prompts

BYTES_PER_TOKEN = 4  # of English, OpenAI's rule of thumb


class Line(NamedTuple):
    """Calls, tokens and dollars of an endpoint."""

    role: str
    model: str
    calls: int
    tokens_in: int
    tokens_out: int
    usd: float


def estimate(plan: Plan, prompts: Prompts) -> list[Line]:
    """Calls, tokens and dollars by role, if every prompt is split, and replies are as long as `max_tokens` allows.

    Judges are counted with one call a score, as of endpoints that give log-probabilities; others need three. Questions
    that are asked again are not counted.
    """
    places = dict(plan.endpoints())
    work = {
        "gate": _gate,
        "experts": _experts,
        "fuser": _fuser,
        "judges": _judges,
    }
    lines = []
    for place, endpoint in places.items():
        kind = place.partition(".")[0]
        asked = [one for row in prompts.rows for one in work[kind](plan, row.text)]
        if kind == "judges":
            probes = min(plan.probes, len(prompts.rows) * plan.parts)
            asked.append((CALLS_OF_A_PROBE * probes, 2 * _answer_bytes(plan)))
        calls, read = sum(n for n, _ in asked), sum(n * size for n, size in asked) // BYTES_PER_TOKEN
        written = calls * longest(place, endpoint)
        lines.append(Line(place, endpoint.model, calls, read, written, price(endpoint, read, written)))
    return lines


def longest(place: str, endpoint: Endpoint) -> int:
    """The longest reply of an endpoint, tokens."""
    return endpoint.max_tokens or TOKENS[place.partition(".")[0].removesuffix("s")]


Asked = Iterator[tuple[int, int]]  # calls, and the bytes of each


def _gate(plan: Plan, text: str) -> Asked:
    if plan.parts > 1:
        yield 1, _size(q.ask_split(text, plan.parts))
    yield plan.parts, _size(q.ask_readings(text, plan.experts))


def _experts(plan: Plan, text: str) -> Asked:
    yield plan.parts * plan.replicas, len(text.encode())


def _fuser(plan: Plan, text: str) -> Asked:
    yield _fusions(plan), _size(q.ask_fusion(text, ["x" * _answer_bytes(plan)] * plan.parts))


def _judges(plan: Plan, text: str) -> Asked:
    size = _size(q.ask_score(text, ""))
    yield plan.parts * plan.replicas * len(plan.experts), size + _answer_bytes(plan)
    if plan.fuser is not None:
        yield _fusions(plan), size + BYTES_PER_TOKEN * longest("fuser", plan.fuser)


def _fusions(plan: Plan) -> int:
    return min(plan.fusions, len(plan.experts) ** plan.parts)


def _answer_bytes(plan: Plan) -> int:
    return BYTES_PER_TOKEN * max(longest("experts", expert) for expert in plan.experts)


def _size(messages: q.Messages) -> int:
    return sum(len(message["content"].encode()) for message in messages)
