"""Policies play the agents of worlds; the loop that plays whole episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..sim.world import World

Actions = tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]


class Policy(Protocol):
    """Plays the agents of a `World`: any policy of `edge_experts.baselines`, a checkpoint, or your own."""

    def act(self, world: World) -> Actions:
        """Actions for `World.step`: (B, U, 2) for users and (B, P, 6) for providers; `None` is the default."""
        ...


PolicyMaker = Callable[[World], Policy]  # makes a policy for the worlds that it will play


def play_episodes(world: World, policy: Policy) -> Iterator[NDArray[np.bool_]]:
    """Play one episode in every world, from a reset on.

    Yields:
        After every slot, which worlds were still in their episode while it was played: (B,) bool. What happened
            stands in
        `world.state`; a world whose episode is over plays on, and is not to be counted.
    """
    world.reset()
    running = np.ones(world.n_worlds, np.bool_)
    while running.any():
        world.step(*policy.act(world))
        yield running
        running = running & ~world.state.clock.over


class GateFollowers:
    """Users take the legal expert of the best gate reading, at the highest power; providers keep their defaults."""

    def act(self, world: World) -> Actions:
        """Actions of users (B, U, J + 1); `None` for providers."""
        X, actions = world.sizes.X, world.default_actions("user")
        legal = world.views.user_masks[..., :X] == 1
        readings = np.where(legal, world.state.gate, -1.0)
        best = np.argsort(-readings, axis=-1, kind="stable")[..., : world.sizes.J]
        best = np.where(np.take_along_axis(legal, best, axis=-1), best, X)
        actions[..., : best.shape[-1]] = best
        actions[..., -1] = np.where(legal.any(axis=-1), world.sizes.H - 1, 0)
        return actions, None
