"""MAPPO: PPO whose value function is one central critic that sees the whole world, during training only.

Source: Yu et al., "The surprising effectiveness of PPO in cooperative multi-agent games", NeurIPS 2022. As there,
    policies
see only what their agents see; the critic sees all observations and has one output for each agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import gymnasium
import numpy as np
import torch
import tree
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import VF_LOSS_KEY
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.policy import PolicySpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch import Tensor

from edge_experts.envs.api.spaces import role_spaces
from edge_experts.envs.sim.world import Views, World

from ..entities.layout import entity_layout
from ..networks.actor_critic import MixtureActor
from ..networks.critics import CENTRAL, CentralCritic, MarketCritic
from ..sampling.batched_runner import BatchedEnvRunner
from ..sampling.rollout_buffer import Group, Rollout
from .ppo import MaskedPPO, MaskedPPOConfig, MaskedPPOLearner

Array = NDArray[Any]
CRITIC = "critic"
LIVE = "live"


class MAPPOConfig(MaskedPPOConfig):
    """Configuration of `MAPPO`; environments of this package only, as the critic reads their worlds.

    Args of `training`, beside those of `MaskedPPOConfig`:
        critic_hidden: Width of each layer of the critic; where `network` is `entities`, of an expert's token and of an
            agent's.
    """

    takes_markets = False

    @property
    def needs_worlds(self) -> str:
        """The critic reads whole worlds."""
        return self._only_on_worlds()

    @property
    def runner_class(self) -> type:  # type: ignore[override]
        """The runner that gathers what the critic sees."""
        return CentralEnvRunner

    def prepare(self, env: Any) -> None:
        """Add the critic, unless it is there."""
        self._check_game(env)
        if CRITIC not in self.policies:
            self.add_critic(env.env.world, self._layouts(env) if self.wants_layout else {})

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MAPPO)
        self.critic_hidden: tuple[int, ...] = (128, 128)
        self.vf_clip_param: float = float("inf")
        self.use_kl_loss = False

    def training(self, *, critic_hidden: Any = NotProvided, **kwargs: Any) -> MAPPOConfig:
        """Set the critic's width and any of PPO's settings."""
        super().training(**kwargs)
        self._take(critic_hidden=critic_hidden)
        return self

    def validate(self) -> None:
        """Check the settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()
        if self.memory:
            raise ValueError(
                f"memory: {self.memory!r} is not for MAPPO, whose networks keep none: leave it 0, or take PPO"
            )

    def add_critic(self, world: World, layouts: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Add the critic to the policies, for worlds like one."""
        values = world.sizes.P + world.sizes.U
        spaces: dict[str, gymnasium.Space[Any]] = {}
        for role in CENTRAL:
            observation, mask = (part[0] for part in central_view(world)[role].values())
            spaces[role] = gymnasium.spaces.Dict(
                {
                    "observation": gymnasium.spaces.Box(-np.inf, np.inf, observation.shape, np.float32),
                    "action_mask": gymnasium.spaces.MultiBinary(mask.shape),
                }
            )
        seen = gymnasium.spaces.Dict(spaces)
        valued = gymnasium.spaces.Box(-np.inf, np.inf, (values,), np.float32)
        policies = list(self.policies)
        specs = {
            name: RLModuleSpec(module_class=MixtureActor, model_config={"layout": layouts.get(name)})
            for name in policies
        }
        critic: dict[str, Any] = {"hidden": tuple(self.critic_hidden)}
        if self.network == "entities":
            critic["layouts"] = {role: entity_layout(role, world) for role in CENTRAL}
        specs[CRITIC] = RLModuleSpec(
            module_class=MarketCritic if self.network == "entities" else CentralCritic,
            observation_space=seen,
            action_space=valued,
            model_config=critic,
        )
        self.multi_agent(policies={**{name: PolicySpec() for name in policies}, CRITIC: PolicySpec(None, seen, valued)})
        self.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))

    def get_default_learner_class(self) -> type:
        """The learner that knows the critic."""
        return MAPPOLearner


def central_view(world: World, views: Views | None = None) -> dict[str, dict[str, Array]]:
    """What a central critic reads of every world, by role: observations (B, n, F) and masks (B, n, M); copies."""
    seen: dict[str, dict[str, Array]] = {}
    for role in CENTRAL:
        observation, mask = (views or world.views).of(role)
        shown: Array = np.array(role_spaces(role, world.sizes).shown_mask(mask))
        seen[role] = {"observation": observation.copy(), "action_mask": shown}
    return seen


class CentralEnvRunner(BatchedEnvRunner):
    """The batched runner with values from the central critic, whose batch has one row for each world and slot."""

    def _sample(self, **kwargs: Any) -> list[MultiAgentBatch]:
        self._states: list[Any] = []
        self._last_states: list[tuple[int, Array, Any]] = []
        self._judged: Array | None = None
        return super()._sample(**kwargs)

    def _play(self, rollout: Rollout, explore: bool, random_actions: bool) -> Array:
        self._states.append(central_view(self.world))
        over = super()._play(rollout, explore, random_actions)
        if over.any():
            worlds = np.flatnonzero(over)
            last = central_view(self.world, self.world.final_views)
            self._last_states.append((rollout.slots - 1, worlds, tree.map_structure(lambda x: x[worlds], last)))
        return over

    def _judge(self, states: Any) -> Array:
        """Values of all agents: (rows, P + U)."""
        with torch.inference_mode():
            out = self.module[CRITIC].forward_inference({Columns.OBS: tree.map_structure(torch.from_numpy, states)})
            values: Array = out[Columns.VF_PREDS].numpy()
        return values

    def _columns_of(self, group: Group) -> Array:
        return group.agents + (self.world.sizes.P if group.role == "user" else 0)

    def _value_estimates(self, group: Group, rollout: Rollout) -> tuple[Array, Array]:
        mine = self._columns_of(group)
        values = self._values_of_all(rollout)[..., mine]
        following = values[1:].copy()
        for t, worlds, last in self._last_states:
            following[t][worlds] = self._judge(last)[:, mine]
        return values[:-1], following

    def _values_of_all(self, rollout: Rollout) -> Array:
        """Values in every slot and after the last, (T + 1, B, P + U); worked out once for all groups."""
        if self._judged is None:
            states = _in_a_row([*self._states, central_view(self.world)])
            self._judged = self._judge(states).reshape(rollout.slots + 1, self.num_envs, -1)
        return self._judged

    def _finish(self, rollout: Rollout, steps: int) -> MultiAgentBatch:
        batch = super()._finish(rollout, steps)
        shape = (rollout.slots, self.num_envs, self.world.sizes.P + self.world.sizes.U)
        targets, live = np.zeros(shape, np.float32), np.zeros(shape, bool)
        for group in self.groups:
            mine = self._columns_of(group)
            targets[..., mine] = rollout.targets[group.key]
            live[..., mine] = rollout.stacked(group, ("live",))["live"]
        rows = {
            Columns.OBS: _in_a_row(self._states),
            Postprocessing.VALUE_TARGETS: targets.reshape(-1, shape[-1]),
            LIVE: live.reshape(-1, shape[-1]),
        }
        return MultiAgentBatch({**batch.policy_batches, CRITIC: SampleBatch(rows)}, env_steps=steps)


def _in_a_row(states: list[Any]) -> Any:
    """States of several slots as rows of one."""
    return tree.map_structure(lambda *parts: np.concatenate(parts), *states)


class MAPPOLearner(MaskedPPOLearner):
    """PPO's policy loss for the policies, squared error for the critic."""

    @classmethod
    def rl_module_required_apis(cls) -> list[type]:
        """Policies need no value function of their own."""
        return []

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Mean squared error over the agents that were there, for the critic; else as in `MaskedPPOLearner`."""
        if module_id != CRITIC:
            return super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        live = batch[LIVE].float()
        errors = (fwd_out[Columns.VF_PREDS] - batch[Postprocessing.VALUE_TARGETS]) ** 2
        loss = (errors.clamp(max=config.vf_clip_param) * live).sum() / live.sum().clamp(min=1.0)
        if self._is_last:
            self.metrics.log_dict({VF_LOSS_KEY: loss.detach()}, key=module_id, window=1)
        return config.vf_loss_coeff * loss


class MAPPO(MaskedPPO):
    """PPO with a central critic, trained from the batched runner."""

    @classmethod
    def get_default_config(cls) -> MAPPOConfig:
        """The default configuration."""
        return MAPPOConfig()
