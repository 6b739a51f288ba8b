"""Questions over HTTP to an OpenAI-compatible endpoint: limits, time-outs, and what is tried again."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from aiolimiter import AsyncLimiter
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ..plan import Endpoint, PlanError, is_loopback
from .budget import most_tokens, price
from .store import Call, Reply

ATTEMPTS = 6
BACKOFF: Any = wait_random_exponential(multiplier=1.0, max=60.0)
LONGEST_WAIT_S = 600.0


class CallError(PlanError):
    """An endpoint gives no answers; names it and what it said."""


class RefusedError(CallError):
    """An endpoint does not take this one question."""


class MalformedError(CallError):
    """What came back was cut off or not in the form of the interface, several times."""


class _Again(Exception):  # noqa: N818 - not an error but a reason
    """A reason to try again, in how many seconds at the earliest, and whether the work may have been done."""

    def __init__(self, reason: str, after_s: float = 0.0, paid: bool = False, malformed: bool = False) -> None:
        super().__init__(reason)
        self.after_s, self.paid, self.malformed = after_s, paid, malformed


@dataclass
class _Message:
    content: str


@dataclass
class _Choice:
    message: _Message
    finish_reason: str | None = None
    logprobs: Any = None


@dataclass
class _Usage:
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


@dataclass
class _Body:
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


_BODY = TypeAdapter(_Body)


class Ledger(Protocol):
    """Who is told of every attempt, before it costs something and after."""

    async def begin(self, call: Call) -> None:
        """An attempt is about to be made."""

    async def lose(self, call: Call, paid: bool) -> None:
        """It has no answer; `paid`: the endpoint may have done the work."""


class Client:
    """One endpoint.

    Args:
        place: How messages call it, as `experts.alpha`.
        endpoint: Where it is and what its limits are.
        key: Sent with every request and nowhere else; empty: none.
    """

    endpoint: Endpoint
    place: str

    def __init__(self, place: str, endpoint: Endpoint, key: str) -> None:
        self.place, self.endpoint, self._key = place, endpoint, key
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(endpoint.timeout_s),
            verify=_trusted(),
            trust_env=not is_loopback(urlsplit(endpoint.base_url).hostname or ""),
        )
        self._url = f"{endpoint.base_url}/chat/completions"
        self._slots = asyncio.Semaphore(endpoint.parallel)
        # a bucket of a second's requests, so that no minute holds more than its share
        rpm = endpoint.rpm
        self._requests = AsyncLimiter(max(1.0, rpm / 60), max(1.0, 60 / rpm)) if rpm else None
        self._tokens = AsyncLimiter(endpoint.tpm, 60.0) if endpoint.tpm else None
        self._has_answered = False

    async def ask(self, call: Call, ledger: Ledger) -> Reply:
        """The answer to a question, tried again while the endpoint is busy, broken or silent.

        Args:
            call: The question.
            ledger: Is told of every attempt.

        Raises:
            CallError: if the endpoint cannot be used.
            RefusedError: if it answers others, but not this question.
            MalformedError: if what it answers is never in the form of the interface.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Again), stop=stop_after_attempt(ATTEMPTS), wait=_wait, reraise=True
        )
        async with self._slots:
            try:
                async for attempt in retrying:
                    with attempt:
                        return await self._ask_once(call, ledger)
            except _Again as last:
                kind = MalformedError if last.malformed else CallError
                raise kind(f"{self.place}: {last}, {ATTEMPTS} times; go on later with --resume") from None
        raise AssertionError  # an attempt returns or raises

    @asynccontextmanager
    async def open(self, call: Call, begun: Callable[[], None]) -> AsyncIterator[httpx.Response]:
        """The answer to a question as it comes, whatever its status: asked once, when it is its turn.

        Args:
            call: The question.
            begun: Is told when its turn has come.

        Raises:
            TimeoutError: if it is not whole within the endpoint's `timeout_s`.
            httpx.HTTPError: if there is no connection, or it breaks.
        """
        async with self._slots:
            await self._wait_for_turn(call)
            begun()
            async with (
                asyncio.timeout(self.endpoint.timeout_s),
                self._http.stream("POST", self._url, json=_body(call)) as response,
            ):
                yield response

    async def _ask_once(self, call: Call, ledger: Ledger) -> Reply:
        await self._wait_for_turn(call)
        await ledger.begin(call)
        started = time.perf_counter()
        try:
            return self._read(call, await self._post(call), time.perf_counter() - started)
        except _Again as reason:
            await ledger.lose(call, reason.paid)
            raise
        except CallError:
            await ledger.lose(call, False)
            raise

    async def _post(self, call: Call) -> httpx.Response:
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):  # of the whole, however slowly it drips
                response = await self._http.post(self._url, json=_body(call))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _Again(f"cannot be reached ({type(error).__name__})") from None
        except (httpx.TimeoutException, TimeoutError):
            raise _Again(f"no answer within timeout_s = {self.endpoint.timeout_s:g}", paid=True) from None
        except httpx.RemoteProtocolError:
            raise _Again("the answer was cut off", paid=True, malformed=True) from None
        except httpx.HTTPError as error:
            raise _Again(f"the connection broke ({type(error).__name__})", paid=True) from None
        if response.status_code != 200:
            raise self._refusal(response)
        return response

    async def _wait_for_turn(self, call: Call) -> None:
        if self._requests:
            await self._requests.acquire()
        if self._tokens and self.endpoint.tpm:
            tokens_in, tokens_out = most_tokens(call)
            await self._tokens.acquire(min(self.endpoint.tpm, tokens_in / 4 + tokens_out))

    def _refusal(self, response: httpx.Response) -> Exception:
        """What an HTTP status means. The body is not shown: some endpoints quote the key in it."""
        code = response.status_code
        if code in (408, 409, 425, 429) or code >= 500:
            return _Again(f"HTTP {code}", after_s=_retry_after(response))
        if code in (400, 413, 422) and self._has_answered:
            return RefusedError(f"{self.place}: HTTP {code}")
        hint = {
            401: f"the key in {self.endpoint.key_env or 'no variable (set key_env)'} is not taken",
            403: f"the key in {self.endpoint.key_env or 'no variable (set key_env)'} may not use the model",
            404: f"there is no model '{self.endpoint.model}' at {self.endpoint.base_url}",
        }
        told = hint.get(code, "the request is not taken: correct the endpoint's fields")
        return CallError(f"{self.place}: HTTP {code}: {told}")

    def _read(self, call: Call, response: httpx.Response, seconds: float) -> Reply:
        try:
            body = _BODY.validate_json(response.content)
        except ValidationError:
            raise _Again("the answer is not in the form of the interface", paid=True, malformed=True) from None
        choice = body.choices[0]
        most_in, _ = most_tokens(call)
        tokens_in = body.usage.prompt_tokens if body.usage else most_in
        tokens_out = body.usage.completion_tokens if body.usage else len(choice.message.content.encode())
        self._has_answered = True
        return Reply(
            text=self.without_key(choice.message.content),
            finish=self.without_key(choice.finish_reason or ""),
            logprobs=json.loads(self.without_key(json.dumps(choice.logprobs))),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            seconds=seconds,
            usd=price(self.endpoint, tokens_in, tokens_out),
        )

    def without_key(self, text: str) -> str:
        """A text in which an endpoint may have quoted the key."""
        return text.replace(self._key, "[key]") if self._key else text

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()


def _body(call: Call) -> dict[str, Any]:
    return {"model": call.model, **call.parameters, "messages": list(call.messages)}


@cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are believed; reading them takes a while, and all endpoints believe the same."""
    return httpx.create_ssl_context()


def _wait(state: RetryCallState) -> float:
    """Seconds until the next attempt: a jittered backoff, and no less than the endpoint asked for."""
    error = state.outcome.exception() if state.outcome else None
    return max(BACKOFF(state), error.after_s if isinstance(error, _Again) else 0.0)


def _retry_after(response: httpx.Response) -> float:
    """Seconds that `Retry-After` asks for, given as a number or as a date; 0 without."""
    text = response.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT_S) if seconds == seconds else 0.0
