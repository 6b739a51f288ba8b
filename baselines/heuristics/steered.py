"""A heuristic for users beside providers whose settings were searched on training episodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_experts.envs import World
from edge_experts.envs.api.policy import Actions, Policy
from edge_experts.envs.seeds import TEACHER, TRAINING

from .plan_policy import Ints
from .reference import searched, welfare_to_end

EPISODES = 32  # that settings are compared on


class Steered:
    """Plays a policy for users; all providers set what made the mean welfare of training episodes the highest.

    Speed, bandwidth policy, rendered views and transmit power are searched one after another, alike for all providers
    and for the whole episode, beginning with the defaults. The episodes are those of `seeds.TEACHER`, which are never
    evaluated on.

    Args:
        make: Makes the policy of the users for a world.
        world: Where it will be played.
    """

    def __init__(self, make: Callable[[World], Policy], world: World) -> None:
        self._users = make(world)
        self.settings: Ints = world.default_actions("provider")[0]
        if world.scenario.providers.act:
            self._search(make, world)

    def _search(self, make: Callable[[World], Policy], world: World) -> None:
        episodes = World(world.scenario, EPISODES, TRAINING.key(TEACHER))
        users = make(episodes)

        def welfare(settings: Ints) -> float:
            episodes.reset()
            actions = np.broadcast_to(settings, (EPISODES, *settings.shape))
            return float(welfare_to_end(episodes, lambda copies: (users.act(copies)[0], actions)).mean())

        best = welfare(self.settings)
        for part, count in searched(world):
            for level in range(count):
                settings = self.settings.copy()
                settings[:, part] = level
                if level != self.settings[0, part] and (found := welfare(settings)) > best:
                    best, self.settings = found, settings

    def act(self, world: World) -> Actions:
        """What the policy has users do, and the settings that were found."""
        users = self._users.act(world)[0]
        if not world.scenario.providers.act:
            return users, None
        return users, np.broadcast_to(self.settings, (world.n_worlds, *self.settings.shape))
