"""A market in which nothing happens but what happens at the endpoints: what a policy sees of them, and does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from edge_experts.envs import Policy, Scenario, World
from edge_experts.envs.physics.economics import CREDITS_PER_USD
from edge_experts.envs.sim.state import PRESENT

from ..plan import PlanError

MEMORY = 0.9  # weight of what was measured before, with every further answer
HISTORY = 10  # answers that the recorded figures of an expert count as


class Task(NamedTuple):
    """What is known of a question before anybody answers it.

    Attributes:
        category: One of the market's.
        readings: What the gate says of every expert, in [0, 1]; None where it did not.
        bits: Of the question.
    """

    category: str
    readings: dict[str, float] | None
    bits: float


class Choice(NamedTuple):
    """What a policy saw and did.

    Attributes:
        expert: Its index; None: the question waits.
        observation: Of the user, as in `Demonstrations`.
        mask: Of its action.
        action: Its action.
        figures: What the market showed of every expert.
    """

    expert: int | None
    observation: list[float]
    mask: list[int]
    action: list[int]
    figures: dict[str, list[float]]


@dataclass
class Load:
    """A question that an expert has in hand.

    Attributes:
        expert: Its index.
        work: Words that its answer is expected to have.
        begun: When its turn came, seconds; None: it waits.
    """

    expert: int
    work: float
    begun: float | None = None


@dataclass
class Figures:
    """What an expert's answers took, the latest weighing most."""

    words: float
    seconds: float
    usd: float

    def add(self, words: int, seconds: float, usd: float) -> None:
        """Count an answer."""
        self.words = MEMORY * self.words + max(1, words)
        self.seconds = MEMORY * self.seconds + seconds
        self.usd = MEMORY * self.usd + usd


