"""IMPALA and APPO on trajectories of the batched runner; RLlib's own losses, learner threads and weight exchange."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from ray.rllib.algorithms.appo.appo import APPO, APPOConfig
from ray.rllib.algorithms.appo.torch.appo_torch_learner import APPOTorchLearner
from ray.rllib.algorithms.impala.impala import IMPALA, IMPALAConfig
from ray.rllib.algorithms.impala.torch.impala_torch_learner import IMPALATorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import TARGET_NETWORK_ACTION_DIST_INPUTS
from ray.rllib.core.rl_module.apis.target_network_api import TargetNetworkAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch

from ..networks.actor_critic import MoEModule
from ..networks.config import NetworkSettings
from ..sampling.batched_runner import TRAJECTORIES
from ..sampling.batches import joined


class WholeBatches:
    """A learner that takes the batched runner's batches as they come, whole: their rows are in order of time."""

    def _make_batch_if_necessary(self, training_data: Any) -> MultiAgentBatch:
        sampled = training_data.episodes
        if sampled and isinstance(sampled[0], MultiAgentBatch):
            return joined(sampled)
        return super()._make_batch_if_necessary(training_data=training_data)  # type: ignore[misc,no-any-return]

    def _create_iterator_if_necessary(
        self, *, training_data: Any, num_epochs: int = 1, **kwargs: Any
    ) -> Iterator[MultiAgentBatch]:
        return iter(
            [self._make_batch_if_necessary(training_data) if training_data.batch is None else training_data.batch]
            * num_epochs
        )


class MaskedIMPALAConfig(NetworkSettings, IMPALAConfig):  # type: ignore[misc]
    """IMPALA with one plain network for policy and value, and exact action masks."""

    batch_form = TRAJECTORIES

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MaskedIMPALA)

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """A network that takes masks and several action parts."""
        return RLModuleSpec(module_class=MoEModule)

    def get_default_learner_class(self) -> type:
        """The learner for ready-made batches."""
        return MaskedIMPALALearner


class MaskedIMPALALearner(WholeBatches, IMPALATorchLearner):  # type: ignore[misc]
    """IMPALA's learner for batches of the batched runner."""


class MaskedIMPALA(IMPALA):  # type: ignore[misc]
    """IMPALA that trains from the batched runner."""

    @classmethod
    def get_default_config(cls) -> MaskedIMPALAConfig:
        """The default configuration."""
        return MaskedIMPALAConfig()


class MaskedAPPOConfig(NetworkSettings, APPOConfig):  # type: ignore[misc]
    """APPO with one plain network for policy and value, and exact action masks."""

    batch_form = TRAJECTORIES

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MaskedAPPO)

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """A network that takes masks and several action parts, and keeps an older copy of itself."""
        return RLModuleSpec(module_class=TargetMoEModule)

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


class TargetMoEModule(MoEModule, TargetNetworkAPI):  # type: ignore[misc]
    """The network with an older copy of its trunk and policy head."""

    def make_target_networks(self) -> None:
        """Copy what the policy is made of."""
        self._old_normalise = make_target_network(self.normalise)
        self._old_mixture = make_target_network(self.mixture)
        self._old_policy = make_target_network(self.policy)

    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Each part with its older copy."""
        return [
            (self.normalise, self._old_normalise),
            (self.mixture, self._old_mixture),
            (self.policy, self._old_policy),
        ]

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The older policy's distribution inputs."""
        with torch.no_grad():
            x = self._old_normalise(self._flatten(batch[Columns.OBS]))
            outputs = self._old_policy(torch.cat([self._old_mixture(x)[0], x], dim=-1))
        return {TARGET_NETWORK_ACTION_DIST_INPUTS: self._masked(outputs, batch[Columns.OBS])}

    def get_non_inference_attributes(self) -> list[str]:
        """Parts that playing does not need."""
        return [*super().get_non_inference_attributes(), "_old_normalise", "_old_mixture", "_old_policy"]
