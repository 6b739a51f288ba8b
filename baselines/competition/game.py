"""The game: everybody is paid what the scenario pays; a network for each role; training against what others play."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_experts.agents.algorithms.ppo_loop import PPOSettings, Trainee, collect, learn
from edge_experts.agents.checkpoints.randomness import OwnRandomness
from edge_experts.agents.mixture.observation_layout import layout_of
from edge_experts.agents.networks.actor_critic import MixtureActorCritic
from edge_experts.envs import Scenario, World
from edge_experts.envs.api.spaces import role_spaces
from edge_experts.envs.seeds import TRAINING
from edge_experts.envs.sim.spec import ROLES

from ..evaluation.evaluate import Record
from .profile import Profile, Side

WORLDS = 128
SETTINGS = PPOSettings(slots=32, num_epochs=3, minibatch_size=256, lr=1e-3, gamma=0.85, lambda_=0.95)
LAST_RATE = 0.1  # of the learning rate, at the end of a training


@dataclass
class Game:
    """A scenario as a game between its users and its providers.

    Args:
        scenario: With private rewards.
        steps: Environment steps that a solver may train for in all.
        seed: Key of training, networks and what is drawn.
        advance: Called with every number of steps that were trained.
        settings: Of PPO.

    Raises:
        ValueError: if a role does not act, or rewards are shared.
    """

    scenario: Scenario
    steps: int
    seed: int = 0
    advance: Any = lambda steps: None
    settings: PPOSettings = SETTINGS
    prices: list[tuple[int, float]] = field(default_factory=list)
    """Environment steps trained so far, and the mean posted price then, in list prices."""
    trained: int = 0

    def __post_init__(self) -> None:
        for role in ROLES:
            if not self.scenario.acts(role):
                raise ValueError(
                    f"compete: {role}s of {self.scenario.id} do not act; take a market where both roles do"
                )
        for name in ("team", "others"):
            if getattr(self.scenario.rewards, name):
                raise ValueError(f"compete: rewards.{name} must be 0: who competes is paid what is its own")
        self._rng = np.random.default_rng(self.seed)
        self._randomness = OwnRandomness(self.seed)

    def fresh(self, role: str) -> MixtureActorCritic:
        """A network that has learned nothing."""
        world = World(self.scenario)
        spaces = role_spaces(role, world.sizes)
        with self._randomness.use():
            return MixtureActorCritic(
                observation_space=spaces.observation,
                action_space=spaces.action,
                model_config={"network": "entities", "hidden": (32, 64), "layout": layout_of(role, world)},
            )

    def train(
        self,
        policies: Mapping[str, MixtureActorCritic],
        steps: int,
        others: Mapping[str, Side] | None = None,
    ) -> None:
        """Train the policies of one role, or of both at once, all agents of a role sharing theirs.

        Args:
            policies: Networks by role, which learn.
            steps: Environment steps.
            others: What the other role plays, if it does not learn.
        """
        world = World(self.scenario, WORLDS, TRAINING.key(self.seed), first_world=self.trained)  # episodes of its own
        trainees = [
            Trainee(role, np.arange(world.sizes.agents(role)), module, self.settings.lr)
            for role, module in policies.items()
        ]
        world.reset()
        batch = self.settings.slots * WORLDS
        iterations = max(1, round(steps / batch))
        minibatches = max(1, batch // self.settings.minibatch_size)
        with self._randomness.use():
            for i in range(iterations):
                for trainee in trainees:
                    rate = self.settings.lr * (1.0 - (1.0 - LAST_RATE) * i / iterations)
                    trainee.optimiser.param_groups[0]["lr"] = rate
                opponents = Profile(others, seed=int(self._rng.integers(2**31))) if others else None
                rows, _ = collect(world, trainees, self.settings, self._rng, opponents)
                for trainee, mine in zip(trainees, rows, strict=True):
                    if len(mine["logp"]) > 1:
                        learn(trainee, mine, self.settings, minibatches)
                self.trained += batch
                self.advance(batch)
                if math.isfinite(price := mean_price(world)):
                    self.prices.append((self.trained, price))

    def best_reply(self, role: str, start: MixtureActorCritic, others: Side, steps: int) -> MixtureActorCritic:
        """A role's policy after training against what the other role plays."""
        policy = copy.deepcopy(start)
        (other,) = set(ROLES) - {role}
        self.train({role: policy}, steps, {other: others})
        return policy


def earned_by_role(record: Record, scenario: Scenario) -> tuple[float, float]:
    """Mean return of a user and of a provider over the episodes of a record."""
    users, providers = record.user_return.mean(), record.provider_return.mean()
    return float(users / scenario.devices.count), float(providers / scenario.providers.count)


def mean_price(world: World) -> float:
    """Mean over worlds and providers of the posted price, in list prices; NaN where all worlds have just begun anew."""
    levels: Sequence[float] = world.scenario.providers.price_levels
    posted = np.asarray(levels)[world.state.providers.price][~world.state.clock.over]
    return float(posted.mean()) if len(posted) else math.nan
