"""MoE-PPO: proximal policy optimisation with a mixture of branches, on RLlib's new API stack."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.core.columns import Columns
from torch import Tensor

from .module import ROUTER_PROBABILITIES, ROUTER_WEIGHTS
from .ppo import MaskedPPO, MaskedPPOConfig, MaskedPPOLearner
from .routers import balance_loss, entropy, load


class MoEPPOConfig(MaskedPPOConfig):
    """Configuration of `MoEPPO`; beside PPO's own settings, `training` takes those of the mixture.

    Args of `training`:
        branches: Number of branches; 1 is plain PPO with the same network.
        top_k: How many branches an input uses.
        hidden: Width of each layer of a branch.
        forced_share: As in `MaskedPPOConfig`.
        balance_coeff: Weight of the load-balancing loss.
        dense_equal: Train the control instead: one plain network with as many weights as the mixture.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MoEPPO)
        self.branches = 4
        self.top_k = 2
        self.balance_coeff = 0.01
        self.dense_equal = False
        # returns here are not bounded by PPO's default clip of 10 on the squared value error
        self.vf_clip_param = float("inf")
        self.use_kl_loss = False

    def training(
        self,
        *,
        branches: Any = NotProvided,
        top_k: Any = NotProvided,
        balance_coeff: Any = NotProvided,
        dense_equal: Any = NotProvided,
        **kwargs: Any,
    ) -> MoEPPOConfig:
        """Set the mixture's settings and any of PPO's."""
        super().training(**kwargs)
        self._take(branches=branches, top_k=top_k, balance_coeff=balance_coeff, dense_equal=dense_equal)
        return self

    def validate(self) -> None:
        """Check the mixture's settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()
        if self.branches < 1:
            raise ValueError(f"branches: {self.branches!r} must be 1 or more")
        if not 1 <= self.top_k <= self.branches and self.branches > 1:
            raise ValueError(f"top_k: {self.top_k!r} must be between 1 and branches = {self.branches}")
        if self.balance_coeff < 0:
            raise ValueError(f"balance_coeff: {self.balance_coeff!r} must not be negative")

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        mixture = {
            "branches": self.branches,
            "top_k": self.top_k,
            "dense_equal": self.dense_equal,
        }
        return {**super()._model_config_auto_includes, **mixture}

    def get_default_learner_class(self) -> type:
        """The learner that adds the load-balancing loss."""
        return MoEPPOLearner


class MoEPPOLearner(MaskedPPOLearner):
    """PPO's loss plus the load-balancing loss; logs what the router does."""

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """PPO's loss plus `balance_coeff` times the load-balancing loss."""
        loss = super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        if ROUTER_WEIGHTS not in fwd_out:
            return loss
        weights, probabilities = fwd_out[ROUTER_WEIGHTS], fwd_out[ROUTER_PROBABILITIES]
        if Columns.LOSS_MASK in batch:  # rows that only serve to bootstrap values
            rows = batch[Columns.LOSS_MASK].bool()
            weights, probabilities = weights[rows], probabilities[rows]
        balance = balance_loss(weights, probabilities)
        if self._is_last:
            loads = {f"branch_load_{i}": share for i, share in enumerate(load(weights))}
            report = {
                "router_balance_loss": balance.detach(),
                "router_entropy": entropy(probabilities).detach(),
                **loads,
            }
            self.metrics.log_dict(report, key=module_id, window=1)
        return loss + config.balance_coeff * balance


class MoEPPO(MaskedPPO):
    """PPO whose policy and value share a mixture of branches."""

    @classmethod
    def get_default_config(cls) -> MoEPPOConfig:
        """The default configuration."""
        return MoEPPOConfig()
