"""MAPPO: PPO whose value function is one central critic that sees the whole world, during training only.

Source: Yu et al., "The surprising effectiveness of PPO in cooperative multi-agent games", NeurIPS 2022. As there,
    policies
see only what their agents see; the critic sees all observations and has one output for each agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import VF_LOSS_KEY
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.policy import PolicySpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch import Tensor, nn

from edge_experts.envs.sim.spec import Sizes, observation_size

from ..networks.actor_critic import MixtureActor
from ..networks.running_norm import GathersStatistics, RunningNorm
from ..sampling.batched_runner import BatchedEnvRunner
from ..sampling.rollout_buffer import Group, Rollout
from .ppo import MaskedPPO, MaskedPPOConfig, MaskedPPOLearner

Array = NDArray[Any]
CRITIC = "critic"
LIVE = "live"


class MAPPOConfig(MaskedPPOConfig):
    """Configuration of `MAPPO`; environments of this package only, as the critic reads their worlds.

    Args of `training`, beside those of `MaskedPPOConfig`:
        critic_hidden: Width of each layer of the critic.
    """

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
            self.add_critic(env.env.world.sizes, self._layouts(env) if self.wants_layout else {})

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MAPPO)
        self.critic_hidden = (128, 128)
        self.vf_clip_param = float("inf")
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

    def add_critic(self, sizes: Sizes, layouts: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Add the critic to the policies, for worlds of given sizes."""
        width = sizes.P * observation_size("provider", sizes) + sizes.U * observation_size("user", sizes)
        seen = gymnasium.spaces.Box(-np.inf, np.inf, (width,), np.float32)
        values = gymnasium.spaces.Box(-np.inf, np.inf, (sizes.P + sizes.U,), np.float32)
        policies = list(self.policies)
        specs = {
            name: RLModuleSpec(module_class=MixtureActor, model_config={"layout": layouts.get(name)})
            for name in policies
        }
        critic = {"hidden": tuple(self.critic_hidden)}
        specs[CRITIC] = RLModuleSpec(
            module_class=CentralCritic, observation_space=seen, action_space=values, model_config=critic
        )
        self.multi_agent(policies={**{name: PolicySpec() for name in policies}, CRITIC: PolicySpec(None, seen, values)})
        self.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))

    def get_default_learner_class(self) -> type:
        """The learner that knows the critic."""
        return MAPPOLearner


class CentralCritic(TorchRLModule, GathersStatistics):  # type: ignore[misc]
    """From all observations of a world to a value for each of its agents, providers first.

    Model config:
        hidden: Width of each layer.
    """

    def setup(self) -> None:
        """Build the network."""
        sizes = (self.observation_space.shape[0], *self.model_config["hidden"])
        self.running_norm = RunningNorm(sizes[0])
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.values = nn.Linear(sizes[-1], self.action_space.shape[0])

    def gather_statistics(self, observation: Tensor) -> None:
        """Take states that are learned from into the statistics that inputs are normalised by."""
        self.running_norm.gather(observation)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        self.look_at(batch[Columns.OBS])
        x = self.running_norm(batch[Columns.OBS])
        for layer in self.layers:
            x = torch.relu(layer(x))
        return {Columns.VF_PREDS: self.values(x)}


class CentralEnvRunner(BatchedEnvRunner):
    """The batched runner with values from the central critic, whose batch has one row for each world and slot."""

    def _sample(self, **kwargs: Any) -> list[MultiAgentBatch]:
        self._states: list[Array] = []
        self._last_states: list[tuple[int, Array, Array]] = []
        return super()._sample(**kwargs)

    def _play(self, rollout: Rollout, explore: bool, random_actions: bool) -> Array:
        self._states.append(self.world.views.joined())
        over = super()._play(rollout, explore, random_actions)
        if over.any():
            worlds = np.flatnonzero(over)
            self._last_states.append((rollout.slots - 1, worlds, self.world.final_views.joined()[worlds]))
        return over

    def _judge(self, states: Array) -> Array:
        """Values of all agents: (rows, P + U)."""
        with torch.inference_mode():
            out = self.module[CRITIC].forward_inference({Columns.OBS: torch.from_numpy(states)})
            values: Array = out[Columns.VF_PREDS].numpy()
        return values

    def _columns_of(self, group: Group) -> Array:
        return group.agents + (self.world.sizes.P if group.role == "user" else 0)

    def _value_estimates(self, group: Group, rollout: Rollout) -> tuple[Array, Array]:
        mine = self._columns_of(group)
        states = np.concatenate([*self._states, self.world.views.joined()])
        values = self._judge(states).reshape(rollout.slots + 1, self.num_envs, -1)[..., mine]
        following = values[1:].copy()
        for t, worlds, last in self._last_states:
            following[t][worlds] = self._judge(last)[:, mine]
        return values[:-1], following

    def _finish(self, rollout: Rollout, steps: int) -> MultiAgentBatch:
        batch = super()._finish(rollout, steps)
        shape = (rollout.slots, self.num_envs, self.world.sizes.P + self.world.sizes.U)
        targets, live = np.zeros(shape, np.float32), np.zeros(shape, bool)
        for group in self.groups:
            mine = self._columns_of(group)
            targets[..., mine] = rollout.targets[group.key]
            live[..., mine] = rollout.stacked(group, ("live",))["live"]
        rows = {
            Columns.OBS: np.concatenate(self._states),
            Postprocessing.VALUE_TARGETS: targets.reshape(-1, shape[-1]),
            LIVE: live.reshape(-1, shape[-1]),
        }
        return MultiAgentBatch({**batch.policy_batches, CRITIC: SampleBatch(rows)}, env_steps=steps)


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
