"""No endpoint is asked faster than its plan allows: requests and tokens a minute."""

from __future__ import annotations

import asyncio
import time

from edge_experts.recording.calls.budget import most_tokens
from edge_experts.recording.calls.client import Client
from edge_experts.recording.calls.store import Call
from edge_experts.recording.plan import Endpoint

CALL = Call(
    role="expert/alpha",
    model="alpha",
    parameters={"max_tokens": 80},
    messages=({"role": "user", "content": "a task"},),
    replica=0,
    prompt="0",
    part=-1,
)


def seconds_for(turns: int, **limits: float) -> float:
    """How long it takes until so many calls have had their turn."""

    async def wait() -> float:
        client = Client("experts.alpha", Endpoint(base_url="http://127.0.0.1:1/v1", model="alpha", **limits), "")
        started = time.perf_counter()
        await asyncio.gather(*(client._wait_for_turn(CALL) for _ in range(turns)))
        return time.perf_counter() - started

    return asyncio.run(wait())


def test_requests_a_minute() -> None:
    assert seconds_for(120, rpm=6000) >= 0.19, "a hundred at once, then one every hundredth of a second"
    assert seconds_for(10, rpm=600) < 3.0, "a second's share is not held back"


def test_tokens_a_minute() -> None:
    read, written = most_tokens(CALL)
    each = read / 4 + written
    bucket = 10 * each
    assert seconds_for(10, tpm=bucket) < 3.0, "the eleventh would wait for six seconds"
    assert seconds_for(302, tpm=300 * each) >= 0.35, "two more than a minute's, at five a second"


def test_no_limit_is_no_wait() -> None:
    assert seconds_for(1000) < 3.0
