"""MoE-PPO: proximal policy optimisation with a mixture of branches, on RLlib's new API stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from torch import Tensor

from ..mixture.metrics import labels_of, routing_report, specialisation_report
from ..mixture.routers import ROUTERS, Routing, balance_loss, z_loss
from ..networks.actor_critic import PLACEMENTS, ROUTING
from .ppo import MaskedPPO, MaskedPPOConfig, MaskedPPOLearner

BALANCES = ("loss", "bias", "none")


class MoEPPOConfig(MaskedPPOConfig):
    """Configuration of `MoEPPO`; beside PPO's own settings, `training` takes those of the mixture.

    Args of `training`:
        branches: Number of branches, or a mapping from policy to that number; 1 is plain PPO with the same network.
        router: Kind of router: `topk`, `dense`, `laplace`, `hyper`, `switch` (see `routers`).
        top_k: How many branches an input uses; `dense` uses all, `switch` one.
        router_noise: Noise on the router's scores while learning; 0: none.
        placement: Where the branches sit: `trunk` (policy and value share them), `policy` or `value`.
        modality_sets: Give every modality a set of branches of its own; on our environments.
        balance: How load is balanced: by a `loss` of weight `balance_coeff`, by a `bias` on the choice that moves by
            `balance_rate` a minibatch, or not (`none`).
        balance_coeff: Weight of the load-balancing loss.
        balance_rate: Step of the balancing bias.
        z_coeff: Weight of the router's z-loss.
        capacity: Rows that a branch takes of a minibatch, in multiples of an even load; 0: no limit.
        dense_equal: Train the control instead: one plain network with as many weights in place of the mixture.
        hidden, forced_share, memory: As in `MaskedPPOConfig`.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MoEPPO)
        self.branches: int | Mapping[str, int] = 4
        self.router = "topk"
        self.top_k = 2
        self.router_noise = 0.0
        self.placement = "trunk"
        self.modality_sets = False
        self.balance = "loss"
        self.balance_coeff = 0.01
        self.balance_rate = 0.001
        self.z_coeff = 0.0
        self.capacity = 0.0
        self.dense_equal = False

    def training(
        self,
        *,
        branches: Any = NotProvided,
        router: Any = NotProvided,
        top_k: Any = NotProvided,
        router_noise: Any = NotProvided,
        placement: Any = NotProvided,
        modality_sets: Any = NotProvided,
        balance: Any = NotProvided,
        balance_coeff: Any = NotProvided,
        balance_rate: Any = NotProvided,
        z_coeff: Any = NotProvided,
        capacity: Any = NotProvided,
        dense_equal: Any = NotProvided,
        **kwargs: Any,
    ) -> MoEPPOConfig:
        """Set the mixture's settings and any of PPO's."""
        super().training(**kwargs)
        self._take(
            branches=branches,
            router=router,
            top_k=top_k,
            router_noise=router_noise,
            placement=placement,
            modality_sets=modality_sets,
            balance=balance,
            balance_coeff=balance_coeff,
            balance_rate=balance_rate,
            z_coeff=z_coeff,
            capacity=capacity,
            dense_equal=dense_equal,
        )
        return self

    def validate(self) -> None:
        """Check the mixture's settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()
        for name, value, known in (
            ("router", self.router, ROUTERS),
            ("placement", self.placement, PLACEMENTS),
            ("balance", self.balance, BALANCES),
        ):
            if value not in known:
                raise ValueError(f"{name}: {value!r} is not one of {', '.join(known)}")
        counts = self.branches if isinstance(self.branches, Mapping) else {"": self.branches}
        for policy, count in counts.items():
            where = f"branches.{policy}" if policy else "branches"
            if not isinstance(count, int) or count < 1:
                raise ValueError(f"{where}: {count!r} must be 1 or more")
        most = max(counts.values())
        if self.router not in ("dense", "switch") and not 1 <= self.top_k <= most and most > 1:
            raise ValueError(f"top_k: {self.top_k!r} must be between 1 and branches = {most}")
        for name in ("balance_coeff", "balance_rate", "z_coeff", "router_noise", "capacity"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)!r} must not be negative")
        if self.balance == "bias" and self.router == "dense":
            raise ValueError(
                "balance: 'bias' moves which branches are chosen, and router 'dense' uses all: take 'loss'"
            )
        if self.memory and self.placement != "trunk":
            raise ValueError(f"placement: {self.placement!r} does not go with a memory: take 'trunk'")

    def describe_policies(self, layouts: Mapping[str, Any]) -> None:
        """Tell every policy's network what its observations are about.

        Args:
            layouts: By policy, see `layout.layout_of`; `None` where nothing is known.

        Raises:
            ValueError: if the settings name policies or modalities that are not there.
        """
        if isinstance(self.branches, Mapping) and set(self.branches) != set(layouts):
            raise ValueError(
                f"branches: names the policies {sorted(self.branches)}, the environment has {sorted(layouts)}"
            )
        specs = {}
        for policy, layout in layouts.items():
            if self.modality_sets:
                if layout is None:
                    raise ValueError("modality_sets: True needs an environment of ours, whose requests have modalities")
                if self._branches_of(policy) < len(layout["modalities"]):
                    raise ValueError(
                        f"branches: {self._branches_of(policy)} is too few for modality_sets: there are "
                        f"{len(layout['modalities'])} modalities, and each needs one"
                    )
            own = {"layout": layout, "branches": self._branches_of(policy)}
            specs[policy] = RLModuleSpec(module_class=self.get_default_rl_module_spec().module_class, model_config=own)
        self.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))

    def _branches_of(self, policy: str) -> int:
        return self.branches[policy] if isinstance(self.branches, Mapping) else self.branches

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        names = ("router", "top_k", "router_noise", "placement", "modality_sets", "capacity", "dense_equal")
        mixture = {name: getattr(self, name) for name in names}
        branches = {} if isinstance(self.branches, Mapping) else {"branches": self.branches}
        return {**super()._model_config_auto_includes, **branches, **mixture}

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
        routing = _kept(fwd_out[ROUTING], batch)
        balance = balance_loss(routing.weights, routing.probabilities)
        if config.balance == "loss":
            loss = loss + config.balance_coeff * balance
        z = z_loss(routing.scores)
        if config.z_coeff:
            loss = loss + config.z_coeff * z
        module = self.module[module_id].unwrapped()
        if config.balance == "bias":
            module.router.balance(routing.weights, config.balance_rate)
        if self._is_last:
            report = {"router_balance_loss": balance.detach(), "router_z_loss": z.detach(), **routing_report(routing)}
            layout = module.options["layout"]
            if layout and layout["categories"]:
                rows = _rows(batch)
                seen = batch[Columns.OBS]["observation"][rows].reshape(len(routing.weights), -1)
                labels = labels_of(layout, seen, batch[Columns.ACTIONS][rows])
                report |= specialisation_report(layout, routing.weights, labels)
            self.metrics.log_dict(report, key=module_id, window=1)
        return loss


def _rows(batch: dict[str, Any]) -> Any:
    """Rows that are learned from; the others only serve to bootstrap values or fill sequences."""
    return batch[Columns.LOSS_MASK].bool() if Columns.LOSS_MASK in batch else slice(None)


def _kept(routing: Routing, batch: dict[str, Any]) -> Routing:
    if Columns.LOSS_MASK not in batch:
        return routing
    rows = torch.flatten(_rows(batch))
    return Routing(routing.weights[rows], routing.probabilities[rows], routing.scores[rows])


class MoEPPO(MaskedPPO):
    """PPO whose policy, value function or both are a mixture of branches."""

    @classmethod
    def get_default_config(cls) -> MoEPPOConfig:
        """The default configuration."""
        return MoEPPOConfig()
