"""Cross-play: how policies do among agents that play another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import Scenario, World
from edge_experts.envs.api.policy import Actions, Policy, PolicyMaker
from edge_experts.envs.sim.spec import ROLES

from .evaluate import end_scores, play
from .metrics import normalised_score


class Halves:
    """Every second agent of each role plays the first policy, the others the second.

    Args:
        first: Of the agents with an even index; of a lone agent.
        second: Of the others.
    """

    first: Policy
    second: Policy

    def __init__(self, first: Policy, second: Policy) -> None:
        self.first, self.second = first, second

    def act(self, world: World) -> Actions:
        """Actions of all agents."""
        pairs = zip(ROLES, self.first.act(world), self.second.act(world), strict=True)
        mixed = {role: self._mixed(world, role, one, other) for role, one, other in pairs}
        return mixed["user"], mixed["provider"]

    @staticmethod
    def _mixed(world: World, role: str, one: Any, other: Any) -> NDArray[np.int64]:
        default = world.default_actions(role)
        actions = np.array(default if other is None else other)
        actions[:, ::2] = (default if one is None else one)[:, ::2]
        return actions


def crossplay(
    makers: Mapping[str, PolicyMaker], scenario: Scenario, episodes: int, seed: int = 0
) -> NDArray[np.float64]:
    """Normalised welfare of every pair: (policies, policies); row: agents of even index, column: the others.

    Args:
        makers: Of the policies, by name; called anew for every batch of worlds.
        scenario: Where.
        episodes: The same for all pairs.
        seed: Key of the episodes.
    """
    floor, bound = end_scores(scenario, episodes, seed).values()
    matrix = np.empty((len(makers), len(makers)))
    for i, first in enumerate(makers.values()):
        for j, second in enumerate(makers.values()):
            score = float(play(_Made(first, second), scenario, episodes, seed).score.mean())
            matrix[i, j] = normalised_score(score, floor, bound)
    return matrix


class _Made:
    """A pair that is made anew for every batch of worlds."""

    def __init__(self, first: PolicyMaker, second: PolicyMaker) -> None:
        self._makers = first, second
        self._made: tuple[World, Policy] | None = None

    def act(self, world: World) -> Actions:
        """Actions of all agents."""
        if self._made is None or self._made[0] is not world:
            self._made = world, Halves(*(maker(world) for maker in self._makers))
        return self._made[1].act(world)
