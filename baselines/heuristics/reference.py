"""What could be had by knowing more than agents do: the 1 of the normalised score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import World
from edge_experts.envs.api.policy import Actions
from edge_experts.envs.sim.spec import ROLES

from .hindsight import plan_clairvoyant
from .plan_kernels import plan_coordinated
from .plan_policy import Ints, Planner, time_price

SWEEPS = 4  # of local improvement; more changed the mean welfare of text by less than its standard error
# prices of backlog, in terms of `time_price`, and eagerness to finish what has been begun
GRID = tuple(product((0.05, 0.2, 0.5), (1.0, 1.5)))
HEARING = (0.1, 0.25, 0.5)  # prices of backlog of users that choose in turn and know no more than agents
SETTINGS = ((1, "speed_levels"), (4, "view_levels"), (5, "power_factors"))
"""What providers set that is worth something to all: its part of their action, and its levels."""
BANDWIDTH = 2  # part of the action; three policies


def searched(world: World) -> list[tuple[int, int]]:
    """Parts of a provider's action that are worth a search, and how many choices each has."""
    levels = [(part, len(getattr(world.params, name))) for part, name in SETTINGS]
    return [(BANDWIDTH, 3), *((part, count) for part, count in levels if count > 1)]


def score_of(world: World) -> NDArray[np.float64]:
    """Rewards of the last slot, summed over the agents: (B,); who does not decide does not count."""
    total = np.zeros(world.n_worlds)
    for role in ROLES:
        total += world.records(role).reward[:, : len(world.agents(role))].sum(axis=1)
    return total


def welfare_to_end(world: World, act: Callable[[World], Actions]) -> NDArray[np.float64]:
    """Play every world to the end of its episode: (B,) the sum of `score_of`."""
    total, running = np.zeros(world.n_worlds), np.ones(world.n_worlds, bool)
    while running.any():
        world.step(*act(world))
        total += np.where(running, score_of(world), 0.0)
        running &= ~world.state.clock.over
    return total


@dataclass(frozen=True)
class Way:
    """One way to play many worlds: how users are assigned and what providers set, world by world.

    Attributes:
        users: (B,) index into the six pairs of `GRID`, then the prices of `HEARING`.
        settings: (B, P, 6) actions of the providers.
    """

    users: Ints
    settings: Ints

    def act(self, world: World, unit: float) -> Actions:
        """Actions of a slot; `unit` is what a second of an expert's time earns."""
        knowing = np.minimum(self.users, len(GRID) - 1)
        prices, eagerness = np.array(GRID).T[:, knowing].copy()
        actions = np.asarray(Planner(plan_clairvoyant, SWEEPS, prices * unit, eagerness).act(world)[0])
        for i, price in enumerate(HEARING):
            mine = self.users == len(GRID) + i
            if mine.any():
                heard = np.asarray(Planner(plan_coordinated, price * unit, False).act(world)[0])
                actions[mine] = heard[mine]
        return actions, self.settings if world.scenario.providers.act else None


class Reference:
    """Plays every episode with hindsight: the best of many ways, found in copies of the world that share its future.

    A way says how users are assigned (`GRID`: together, knowing recorded quality, work and channels; `HEARING`: one
    after another, knowing what agents know) and what all providers set. Ways are compared by rollouts to the end of
    the episode, at its start; each part of what providers set is searched with the incumbent among those compared, so
    that a search never loses. It is not proven that no policy can exceed it; what was measured has not.
    """

    def __init__(self, world: World) -> None:
        self._unit = time_price(world)
        self._way: Way | None = None

    def act(self, world: World) -> Actions:
        """Search at the start of every episode, then play what was found."""
        slot = int(world.state.clock.slot[0])
        if self._way is None or slot == 0:
            B = world.n_worlds
            self._way = Way(np.zeros(B, np.int64), world.default_actions("provider"))
        if slot == 0:
            self._way = self._search(world, self._way)
        return self._way.act(world, self._unit)

    def _search(self, world: World, way: Way) -> Way:
        """The best way on from here: first how users are assigned, then what providers set, one after another."""
        users = [np.full(world.n_worlds, i) for i in range(len(GRID) + len(HEARING))]
        way = self._best(world, [way, *(Way(choice, way.settings) for choice in users)])
        if not world.scenario.providers.act:
            return way
        for part, count in searched(world):
            way = self._best(world, [way, *(_with(way, part, level) for level in range(count))])
        return way

    def _best(self, world: World, ways: list[Way]) -> Way:
        """World by world, the way of the highest welfare to the end of the episode; the first of equals."""
        B, n = world.n_worlds, len(ways)
        users = np.stack([way.users for way in ways], axis=1).reshape(B * n)
        settings = np.stack([way.settings for way in ways], axis=1).reshape(B * n, *ways[0].settings.shape[1:])
        copies, together = world.fork(np.repeat(np.arange(B), n)), Way(users, settings)
        total = welfare_to_end(copies, lambda copies: together.act(copies, self._unit))
        best = total.reshape(B, n).argmax(axis=1) + n * np.arange(B)
        return Way(users[best], settings[best])


def _with(way: Way, part: int, level: int) -> Way:
    """A way with one setting of all providers changed."""
    settings = way.settings.copy()
    settings[:, :, part] = level
    return Way(way.users, settings)


class Enumeration:
    """Exact upper bound where the future of a request can be enumerated: all choices until its deadline are tried.

    Each candidate is played in a copy of the world that shares its future randomness, so the best one is what nobody
    can beat. The number of candidates is (X + 1) times the power levels, to the power of the slots.
    """

    def __init__(self) -> None:
        self._plans: Ints | None = None

    def act(self, world: World) -> Actions:
        """Find the best sequence at the start of an episode, then play it."""
        if (world.state.clock.slot == 0).all():
            self._plans = np.stack([self._search(world, b) for b in range(world.n_worlds)])
        assert self._plans is not None, "an episode must be played from its start"
        return self._plans[np.arange(world.n_worlds), world.state.clock.slot][:, None, :], None

    def _search(self, world: World, b: int) -> Ints:
        single = [range(n) for n in (world.sizes.X + 1, world.sizes.H)]
        steps = np.array(list(product(*single)))
        sequences = np.array(list(product(range(len(steps)), repeat=world.scenario.episode.slots)))
        copies = world.fork(np.full(len(sequences), b))
        total, running = np.zeros(len(sequences)), np.ones(len(sequences), bool)
        for slot in range(world.scenario.episode.slots):
            copies.step(steps[sequences[:, slot]][:, None, :])
            total += np.where(running, copies.state.users.reward[:, 0], 0.0)
            running &= ~copies.state.clock.over
        best: Ints = steps[sequences[total.argmax()]]
        return best


def is_enumerable(world: World) -> bool:
    """Whether one user's whole episode has few enough choices to be tried exhaustively."""
    choices = float((world.sizes.X + 1) * world.sizes.H) ** world.scenario.episode.slots
    return world.sizes.U == 1 and world.sizes.J == 1 and not world.scenario.providers.act and choices <= 1e5


def make_reference(world: World) -> Any:
    """The exact bound where there is one, else the search."""
    return Enumeration() if is_enumerable(world) else Reference(world)
