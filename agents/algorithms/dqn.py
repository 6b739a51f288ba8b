"""DQN over joint choices with exact masks: double, duelling, prioritised, sampled by the batched runner."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.dqn.dqn import DQN, DQNConfig
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from ..networks.q_network import QNetwork
from .fused_learner import FusedLearner
from .off_policy import ReplayConfig, ReplayLearner, ReplayTraining


class MaskedDQNConfig(ReplayConfig, DQNConfig):  # type: ignore[misc]
    """Configuration of DQN over the joint choices of an action; illegal ones are never played or bootstrapped."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MaskedDQN)
        self.replay_buffer_config: dict[str, Any] = {**self.replay_buffer_config, "capacity": 200_000}

    def validate(self) -> None:
        """Check the settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()
        if self.num_atoms != 1 or self.noisy:
            raise ValueError(
                f"num_atoms: {self.num_atoms!r} must be 1 and noisy False: a distribution of values and noisy "
                "layers need --runner stock"
            )

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """A network that takes masks and several action parts."""
        return RLModuleSpec(module_class=QNetwork)

    def get_default_learner_class(self) -> type:
        """The learner for ready-made batches."""
        return MaskedDQNLearner


class MaskedDQNLearner(ReplayLearner, FusedLearner, DQNTorchLearner):  # type: ignore[misc]
    """DQN's loss on batches of the replay buffer."""


class MaskedDQN(ReplayTraining, DQN):  # type: ignore[misc]
    """DQN that samples with the batched runner."""

    @classmethod
    def get_default_config(cls) -> MaskedDQNConfig:
        """The default configuration."""
        return MaskedDQNConfig()
