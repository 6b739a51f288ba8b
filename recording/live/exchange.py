"""One question at one expert's endpoint: what comes back is passed on as it comes, and counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import EventSource, SSEError

from edge_experts.envs.io.strict_json import parse_json

from ..calls.budget import most_tokens, price
from ..calls.client import Client
from ..calls.store import Call, Reply

DONE = "[DONE]"
THEIRS = (400, 413, 422)  # statuses that say that the question is at fault


class FailedError(Exception):
    """No answer came: the status to tell, and why.

    Args:
        reason: In words.
        status: Of HTTP, for who asked.
        theirs: Whether the question is at fault.
        retry_after: What the endpoint said of when to ask again.
    """

    retry_after: str
    status: int
    theirs: bool

    def __init__(self, reason: str, status: int = 502, theirs: bool = False, retry_after: str = "") -> None:
        super().__init__(reason)
        self.status, self.theirs, self.retry_after = status, theirs, retry_after


@dataclass
class Exchange:
    """A question and what came back of it.

    Args:
        client: Of the expert's endpoint.
        call: What it is sent.
        is_streamed: Whether the answer is asked for in pieces.
        wants_usage: Whether who asked wants the piece that counts tokens.
        clock: Seconds.

    Attributes:
        http: Status of the endpoint; 0: none came.
        first_at: When the first words came.
        text: Of all choices.
    """

    client: Client
    call: Call
    is_streamed: bool
    wants_usage: bool
    clock: Callable[[], float]
    http: int = 0
    first_at: float | None = None
    finish: str = ""
    _texts: list[str] = field(default_factory=list)
    _usage: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """What was written."""
        return "".join(self._texts)

    async def run(self, begun: Callable[[], None]) -> AsyncIterator[str]:
        """The answer as JSON: whole, or piece by piece.

        Args:
            begun: Is told when the endpoint's turn for it has come.

        Raises:
            FailedError: if there is none, or it breaks off.
        """
        place = self.client.place
        try:
            async with self.client.open(self.call, begun) as response:
                self.http = response.status_code
                if self.http != 200:
                    raise self._refusal(response)
                if self.is_streamed:
                    async for piece in self._pieces(response):
                        yield piece
                else:
                    yield self._whole(await response.aread())
        except TimeoutError:
            raise FailedError(f"{place}: no answer within {self.client.endpoint.timeout_s:g} s", 504) from None
        except (httpx.HTTPError, SSEError) as error:
            raise FailedError(f"{place}: the connection broke ({type(error).__name__})") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise FailedError(f"{place}: the answer is not in the form of the interface") from None

    def _refusal(self, response: httpx.Response) -> FailedError:
        """What a status means. The body is not passed on: some endpoints quote the key in it."""
        code, theirs = self.http, self.http in THEIRS
        told = code if theirs or code == 429 else 502
        return FailedError(f"{self.client.place}: HTTP {code}", told, theirs, response.headers.get("retry-after", ""))

    def _whole(self, data: bytes) -> str:
        self.first_at = self.clock()
        body = parse_json(self.client.without_key(data.decode()))
        self._count(body, "message")
        return json.dumps(body)

    async def _pieces(self, response: httpx.Response) -> AsyncIterator[str]:
        async for event in EventSource(response).aiter_sse():
            if event.data == DONE:
                return
            piece = parse_json(self.client.without_key(event.data))
            self._count(piece, "delta")
            if piece["choices"] or self.wants_usage:
                yield json.dumps(piece)
        raise FailedError(f"{self.client.place}: the answer was cut off")

    def _count(self, body: dict[str, Any], part: str) -> None:
        for choice in body["choices"]:
            text = choice[part].get("content")
            if text:
                self.first_at = self.clock() if self.first_at is None else self.first_at
                self._texts.append(text)
            self.finish = choice.get("finish_reason") or self.finish
        if usage := body.get("usage"):
            self._usage = int(usage["prompt_tokens"]), int(usage["completion_tokens"])

    def reply(self, seconds: float) -> Reply:
        """What came back, as the recording keeps it; without the endpoint's own count a token is a byte."""
        tokens_in, tokens_out = self._usage or (most_tokens(self.call)[0], len(self.text.encode()))
        usd = price(self.client.endpoint, tokens_in, tokens_out)
        return Reply(self.text, self.finish, None, tokens_in, tokens_out, seconds, usd)


async def collect(pieces: AsyncIterator[str], into: asyncio.Queue[str | FailedError | None]) -> None:
    """Hand pieces on, then why there are no more, or None."""
    try:
        async for piece in pieces:
            into.put_nowait(piece)
    except FailedError as error:
        into.put_nowait(error)
        raise
    into.put_nowait(None)
