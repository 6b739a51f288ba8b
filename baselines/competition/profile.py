"""A profile of a game between roles: which policies each role has, and how often it plays which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.agents.algorithms.ppo_loop import rows_of
from edge_experts.agents.checkpoints.inference import decide
from edge_experts.agents.checkpoints.randomness import OwnRandomness
from edge_experts.envs import World
from edge_experts.envs.api.policy import Actions
from edge_experts.envs.api.spaces import role_spaces
from edge_experts.envs.sim.spec import ROLES


@dataclass(frozen=True)
class Side:
    """A role's mixed strategy: in every episode all of its agents play one of its policies.

    Args:
        policies: Networks.
        weights: How often each is played; they add up to 1.
    """

    policies: Sequence[Any]
    weights: Sequence[float]

    @classmethod
    def pure(cls, policy: Any) -> Side:
        """One policy, always."""
        return cls([policy], [1.0])

    @classmethod
    def even(cls, policies: Sequence[Any]) -> Side:
        """Each policy as often as any other."""
        return cls(policies, [1.0 / len(policies)] * len(policies))


class Profile:
    """Plays both roles: for every world it draws which policy each role plays, and every action from that policy.

    Args:
        sides: By role.
        seed: Key of what is drawn.
    """

    def __init__(self, sides: Mapping[str, Side], seed: int = 0) -> None:
        self.sides: dict[str, Side] = dict(sides)
        self.seed: int = seed
        self._world: World | None = None

    @property
    def modules(self) -> dict[str, Any]:
        """The policy that each role plays most often."""
        return {role: side.policies[int(np.argmax(side.weights))] for role, side in self.sides.items()}

    def act(self, world: World) -> Actions:
        """Actions of all agents."""
        if self._world is not world:
            self._deal(world)
        actions: dict[str, NDArray[np.int64]] = {}
        with self._randomness.use():
            for role in ROLES:
                actions[role] = world.default_actions(role)
                for k in np.unique(self._dealt.get(role, ())):
                    worlds = np.flatnonzero(self._dealt[role] == k)
                    actions[role][worlds] = self._play(self.sides[role].policies[k], role, world, worlds)
        return actions["user"], actions["provider"]

    def _deal(self, world: World) -> None:
        rng = np.random.default_rng(self.seed)
        self._world, self._randomness = world, OwnRandomness(self.seed)
        self._dealt = {
            role: rng.choice(len(side.policies), size=world.n_worlds, p=np.asarray(side.weights))
            for role, side in sorted(self.sides.items())
        }

    @staticmethod
    def _play(policy: Any, role: str, world: World, worlds: NDArray[np.int64]) -> NDArray[np.int64]:
        """What a policy does in some worlds."""
        chosen, _ = decide(policy, {"obs": rows_of(role, world, world.views, worlds)}, explore=True)
        spaces = role_spaces(role, world.sizes)
        return spaces.to_world(chosen.reshape(len(worlds), -1, *chosen.shape[1:]))
