"""What lies between a question and its answer: the store, the budget, and the endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from ..plan import TOKENS, Endpoint, Plan
from .budget import Budget, most_tokens, price
from .client import Client, MalformedError, RefusedError
from .store import Call, Reply

ASKED_AGAIN = 2  # times, when an answer does not have the form that was asked for
Read = TypeVar("Read")


class Books(Protocol):
    """Where calls are kept: a `Store`, or one that forgets them."""

    def find(self, call: Call) -> tuple[str, Reply | None] | None:
        """Status and answer of a call, if it was ever sent."""

    def send(self, call: Call, usd_at_risk: float) -> None:
        """A call is about to be sent."""

    def settle(self, call: Call, usd_at_risk: float) -> None:
        """The endpoint did not do the work."""

    def answer(self, call: Call, reply: Reply, usd_at_risk: float) -> None:
        """A call was answered."""

    def mark(self, call: Call, status: str) -> None:
        """A call has no usable answer."""

    def mark_unread(self, call: Call) -> None:
        """An answer did not have the form that was asked for."""


class Caller:
    """Asks what is not in the store yet.

    Args:
        plan: Whose endpoints are asked.
        keys: By the name of their variable.
        store: Where calls are kept.
        budget: What they may cost.
        done: Is told of every call that is settled.
    """

    budget: Budget

    def __init__(
        self, plan: Plan, keys: Mapping[str, str], store: Books, budget: Budget, done: Callable[[], None]
    ) -> None:
        self._endpoints = dict(plan.endpoints())
        self.clients: dict[Any, Client] = {
            place: Client(place, endpoint, keys.get(endpoint.key_env, ""))
            for place, endpoint in self._endpoints.items()
        }
        self._store, self.budget, self._done = store, budget, done
        self._flying: dict[str, asyncio.Task[Reply | None]] = {}
        self._sent: set[str] = set()  # of those, what an endpoint is working on

    async def ask(
        self,
        place: str,
        messages: Sequence[Mapping[str, str]],
        prompt: str,
        part: int,
        replica: str = "0",
        **extra: Any,
    ) -> Reply | None:
        """The answer of an endpoint; None where it is marked as refused or malformed.

        Args:
            place: In the plan, as `experts.alpha`.
            messages: What it is asked.
            prompt: Id of the prompt, for the books.
            part: Index of the part, -1 for the whole.
            replica: Which of several answers to the same question.
            extra: Further parameters of the request.

        Raises:
            PlanError: if the endpoint cannot be used, or the budget is reached.
        """
        call = self.call(place, messages, prompt, part, replica, extra)
        found = self._store.find(call)
        if found is None or found[0] == "sent":
            if call.key not in self._flying:  # a task that cancelling its asker leaves alone: it is paid for
                task = self._flying[call.key] = asyncio.create_task(self._fly(place, call))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())
            reply = await asyncio.shield(self._flying[call.key])
        else:
            reply = found[1]
            self._done()
        return reply

    async def ask_for(
        self,
        read: Callable[[Reply], Read | None],
        place: str,
        messages: Sequence[Mapping[str, str]],
        prompt: str,
        part: int,
        replica: str = "0",
        **extra: Any,
    ) -> Read | None:
        """An answer in a certain form, asked for again where it is not; None where it never is.

        Args:
            read: From a reply to what it says, None where it does not say it.
            place: As `ask`, and so are the others.
            messages: What it is asked.
            prompt: Id of the prompt.
            part: Index of the part.
            replica: Which of several answers.
            extra: Further parameters of the request.
        """
        for attempt in range(ASKED_AGAIN + 1):
            again = f"{replica}/{attempt}" if attempt else replica
            reply = await self.ask(place, messages, prompt, part, again, **extra)
            if reply is None:
                return None
            value = read(reply)
            if value is not None:
                return value
            self._store.mark_unread(self.call(place, messages, prompt, part, again, extra))
        return None

    async def close(self) -> None:
        """Let calls that endpoints work on end, as they are paid for, and drop the others; then end the connections."""
        for key, task in self._flying.items():
            if key not in self._sent:
                task.cancel()
        await asyncio.gather(*self._flying.values(), return_exceptions=True)
        for client in self.clients.values():
            await client.close()

    async def begin(self, call: Call) -> None:
        """Set aside what an attempt may cost, and write down that it is made."""
        risk = self._risk(call)
        await self.budget.reserve(call.key, risk)
        self._store.send(call, risk)
        self._sent.add(call.key)

    async def lose(self, call: Call, paid: bool) -> None:
        """Count an attempt without an answer as paid where it may have been."""
        risk = self._risk(call)
        self._sent.discard(call.key)
        if not paid:
            self._store.settle(call, risk)
        await self.budget.settle(call.key, risk if paid else 0.0)

    async def _fly(self, place: str, call: Call) -> Reply | None:
        try:
            reply = await self.clients[place].ask(call, self)
        except (RefusedError, MalformedError) as error:
            self._store.mark(call, "refused" if isinstance(error, RefusedError) else "malformed")
            return None
        finally:
            del self._flying[call.key]
            self._sent.discard(call.key)
            self._done()
        self._store.answer(call, reply, self._risk(call))
        await self.budget.settle(call.key, reply.usd)
        return reply

    def _risk(self, call: Call) -> float:
        place = _place(call.role)
        return price(self._endpoints[place], *most_tokens(call))

    def call(
        self,
        place: str,
        messages: Sequence[Mapping[str, Any]],
        prompt: str,
        part: int,
        replica: str,
        extra: Mapping[str, Any],
    ) -> Call:
        """What `ask` sends: the endpoint's own parameters, and `extra` in place of those of the same name."""
        endpoint = self._endpoints[place]
        return Call(
            _role(place), endpoint.model, {**_parameters(place, endpoint), **extra}, messages, replica, prompt, part
        )


def _role(place: str) -> str:
    """`expert/alpha` of `experts.alpha`."""
    kind, dot, name = place.partition(".")
    return f"{kind.removesuffix('s')}/{name}" if dot else kind


def _place(role: str) -> str:
    kind, slash, name = role.partition("/")
    return f"{kind}s.{name}" if slash else kind


def _parameters(place: str, endpoint: Endpoint) -> dict[str, Any]:
    """What every call to an endpoint says besides model and messages."""
    limit = endpoint.max_tokens or TOKENS[_role(place).partition("/")[0]]
    given = {"max_tokens": limit, "temperature": endpoint.temperature, "seed": endpoint.seed}
    return {name: value for name, value in given.items() if value is not None}
