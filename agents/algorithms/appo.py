"""APPO on trajectories of the batched runner; RLlib's own loss, learner threads and weight exchange."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.appo.appo import APPO, APPOConfig
from ray.rllib.algorithms.appo.torch.appo_torch_learner import APPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import TARGET_NETWORK_ACTION_DIST_INPUTS
from ray.rllib.core.rl_module.apis.target_network_api import TargetNetworkAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from ..networks.actor_critic import MixtureActorCritic
from ..networks.config import NetworkConfig
from ..sampling.trajectory_runner import TrajectoryEnvRunner
from .impala import WholeBatches


class MaskedAPPOConfig(NetworkConfig, APPOConfig):  # type: ignore[misc]
    """APPO with one plain network for policy and value, and exact action masks."""

    runner_class = TrajectoryEnvRunner

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MaskedAPPO)

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """A network that takes masks and several action parts, and keeps an older copy of itself."""
        return RLModuleSpec(module_class=TargetActorCritic)

    def get_default_learner_class(self) -> type:
        """The learner for ready-made batches."""
        return MaskedAPPOLearner


class MaskedAPPOLearner(WholeBatches, APPOTorchLearner):  # type: ignore[misc]
    """APPO's learner for batches of the batched runner."""


class MaskedAPPO(APPO):  # type: ignore[misc]
    """APPO that trains from the batched runner."""

    @classmethod
    def get_default_config(cls) -> MaskedAPPOConfig:
        """The default configuration."""
        return MaskedAPPOConfig()


class TargetActorCritic(MixtureActorCritic, TargetNetworkAPI):  # type: ignore[misc]
    """The network with an older copy of its trunk and policy head."""

    def make_target_networks(self) -> None:
        """Copy what the policy is made of."""
        self._old_encoder = make_target_network(self.encoder)
        self._old_mixture = make_target_network(self.mixture)
        self._old_policy = make_target_network(self.policy)

    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Each part with its older copy."""
        return [
            (self.encoder, self._old_encoder),
            (self.mixture, self._old_mixture),
            (self.policy, self._old_policy),
        ]

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The older policy's distribution inputs."""
        with torch.no_grad():
            seen = self._old_encoder(self.reader(batch[Columns.OBS]))
            features = torch.cat([self._old_mixture(seen.vector)[0], seen.vector], dim=-1)
            outputs = self._old_policy(features, seen.tokens)
        return {TARGET_NETWORK_ACTION_DIST_INPUTS: self._masked(outputs, batch[Columns.OBS])}

    def get_non_inference_attributes(self) -> list[str]:
        """Parts that playing does not need."""
        return [*super().get_non_inference_attributes(), "_old_encoder", "_old_mixture", "_old_policy"]
