"""Values of joint choices with exact masks, as an RLModule."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.dqn.dqn_learner import QF_NEXT_PREDS, QF_PREDS, QF_TARGET_NEXT_PREDS
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import QNetAPI, TargetNetworkAPI
from ray.rllib.utils.schedules.scheduler import Scheduler
from torch import Tensor, nn

from .joint_actions import JointActionModule, Torso


class QNetwork(JointActionModule, QNetAPI, TargetNetworkAPI):  # type: ignore[misc]
    """Values of all joint choices, those of illegal ones at minus infinity.

    Duelling: a value, and the advantage of each choice over the mean of the legal ones. Source: Wang et al., "Dueling
        network
    architectures for deep reinforcement learning", ICML 2016, equation 9.

    Model config, beside that of `JointActionModule`:
        dueling: Whether to learn value and advantages apart.
        double_q: Whether the newest network chooses what the target network judges.
        epsilon: Share of random choices, a number or a schedule over environment steps.
    """

    old_advantages: Any
    old_trunk: Any

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        super().setup()
        self.trunk: Torso = self.torso()
        self.advantages: Any = self.joint_head(self.trunk.size)
        self.value: nn.Linear | None = nn.Linear(self.trunk.size, 1) if self.model_config["dueling"] else None
        self.epsilon: Scheduler = Scheduler(fixed_value_or_schedule=self.model_config["epsilon"])

    def make_target_networks(self) -> None:
        """Copy what the values are made of."""
        self.old_trunk, self.old_advantages = make_target_network(self.trunk), make_target_network(self.advantages)
        self.old_value: Any = make_target_network(self.value) if self.value is not None else None

    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Each part with its older copy."""
        pairs = [(self.trunk, self.old_trunk), (self.advantages, self.old_advantages)]
        return pairs if self.value is None else [*pairs, (self.value, self.old_value)]

    def get_non_inference_attributes(self) -> list[str]:
        """Parts that playing does not need."""
        return ["old_trunk", "old_advantages", "old_value"]

    def compute_q_values(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Values of all joint choices: (batch, choices)."""
        return {QF_PREDS: self._values(self.trunk, self.advantages, self.value, batch[Columns.OBS])}

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The same of the older network."""
        with torch.no_grad():
            return {QF_PREDS: self._values(self.old_trunk, self.old_advantages, self.old_value, batch[Columns.OBS])}

    def _values(self, trunk: Any, advantages: Any, value: Any, observation: dict[str, Tensor]) -> Tensor:
        features, legal = trunk(self.seen(observation)), self.legal(observation)
        q = self.joint_scores(advantages, features)
        if value is not None:
            mean = (q * legal).sum(dim=-1, keepdim=True) / legal.sum(dim=-1, keepdim=True)
            q = value(features.vector) + q - mean
        return torch.where(legal, q, -torch.inf)

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        later = {Columns.OBS: batch[Columns.NEXT_OBS]}
        out = {**self.compute_q_values(batch), QF_TARGET_NEXT_PREDS: self.forward_target(later)[QF_PREDS]}
        if self.model_config["double_q"]:
            with torch.no_grad():
                out[QF_NEXT_PREDS] = self.compute_q_values(later)[QF_PREDS]
        return out

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self.chosen(self.compute_q_values(batch)[QF_PREDS].argmax(dim=-1))

    def _forward_exploration(self, batch: dict[str, Any], t: int = 0, **kwargs: Any) -> dict[str, Any]:
        best = self.compute_q_values(batch)[QF_PREDS].argmax(dim=-1)
        self.epsilon.update(timestep=t)
        is_random = torch.rand(len(best)) < self.epsilon.get_current_value()
        return self.chosen(torch.where(is_random, self.random_choice(batch)[Columns.ACTIONS], best))
