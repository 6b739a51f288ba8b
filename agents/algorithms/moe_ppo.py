"""MoE-PPO: proximal policy optimisation with a mixture of branches, on RLlib's new API stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from torch import Tensor

from ..mixture.config import ON_TOKENS, BalanceConfig, MixtureConfig, names_of
from ..mixture.metrics import labels_of, routing_report, specialisation_report
from ..mixture.routers import Routing, balance_loss, z_loss
from ..networks.actor_critic import ROUTING, TRUNK
from .ppo import MaskedPPO, MaskedPPOConfig, MaskedPPOLearner

SETTINGS = (*names_of(MixtureConfig), *names_of(BalanceConfig))


class MoEPPOConfig(MaskedPPOConfig):
    """Configuration of `MoEPPO`.

    `training` takes, beside the settings of `MaskedPPOConfig`, the fields of `MixtureConfig` and `BalanceConfig`,
    which tell what they mean; `branches` may also be a mapping from policy to that number. Four branches are the
    default.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MoEPPO)
        for name, value in {**asdict(MixtureConfig(branches=4)), **asdict(BalanceConfig())}.items():
            setattr(self, name, value)

    def training(self, **kwargs: Any) -> MoEPPOConfig:
        """Set the mixture's settings and any of PPO's."""
        own = {name: kwargs.pop(name) for name in SETTINGS if name in kwargs}
        super().training(**kwargs)
        self._take(**own)
        return self

    def validate(self) -> None:
        """Check the mixture's settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()
        BalanceConfig(**{name: getattr(self, name) for name in names_of(BalanceConfig)})
        given: Any = self.branches
        counts: dict[str, int] = dict(given) if isinstance(given, Mapping) else {"": given}
        for policy, count in counts.items():
            where = f"branches.{policy}" if policy else "branches"
            if not isinstance(count, int) or count < 1:
                raise ValueError(f"{where}: {count!r} must be 1 or more")
            self.mixture_of(policy)
        most = max(counts.values())
        if self.router not in ("dense", "switch", "soft") and not 1 <= self.top_k <= most and most > 1:
            raise ValueError(f"top_k: {self.top_k!r} must be between 1 and branches = {most}")
        if self.balance == "bias" and self.router in ("dense", "soft"):
            raise ValueError(
                f"balance: 'bias' moves which branches are chosen, and router '{self.router}' uses all: take 'loss'"
            )
        if self.placement in ON_TOKENS and self.network != "entities" and most > 1:
            raise ValueError(
                f"placement: {self.placement!r} needs tokens, and network '{self.network}' has none: "
                "take network 'entities', or 'trunk'"
            )
        if self.memory and self.placement != "trunk":
            raise ValueError(f"placement: {self.placement!r} does not go with a memory: take 'trunk'")

    def mixture_of(self, policy: str) -> MixtureConfig:
        """The mixture of a policy."""
        given: Any = self.branches
        branches = given[policy] if isinstance(given, Mapping) else given
        return MixtureConfig(**{name: getattr(self, name) for name in names_of(MixtureConfig)} | {"branches": branches})

    @property
    def wants_layout(self) -> bool:
        """Always: metrics tell what branches do by what an observation is about."""
        return True

    def describe_policies(self, layouts: Mapping[str, Any]) -> None:
        """As in `NetworkConfig`; settings may name policies or modalities, which must be there."""
        if not layouts:
            if self.modality_sets or isinstance(self.branches, Mapping):
                raise ValueError("branches: one number, and no modality_sets, for an environment of a single agent")
            return
        if isinstance(self.branches, Mapping) and set(self.branches) != set(layouts):
            raise ValueError(
                f"branches: names the policies {sorted(self.branches)}, the environment has {sorted(layouts)}"
            )
        super().describe_policies(layouts)

    def _own_settings(self, policy: str, layout: Any) -> dict[str, Any]:
        mixture = self.mixture_of(policy)
        if mixture.modality_sets:
            if layout is None:
                raise ValueError("modality_sets: True needs an environment of ours, whose requests have modalities")
            if mixture.branches < len(layout["modalities"]):
                raise ValueError(
                    f"branches: {mixture.branches} is too few for modality_sets: there are "
                    f"{len(layout['modalities'])} modalities, and each needs one"
                )
        return {"branches": mixture.branches}

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        # the number of branches may be each policy's own, see `describe_policies`
        names = [n for n in names_of(MixtureConfig) if n != "branches" or not isinstance(self.branches, Mapping)]
        return {**super()._model_config_auto_includes, **{name: getattr(self, name) for name in names}}

    def get_default_learner_class(self) -> type:
        """The learner that balances the branches."""
        return MoEPPOLearner


class MoEPPOLearner(MaskedPPOLearner):
    """PPO's loss plus those of the router; logs what the branches do."""

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """PPO's loss plus `balance_coeff` times the load-balancing loss and `z_coeff` times the z-loss."""
        loss = super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        if ROUTING not in fwd_out:
            return loss
        module = self.module[module_id].unwrapped()
        for name, every in fwd_out[ROUTING].items():
            routing = _kept(every, batch)
            balance, z = balance_loss(routing.weights, routing.probabilities), z_loss(routing.scores)
            if config.balance == "loss":
                loss = loss + config.balance_coeff * balance
            if config.z_coeff:
                loss = loss + config.z_coeff * z
            if config.balance == "bias":
                module.routers[name].balance(routing.weights, config.balance_rate)
            if self._is_last:
                report = {
                    "router_balance_loss": balance.detach(),
                    "router_z_loss": z.detach(),
                    **routing_report(routing),
                }
                report |= self._specialisation(module.layout, routing, batch)
                prefix = "" if name == TRUNK else f"{name}_"
                self.metrics.log_dict({prefix + key: value for key, value in report.items()}, key=module_id, window=1)
        return loss

    def _specialisation(self, layout: Any, routing: Routing, batch: dict[str, Any]) -> dict[str, Tensor]:
        """What branches tell of what a row is about, where that is known."""
        if not layout or not layout["categories"]:
            return {}
        rows = _rows(batch)
        seen = batch[Columns.OBS]["observation"][rows].reshape(len(routing.weights) // routing.each, -1)
        labels = labels_of(layout, seen, batch[Columns.ACTIONS][rows], routing.each)
        return specialisation_report(layout, routing.weights, labels)


def _rows(batch: dict[str, Any]) -> Any:
    """Rows that are learned from; the others only serve to bootstrap values or fill sequences."""
    return batch[Columns.LOSS_MASK].bool() if Columns.LOSS_MASK in batch else slice(None)


def _kept(routing: Routing, batch: dict[str, Any]) -> Routing:
    return routing.of(torch.flatten(_rows(batch))) if Columns.LOSS_MASK in batch else routing


class MoEPPO(MaskedPPO):
    """PPO whose policy, value function or both are a mixture of branches."""

    @classmethod
    def get_default_config(cls) -> MoEPPOConfig:
        """The default configuration."""
        return MoEPPOConfig()
