"""IMPALA on trajectories of the batched runner; RLlib's own loss, learner threads and weight exchange."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ray.rllib.algorithms.impala.impala import IMPALA, IMPALAConfig
from ray.rllib.algorithms.impala.torch.impala_torch_learner import IMPALATorchLearner
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch

from ..networks.actor_critic import MixtureActorCritic
from ..networks.config import NetworkConfig
from ..sampling.batches import joined
from ..sampling.trajectory_runner import TrajectoryEnvRunner


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


class MaskedIMPALAConfig(NetworkConfig, IMPALAConfig):  # type: ignore[misc]
    """IMPALA with one plain network for policy and value, and exact action masks."""

    runner_class = TrajectoryEnvRunner

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MaskedIMPALA)

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """A network that takes masks and several action parts."""
        return RLModuleSpec(module_class=MixtureActorCritic)

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
