"""The networks as RLModules: a mixture of branches for policy, value or both, and exact masks."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

from ..mixture.branches import Mixture
from ..mixture.routers import Router, Routing
from .distributions import distribution_for, mask_logits
from .running_norm import RunningNorm

ROUTING = "routing"  # in what a training pass returns: the `Routing` of the batch
LOG_STD_RANGE = (-5.0, 2.0)
PLACEMENTS = ("trunk", "policy", "value")
# of the networks; a module's own configuration replaces some
DEFAULTS: dict[str, Any] = {
    "hidden": (64, 64),
    "branches": 1,
    "router": "topk",
    "top_k": 2,
    "router_noise": 0.0,
    "capacity": 0.0,
    "placement": "trunk",
    "modality_sets": False,
    "layout": None,
    "dense_equal": False,
}


class MixturePolicy(TorchRLModule):  # type: ignore[misc]
    """Mixture of branches with a policy head on top.

    Observations may be any space that flattens; of a `Dict` with an `action_mask` the mask also enters the network.

    Model config, beside `DEFAULTS`:
        hidden: Width of each layer of a branch, and of a trunk without branches.
        branches: Number of branches; 1 is a plain network.
        router: Kind of router, one of `routers.ROUTERS`.
        top_k: How many branches an input uses.
        router_noise: Noise on the router's scores while learning.
        capacity: See `branches.Mixture`.
        placement: Where the branches sit: `trunk` (policy and value share them), or in the `policy`'s or `value`'s own
            trunk, the other then being a plain network.
        modality_sets: Split the branches into a set for each modality; an input may use the sets of the modalities that it
            holds, and any set if it holds none. Source: Han et al., "FuseMoE", NeurIPS 2024.
        layout: What the observation's columns are, see `layout.layout_of`.
        dense_equal: Build the control instead: one plain network with as many weights in place of the mixture.
    """

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        self.options = {**DEFAULTS, **self.model_config}
        if self.options["dense_equal"] and self.options["branches"] > 1:
            self.options["plain_width"] = self._equal_width()
        self.has_mask = (
            isinstance(self.observation_space, gymnasium.spaces.Dict) and "action_mask" in self.observation_space.spaces
        )
        self.action_dist_cls, outputs = distribution_for(self.action_space)
        self.is_box = isinstance(self.action_space, gymnasium.spaces.Box)
        self.inputs = gymnasium.spaces.utils.flatdim(self.observation_space)
        self.normalise = RunningNorm(self.inputs)
        self.mixture = self._trunk("policy")
        # the heads also see the input: what is linear in it need not pass through the branches
        self.policy = nn.Linear(self._features_of(self.mixture), outputs)
        nn.init.orthogonal_(self.policy.weight, 0.01)
        nn.init.zeros_(self.policy.bias)

    def _trunk(self, user: str) -> Mixture:
        """The trunk of the policy or of the value function: the mixture, or a plain network where it sits elsewhere."""
        options, hidden = self.options, tuple(self.options["hidden"])
        if options["placement"] not in ("trunk", user):
            return Mixture(self.inputs, hidden, 1)
        if "plain_width" in options:
            return Mixture(self.inputs, (options["plain_width"],) * len(hidden), 1)
        return Mixture(
            self.inputs,
            hidden,
            options["branches"],
            options["router"],
            options["top_k"],
            options["router_noise"],
            options["capacity"],
        )

    def _features_of(self, trunk: Mixture) -> int:
        """What a head on a trunk sees: its output and the input."""
        return int(trunk.branches.biases[-1].shape[-1]) + self.inputs

    def _equal_width(self) -> int:
        """Width at which a plain network in place of the mixture makes the module, as nearly as possible, as large."""

        def size(**changes: Any) -> int:
            options = {**self.options, "dense_equal": False, **changes}
            spaces = {"observation_space": self.observation_space, "action_space": self.action_space}
            return parameter_count(type(self)(**spaces, model_config=options))

        with torch.random.fork_rng():  # building networks to count their weights leaves no trace
            wanted = size()
            low, high = 1, 2 * max(self.options["hidden"])
            while size(plain_width=high) < wanted:
                low, high = high, 2 * high
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if size(plain_width=middle) < wanted else (low, middle)
            return min((low, high), key=lambda width: abs(size(plain_width=width) - wanted))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features, _ = self._pass(self.mixture, self._inputs(batch), batch)
        return {Columns.ACTION_DIST_INPUTS: self._distribution_inputs(features, batch[Columns.OBS])}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features, routing = self._pass(self.mixture, self._inputs(batch), batch)
        outputs: dict[str, Any] = {
            Columns.ACTION_DIST_INPUTS: self._distribution_inputs(features, batch[Columns.OBS]),
            Columns.EMBEDDINGS: features,
        }
        return outputs if routing is None else {**outputs, ROUTING: routing}

    @property
    def router(self) -> Router | None:
        """Of the mixture, if there is one."""
        return self.mixture.router

    def _inputs(self, batch: dict[str, Any]) -> Tensor:
        """Normalised observations as vectors: (batch, inputs)."""
        x = self._flatten(batch[Columns.OBS])
        if torch.is_grad_enabled():  # in the learner; runners only play
            self.normalise.gather(x)
        return self.normalise(x)  # type: ignore[no-any-return]

    def _pass(self, trunk: Mixture, x: Tensor, batch: dict[str, Any]) -> tuple[Tensor, Routing | None]:
        """What the heads on a trunk see, and how the trunk was routed."""
        is_open = self._open_branches(batch[Columns.OBS]) if trunk.router is not None else None
        mixed, routing = trunk(x, is_open)
        return torch.cat([mixed, x], dim=-1), routing

    def _open_branches(self, observation: Any) -> Tensor | None:
        """Which branches each row may use: (batch, branches); branch b is of modality b modulo their number."""
        if not self.options["modality_sets"]:
            return None
        modalities = self.options["layout"]["modalities"]
        seen = observation["observation"]
        held = torch.stack([seen[..., columns].sum(dim=-1) > 0 for columns in modalities], dim=-1)
        owner = [b % len(modalities) for b in range(self.options["branches"])]
        return held[..., owner]

    def _distribution_inputs(self, features: Tensor, observation: Any) -> Tensor:
        return self._masked(self.policy(features), observation)

    def _masked(self, outputs: Tensor, observation: Any) -> Tensor:
        mask = observation["action_mask"] if self.has_mask else None
        if not self.is_box:
            return outputs if mask is None else mask_logits(outputs, mask)
        mean, log_std = outputs.chunk(2, dim=-1)
        mask = torch.ones_like(mean) if mask is None else mask.to(mean.dtype)
        return torch.cat([mean, log_std.clamp(*LOG_STD_RANGE), mask], dim=-1)

    def _flatten(self, observation: Any) -> Tensor:
        """Nested observations as one vector a row, in the order of the space; integers as one-hot."""
        return _flatten(self.observation_space, observation)


class MoEModule(MixturePolicy, ValueFunctionAPI):  # type: ignore[misc]
    """Mixture of branches, with a policy head and a value head on top; settings as `MixturePolicy`."""

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        super().setup()
        self.value_trunk = None if self.options["placement"] == "trunk" else self._trunk("value")
        self.value = nn.Linear(self._features_of(self.value_trunk or self.mixture), 1)
        nn.init.orthogonal_(self.value.weight, 1.0)
        nn.init.zeros_(self.value.bias)

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if self.value_trunk is None:
            return super()._forward_train(batch, **kwargs)
        x = self._inputs(batch)
        features, routing = self._pass(self.mixture, x, batch)
        value_features, value_routing = self._pass(self.value_trunk, x, batch)
        return {
            Columns.ACTION_DIST_INPUTS: self._distribution_inputs(features, batch[Columns.OBS]),
            Columns.EMBEDDINGS: value_features,
            **({ROUTING: routing or value_routing} if self.router is not None else {}),
        }

    @property
    def router(self) -> Router | None:
        """Of the mixture, if there is one."""
        trunk = self.value_trunk if self.options["placement"] == "value" else self.mixture
        return trunk.router if trunk is not None else None

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Value of each observation: (batch,)."""
        if embeddings is None:
            embeddings = self._pass(self.value_trunk or self.mixture, self._inputs(batch), batch)[0]
        return self.value(embeddings).squeeze(-1)  # type: ignore[no-any-return]


def parameter_count(module: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)


def _flatten(space: gymnasium.Space[Any], value: Any) -> Tensor:
    if isinstance(space, gymnasium.spaces.Dict):
        return torch.cat([_flatten(inner, value[key]) for key, inner in space.spaces.items()], dim=-1)
    if isinstance(space, gymnasium.spaces.Tuple):
        return torch.cat([_flatten(inner, value[i]) for i, inner in enumerate(space.spaces)], dim=-1)
    if isinstance(space, gymnasium.spaces.Discrete) and value.dim() == 1:
        return nn.functional.one_hot(value.long() - int(space.start), int(space.n)).float()
    return value.reshape(len(value), -1).float()  # type: ignore[no-any-return]