class LiveMarket:
    """One world of a scenario that is not stepped: queues, prices and speeds are set from what is measured.

    A question is the first part of a user's request, whose other parts are of the same category; the user is free again
    when it is placed. What endpoints do not have (radio, batteries, providers' choices) stays as an episode begins.

    Args:
        scenario: The market.
        parallel: Calls that each expert's endpoint takes at a time.
        seed: Of the world.
        clock: Seconds.

    Raises:
        PlanError: if the scenario has what cannot be had live.
    """

    world: World
    slot_s: Any
    started: float

    def __init__(
        self,
        scenario: Scenario,
        parallel: Sequence[int],
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check(scenario)
        self.world, self._clock, self._parallel = World(scenario, seed=seed), clock, parallel
        self.world.reset()
        users = self.world.state.users
        users.presence[:], users.open[:] = PRESENT, False
        self.categories: list[str] = [name for table in self.world.tables for name in table.categories]
        self.slot_s, self.started = scenario.episode.slot_s, clock()
        self._figures = [self._recorded(e) for e in range(self.world.sizes.E)]
        self._loads: list[Load] = []
        self._back_at = np.full(self.world.sizes.E, -np.inf)
        self._next = 0

    def _recorded(self, e: int) -> Figures:
        machine, priors = self.world.params.machines[e], self.world.params.priors.units[:, e]
        words = HISTORY * max(1.0, float(priors[priors > 0].mean() if (priors > 0).any() else 1.0))
        return Figures(words, words * float(machine.seconds_per_unit), words * float(machine.price) / CREDITS_PER_USD)

    def now(self) -> float:
        """Seconds since it began."""
        return self._clock() - self.started

    def enter(self, task: Task) -> int | None:
        """Let a user ask a question; None if all of them wait already."""
        users, count = self.world.state.users[0], self.world.sizes.U
        free = [u for i in range(count) if not users[u := (self._next + i) % count].open]
        if not free:
            return None
        u, self._next = free[0], free[0] + 1
        self._ask(users[u], u, task)
        return u

    def _ask(self, user: Any, u: int, task: Task) -> None:
        params, topic = self.world.params, self.categories.index(task.category)
        prompt = int(np.flatnonzero(params.category == topic)[0])
        kind = params.kinds[params.kind[prompt]]
        user.open, user.unread, user.strict = True, False, False
        user.kind, user.prompt, user.age, user.done, user.last_expert = params.kind[prompt], prompt, 0, 0, -1
        user.value, user.context_bits = 0.5 * (kind.value_low + kind.value_high), task.bits
        self.world.state.parts.prompt[0, u] = prompt
        means = params.priors.gate if kind.recorded_gate else params.priors.quality
        self.world.state.gate[0, u] = means[topic]
        for name, reading in (task.readings or {}).items():
            self.world.state.gate[0, u, self.world.scenario.experts.index(name)] = reading

    def leave(self, u: int) -> None:
        """End a user's question: it is placed, or given up."""
        self.world.state.users.open[0, u] = False

    def choose(self, u: int, waited: int, policy: Policy) -> Choice:
        """What a policy does with a user's question now.

        Args:
            u: The user.
            waited: Slots that the question has waited.
            policy: The policy.
        """
        world = self.world
        self._show(u, waited)
        actions, _ = policy.act(world)
        action = (world.default_actions("user") if actions is None else np.asarray(actions))[0, u]
        observation, mask = world.views.of("user")
        place, E = int(action[0]), world.sizes.E
        is_placed = place < E and mask[0, u, place] == 1 and self._wait_s(place) <= world.scenario.queue_limit_s
        return Choice(
            place if is_placed else None,
            [round(float(value), 6) for value in observation[0, u]],
            mask[0, u].tolist(),
            action.tolist(),
            {
                "backlog_s": [round(self._wait_s(e), 6) for e in range(E)],
                "seconds_per_word": [float(f"{f.seconds / f.words:.6g}") for f in self._figures],
                "usd_per_word": [float(f"{f.usd / f.words:.6g}") for f in self._figures],
            },
        )

    def expires(self, waited: int, u: int) -> bool:
        """Whether a user's question that has waited so many slots is past its deadline."""
        kind = self.world.params.kinds[self.world.state.users.kind[0, u]]
        return bool(waited >= kind.deadline_slots)

    def _show(self, u: int, waited: int) -> None:
        """Set the world to what is measured, and let the product's own code observe it."""
        world, state, now = self.world, self.world.state, self._clock()
        state.clock.slot[0] = int(self.now() / self.slot_s) % world.scenario.episode.slots
        for e, figures in enumerate(self._figures):
            machine, provider = world.params.machines[e], state.providers[0, world.hosts[e]]
            machine.seconds_per_unit = figures.seconds / figures.words * world.params.speed_levels[provider.speed]
            price = figures.usd / figures.words * CREDITS_PER_USD
            machine.price = price / world.params.price_levels[provider.price]
            state.experts.backlog[0, e] = self._backlog(e)
            state.experts.loaded[0, e] = now >= self._back_at[e]
        users = state.users[0]
        users[u].age = waited
        order = [u, *(other for other in range(world.sizes.U) if other != u)]
        state.order[0] = order
        users.turn[order] = np.arange(world.sizes.U)
        world.observe()

    def _backlog(self, e: int) -> float:
        """Words that an expert still has to write, shared by the calls that its endpoint takes at a time."""
        figures, now, words = self._figures[e], self._clock(), 0.0
        for load in self._loads:
            if load.expert == e:
                done = 0.0 if load.begun is None else (now - load.begun) * figures.words / max(figures.seconds, 1e-9)
                words += max(1.0, load.work - done)  # what is not there yet lacks a word at least
        return words / self._parallel[e]

    def _wait_s(self, e: int) -> float:
        """Seconds of work queued at an expert, as it was last shown."""
        return float(self.world.state.experts.backlog[0, e]) * self._figures[e].seconds / self._figures[e].words

    def place(self, expert: int, task: Task) -> Load:
        """An expert gets a question."""
        topic = self.categories.index(task.category)
        load = Load(expert, float(self.world.params.priors.units[topic, expert]))
        self._loads.append(load)
        return load

    def begin(self, load: Load) -> None:
        """Its turn has come."""
        load.begun = self._clock()

    def end(self, load: Load) -> None:
        """It is answered, or given up."""
        self._loads.remove(load)

    def measure(self, u: int, load: Load, latency_s: float, words: int, usd: float) -> None:
        """Learn from an answer."""
        self._figures[load.expert].add(words, self._clock() - (load.begun or self._clock()), usd)
        self.world.state.users.last_latency_s[0, u] = latency_s

    def fail(self, expert: int) -> None:
        """An expert gave no answer: for a slot it counts as not available."""
        self._back_at[expert] = self._clock() + self.slot_s


def _check(scenario: Scenario) -> None:
    """See that nothing in a scenario is asked for that endpoints do not have."""
    if scenario.local_experts:
        raise PlanError(
            f"scenario: devices.local_expert: {', '.join(scenario.local_experts)} has no endpoint: leave it out"
        )
    if scenario.requests.dispatch == "parallel":
        raise PlanError("scenario: requests.dispatch: 'parallel' asks several experts at once: set it to sequential")
    if scenario.gate.length:
        raise PlanError("scenario: gate.length: true is not known before an answer is there: set it to false")
    if not scenario.acts("user"):
        raise PlanError("scenario: devices.act: false leaves nobody to choose: set it to true")
