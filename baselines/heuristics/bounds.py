"""Upper bounds: what could be had by knowing everything."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import World
from edge_experts.envs.api.policy import Actions
from edge_experts.envs.sim.spec import ROLES

from .plan_kernels import plan_clairvoyant
from .plan_policy import Ints, Planner, time_price

SWEEPS = 4  # of local improvement; more changed the mean welfare of text-v0 by less than its standard error
# prices of backlog, in terms of `time_price`, and eagerness to finish what has been begun
GRID = tuple(product((0.05, 0.2, 0.5), (1.0, 1.5)))


def score_of(world: World) -> NDArray[np.float64]:
    """Rewards of the last slot, summed over the agents: (B,); who does not decide does not count."""
    total = np.zeros(world.n_worlds)
    for role in ROLES:
        total += world.records(role).reward[:, : len(world.agents(role))].sum(axis=1)
    return total


class Assignment:
    """Every slot, all users are assigned together, knowing recorded quality, work and channels, to the good of all.

    What a slot leaves to the next is weighed by two numbers: a price of backlog and an eagerness to finish. Every
        episode
    is played with each pair of `GRID` in copies of the world that share its future, and the best pair is kept: the
        bound
    has hindsight. It relaxes what agents know, not what they can do within a slot; that no policy which looks farther
    ahead can exceed it is not proven. Providers keep their defaults.
    """

    def __init__(self, world: World) -> None:
        self._unit = time_price(world)
        self._choice = np.zeros(world.n_worlds, int)

    def act(self, world: World) -> Actions:
        """Choose the pairs at the start of an episode, then assign every slot afresh."""
        if (world.state.clock.slot == 0).all():
            self._choice = self._search(world)
        return self._assign(world, self._choice)

    def _assign(self, world: World, choice: NDArray[np.int64]) -> Actions:
        prices, eagerness = np.array(GRID).T[:, choice].copy()
        return Planner(plan_clairvoyant, SWEEPS, prices * self._unit, eagerness).act(world)

    def _search(self, world: World) -> NDArray[np.int64]:
        copies = world.fork(np.repeat(np.arange(world.n_worlds), len(GRID)))
        choice = np.tile(np.arange(len(GRID)), world.n_worlds)
        total, running = np.zeros(len(choice)), np.ones(len(choice), bool)
        while running.any():
            copies.step(*self._assign(copies, choice))
            total += np.where(running, score_of(copies), 0.0)
            running &= ~copies.state.clock.over
        best: NDArray[np.int64] = total.reshape(world.n_worlds, len(GRID)).argmax(axis=1)
        return best


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
    return world.sizes.U == 1 and not world.scenario.providers.act and choices <= 1e5
