"""From a prompt to its record: the gate splits and reads, experts answer, the fuser joins, judges score."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from . import questions as q
from .calls.caller import Caller
from .calls.store import Reply
from .judges.expectation import expected_score
from .plan import Expert, Plan
from .prompts import Prompt
from .records import Answer, Fusion, Part, Record

TOP_LOGPROBS = 20
RATINGS = 3  # of which the mean is taken where there are no log-probabilities
AT_ONCE = 32  # prompts that are worked on
WHOLE = -1  # the part that stands for all of them
Result = TypeVar("Result")


async def together(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Results of things done at the same time; the first error ends them all, and is the one that is raised."""
    tasks: list[asyncio.Task[Result]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def record(plan: Plan, prompts: Iterable[Prompt], caller: Caller) -> list[Record]:
    """Record all prompts.

    Raises:
        PlanError: if an endpoint cannot be used, or the budget is reached.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(prompt: Prompt) -> Record:
        async with slots:
            return await _Recording(plan, caller, prompt).run()

    return await together(one(prompt) for prompt in prompts)


async def read_gate(plan: Plan, caller: Caller, task: str, prompt: str, part: int) -> Any:
    """What the gate says of every expert for a task, by name, in [0, 1]; None where it never says it in that form.

    Args:
        plan: Whose gate and experts.
        caller: Who asks.
        task: What the experts would be asked.
        prompt: Id of the prompt, for the books.
        part: Index of the part, -1 for the whole.
    """
    read = partial(q.read_readings, experts=plan.experts)
    extra = {"grammar": q.grammar_readings(plan.experts)} if plan.gate.grammar else {}
    return await caller.ask_for(read, "gate", q.ask_readings(task, plan.experts), prompt, part, **extra)


class Scorer:
    """Asks a judge for scores.

    Args:
        plan: Whose judges are asked.
        caller: Who asks them.
    """

    def __init__(self, plan: Plan, caller: Caller) -> None:
        self._judges, self._caller = {judge.name: judge for judge in plan.judges}, caller

    async def score(
        self, judge: str, task: str, text: str, prompt: str, part: int, again: str = ""
    ) -> tuple[float | None, int]:
        """A score from 0 to 10, None if the judge gave none, and the number of ratings behind it.

        Args:
            judge: Its name.
            task: What was asked for.
            text: What was answered.
            prompt: Id of the prompt, for the books.
            part: Index of the part, -1 for the whole.
            again: Marks a further opinion on the same answer.
        """
        extra: dict[str, Any] = {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        if self._judges[judge].grammar:
            extra["grammar"] = q.GRAMMAR_SCORE
        ask = partial(self._caller.ask_for, _written, f"judges.{judge}", q.ask_score(task, text), prompt, part, **extra)
        first: Reply | None = await ask(replica=f"{again}0")
        expected = None if first is None else expected_score(first, self._judges[judge].grammar)
        if expected is not None:
            return expected, 1
        others = await together(ask(replica=f"{again}{i}") for i in range(1, RATINGS)) if first else []
        numbers = [q.read_number(reply) for reply in (first, *others) if reply is not None]
        given = [number for number in numbers if number is not None]
        return (float(np.mean(given)), len(given)) if len(given) == RATINGS else (None, 0)

    async def score_all(self, answer: Answer, task: str, prompt: str, part: int) -> None:
        """Have every judge score an answer."""
        found = await together(self.score(judge, task, answer.text, prompt, part) for judge in self._judges)
        answer.scores = {judge: score for judge, (score, _) in zip(self._judges, found, strict=True)}
        answer.ratings = sum(ratings for _, ratings in found)


def _written(reply: Reply) -> Reply | None:
    """A judge's reply, if it is a number."""
    return reply if q.read_number(reply) is not None else None


class _Recording:
    """The work on one prompt."""

    def __init__(self, plan: Plan, caller: Caller, prompt: Prompt) -> None:
        self._plan, self._caller, self._prompt = plan, caller, prompt
        self._scorer = Scorer(plan, caller)

    async def run(self) -> Record:
        """All of it."""
        parts = [Part(i, text) for i, text in enumerate(await self._split())]
        await together(self._fill(part) for part in parts)
        record = Record(self._prompt, parts)
        if len(parts) > 1 and all(_is_answered(part, self._plan.experts) for part in parts):
            chosen = assignments(self._plan, parts, self._prompt.id)
            fused = await together(self._fuse(parts, experts, how) for experts, how in chosen)
            record.fusions = [fusion for fusion in fused if fusion is not None]
        return record

    async def _split(self) -> list[str]:
        """The sub-prompts; the whole prompt if the gate can't split it, or never says so in the form asked for."""
        plan, task = self._plan, self._prompt.text
        if plan.parts == 1:
            return [task]
        read = partial(q.read_split, parts=plan.parts)
        extra = {"grammar": q.grammar_split(plan.parts)} if plan.gate.grammar else {}
        found = await self._caller.ask_for(read, "gate", q.ask_split(task, plan.parts), self._prompt.id, WHOLE, **extra)
        return found if found is not None and len(found) == plan.parts else [task]

    async def _fill(self, part: Part) -> None:
        experts = self._plan.experts
        read = read_gate(self._plan, self._caller, part.text, self._prompt.id, part.index)
        readings, *answers = await together([read, *(self._answer(part, expert) for expert in experts)])
        part.readings = readings  # type: ignore[assignment]
        part.answers = {expert.name: found for expert, found in zip(experts, answers, strict=True)}  # type: ignore[misc]

    async def _answer(self, part: Part, expert: Expert) -> Any:
        messages = [{"role": "user", "content": part.text}]
        ask = partial(self._caller.ask, f"experts.{expert.name}", messages, self._prompt.id, part.index)
        replies = await together(ask(replica=str(i)) for i in range(self._plan.replicas))
        answers = [Answer(reply) for reply in replies if reply is not None]
        await together(self._scorer.score_all(one, part.text, self._prompt.id, part.index) for one in answers)
        return answers

    async def _fuse(self, parts: list[Part], experts: tuple[str, ...], how: str) -> Fusion | None:
        texts = [part.answers[name][0].text for part, name in zip(parts, experts, strict=True)]
        reply = await self._caller.ask("fuser", q.ask_fusion(self._prompt.text, texts), self._prompt.id, WHOLE)
        if reply is None:
            return None
        answer = Answer(reply)
        await self._scorer.score_all(answer, self._prompt.text, self._prompt.id, WHOLE)
        return Fusion(experts, how, answer)


def _is_answered(part: Part, experts: tuple[Expert, ...]) -> bool:
    return all(part.answers[expert.name] for expert in experts)


def assignments(plan: Plan, parts: list[Part], prompt: str) -> list[tuple[tuple[str, ...], str]]:
    """Who writes which part of the fusions of a prompt: the gate's choice, all by one expert, then at random.

    Drawn by the plan's seed and the prompt's id, each at most once; fewer if there are not so many.
    """
    rng = np.random.default_rng([plan.seed, *prompt.encode()])
    names = [expert.name for expert in plan.experts]
    found: dict[tuple[str, ...], str] = {}
    if all(part.readings for part in parts):
        found[tuple(q.named(part.readings or {}) for part in parts)] = "gate"
    for name in rng.permutation(names):
        found.setdefault((str(name),) * len(parts), "single")
    wanted = min(plan.fusions, len(names) ** len(parts))
    while len(found) < wanted:
        found.setdefault(tuple(str(name) for name in rng.choice(names, len(parts))), "random")
    return list(found.items())[:wanted]
