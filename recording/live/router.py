"""From a question to an answer: the gate reads it, the policy picks an expert, the expert's answer is passed on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from edge_experts.envs import Policy

from .. import questions as q
from ..calls.caller import Caller
from ..calls.store import Call, Reply
from ..flow import WHOLE, Scorer, read_gate, together
from ..plan import Plan, PlanError
from ..records import Answer
from .exchange import Exchange, FailedError, collect
from .log import RouteLog
from .market import Choice, LiveMarket, Load, Task

AUTO = "edge-experts"
"""The model whose questions the gate sorts into categories; `edge-experts/CATEGORY` says the category."""
FRAME = ("model", "messages", "stream", "stream_options")
Pieces = asyncio.Queue[str | FailedError | None]


class Nowhere:
    """Books that keep nothing: what is asked live is asked anew each time."""

    def find(self, call: Call) -> tuple[str, Reply | None] | None:
        """Nothing was ever asked."""
        return None

    def send(self, call: Call, usd_at_risk: float) -> None:
        """Keep nothing."""

    def settle(self, call: Call, usd_at_risk: float) -> None:
        """Keep nothing."""

    def answer(self, call: Call, reply: Reply, usd_at_risk: float) -> None:
        """Keep nothing."""

    def mark(self, call: Call, status: str) -> None:
        """Keep nothing."""

    def mark_unread(self, call: Call) -> None:
        """Keep nothing."""


@dataclass
class Asked:
    """A question on its way.

    Attributes:
        body: As it came.
        text: What the gate and the judges read of it.
        line: What the log says of it.
        pieces: Of the answer, for who asked.
    """

    body: dict[str, Any]
    text: str
    line: dict[str, Any]
    pieces: Pieces = field(default_factory=asyncio.Queue)


class Router:
    """Routes questions.

    Args:
        plan: Whose experts answer, whose gate reads, whose judges score.
        market: What the policy sees.
        policy: Picks experts.
        caller: Asks gate and judges, and has the experts' clients.
        log: Where all of it is noted.
        scores: Whether judges score the answers.
    """

    market: LiveMarket

    def __init__(
        self, plan: Plan, market: LiveMarket, policy: Policy, caller: Caller, log: RouteLog, scores: bool
    ) -> None:
        self._plan, self.market, self._policy, self._caller, self._log = plan, market, policy, caller, log
        self._scorer = Scorer(plan, caller) if scores else None
        self._count, self._tasks = 0, set[asyncio.Task[None]]()
        self._experts = market.world.scenario.experts

    @property
    def noted(self) -> int:
        """Questions that are noted in the log."""
        return self._log.questions

    @property
    def models(self) -> list[str]:
        """What clients may name as `model`."""
        return [AUTO, *(f"{AUTO}/{category}" for category in self.market.categories)]

    async def route(self, model: str, text: str, body: Mapping[str, Any]) -> tuple[str, Pieces, asyncio.Task[None]]:
        """Send a question on its way.

        Args:
            model: One of `models`.
            text: What is asked last.
            body: The request.

        Returns:
            The expert; where pieces of its answer come; what brings them.

        Raises:
            FailedError: if the question cannot be sorted, or no expert is chosen for it before its deadline.
        """
        line: dict[str, Any] = {"question": self._count, "arrived_s": round(self.market.now(), 6)}
        self._count += 1
        asked = Asked(dict(body), text, line)
        task = await self._read(model, asked)
        u = self.market.enter(task)
        if u is None:
            raise FailedError("all users of the market wait: ask again later", 503, retry_after=self._a_slot())
        line["user"] = u
        try:
            choice = await self._choose(u, asked)
        finally:
            self.market.leave(u)
        load = self.market.place(choice.expert or 0, task)
        line |= {"expert": self._experts[load.expert], "placed_s": round(self.market.now(), 6)}
        running = asyncio.create_task(self._bring(asked, u, load))
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return self._experts[load.expert], asked.pieces, running

    async def _read(self, model: str, asked: Asked) -> Task:
        """The question's category and what the gate says of every expert."""
        began, id = self.market.now(), str(asked.line["question"])
        stated, only = model.removeprefix(AUTO).removeprefix("/"), self.market.categories
        try:
            async with asyncio.timeout(self._plan.gate.timeout_s):
                read = read_gate(self._plan, self._caller, asked.text, id, WHOLE)
                found: list[Any] = await together([read, self._sort(stated, asked.text, id)])
                readings, category = found
        except (TimeoutError, PlanError) as error:  # the policy can do without readings, not without a category
            readings, category = None, stated or (only[0] if len(only) == 1 else None)
            why = f" ({error or 'no answer in time'})"
        else:
            why = ""
        if category is None:
            names = ", ".join(self.models[1:])
            raise FailedError(f"the gate named no category{why}: say it as the model, one of {names}")
        asked.line |= {
            "category": category,
            "category_from": "model" if stated else "only" if len(only) == 1 else "gate",
            "readings": readings,
            "gate_s": round(self.market.now() - began, 6),
            "bits": 8 * len(json.dumps(asked.body["messages"], ensure_ascii=False).encode()),
        }
        return Task(category, readings, asked.line["bits"])

    async def _sort(self, stated: str, text: str, id: str) -> str | None:
        """The category of a text: as stated, the only one, or what the gate says."""
        categories = self.market.categories
        if stated or len(categories) == 1:
            return stated or categories[0]
        read = partial(q.read_category, categories=categories)
        extra = {"grammar": q.grammar_category(categories)} if self._plan.gate.grammar else {}
        return await self._caller.ask_for(read, "gate", q.ask_category(text, categories), id, WHOLE, **extra)

    async def _choose(self, u: int, asked: Asked) -> Choice:
        """The policy's choice; where it waits it is asked again a slot later, until the deadline."""
        market, line, waited = self.market, asked.line, 0
        while True:
            choice = market.choose(u, waited, self._policy)
            line |= {
                "slot": int(market.now() / market.slot_s),
                "waited_slots": waited,
                "observation": choice.observation,
                "action_mask": choice.mask,
                "action": choice.action,
                **choice.figures,
            }
            if choice.expert is not None:
                return choice
            waited += 1
            if market.expires(waited, u):
                self._log.note({**line, "waited_slots": waited, "status": "expired"})
                raise FailedError("no expert was chosen before the deadline", 503, retry_after=self._a_slot())
            await asyncio.sleep(market.slot_s)

    def _a_slot(self) -> str:
        return f"{max(1.0, self.market.slot_s):.0f}"

    async def _bring(self, asked: Asked, u: int, load: Load) -> None:
        """Bring the answer, measure it, have it scored, and note all."""
        market, line, status = self.market, asked.line, "left"
        exchange = self._exchange(asked, load)
        try:
            await collect(exchange.run(lambda: market.begin(load)), asked.pieces)
            status = "answered"
        except FailedError as error:
            status = "failed"
            if not error.theirs:
                market.fail(load.expert)
        finally:
            reply = self._measure(exchange, line, load)
            line |= {"status": status, "http": exchange.http}
            if status != "answered":
                self._log.note(line)
        if status == "failed":
            return
        market.measure(u, load, line["latency_s"], line["words"], reply.usd)
        try:
            if self._scorer is not None:
                line |= await self._score(self._scorer, asked, reply)
        finally:
            self._log.note(line)

    def _exchange(self, asked: Asked, load: Load) -> Exchange:
        place, body = f"experts.{self._experts[load.expert]}", asked.body
        is_streamed, options = bool(body.get("stream")), body.get("stream_options") or {}
        extra = {name: value for name, value in body.items() if name not in FRAME and value is not None}
        if is_streamed:
            extra |= {"stream": True, "stream_options": {**options, "include_usage": True}}
        call = self._caller.call(place, body["messages"], str(asked.line["question"]), WHOLE, "0", extra)
        if "max_completion_tokens" in extra:  # which is what `max_tokens` is called now: never both
            call = replace(call, parameters={k: v for k, v in call.parameters.items() if k != "max_tokens"})
        return Exchange(
            self._caller.clients[place], call, is_streamed, bool(options.get("include_usage")), self.market.now
        )

    def _measure(self, exchange: Exchange, line: dict[str, Any], load: Load) -> Reply:
        """Write down what was measured of a question at an expert."""
        now, placed = self.market.now(), line["placed_s"]
        began = placed if load.begun is None else load.begun - self.market.started
        reply = exchange.reply(now - began)
        self.market.end(load)
        line |= {
            "queue_s": round(max(0.0, (now if load.begun is None else began) - placed), 6),
            "first_s": round(max(0.0, (exchange.first_at or now) - placed), 6),
            "latency_s": round(max(0.0, now - placed), 6),
            "words": len(reply.text.split()),
            "answer_bits": 8 * len(reply.text.encode()),
        }
        if exchange.http == 200:
            line |= {"tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out, "usd": reply.usd}
        return reply

    async def _score(self, scorer: Scorer, asked: Asked, reply: Reply) -> dict[str, Any]:
        """What the judges say of an answer."""
        answer = Answer(reply)
        try:
            await scorer.score_all(answer, asked.text, str(asked.line["question"]), WHOLE)
        except PlanError:  # a judge that cannot be asked must not end the service
            return {}
        return {"scores": answer.scores, "quality": answer.quality}

    async def pieces(self, pieces: Pieces, running: asyncio.Task[None]) -> AsyncIterator[str]:
        """The pieces of an answer; where who asked goes away, the expert's work on it ends.

        Raises:
            FailedError: if the answer breaks off.
        """
        is_whole = False
        try:
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, FailedError):
                    raise piece
                yield piece
            is_whole = True
        except FailedError:
            is_whole = True
            raise
        finally:
            if not is_whole:
                running.cancel()

    async def close(self, within_s: float) -> None:
        """Let answers and scores in hand come for a while, and end."""
        try:
            async with asyncio.timeout(within_s):
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._caller.close()
        except TimeoutError:
            await asyncio.gather(*self._tasks, return_exceptions=True)  # they are cancelled, and note what they have
        finally:
            self._log.close()
