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
from ..mixture.config import MixtureConfig
from ..mixture.routers import Router, Routing
from .distributions import distribution_for, mask_logits
from .running_norm import RunningNorm

ROUTING = "routing"  # in what a training pass returns: the `Routing` of the batch
LOG_STD_RANGE = (-5.0, 2.0)
PLAIN = MixtureConfig()


class MixtureActor(TorchRLModule):  # type: ignore[misc]
    """Mixture of branches with a policy head on top.

    Observations may be any space that flattens; of a `Dict` with an `action_mask` the mask also enters the network.

    Model config, beside the fields of `MixtureConfig`:
        hidden: Width of each layer of a branch, and of a trunk without branches; (64, 64) by default.
        layout: What the observation's columns are, see `observation_layout.layout_of`; none by default.
        plain_width: Width of the plain network that takes the place of the mixture; by default as `dense_equal` says.
    """

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        self.mixture_config = MixtureConfig.read(self.model_config)
        self.hidden = tuple(self.model_config.get("hidden", (64, 64)))
        self.layout = self.model_config.get("layout")
        self.plain_width = self.model_config.get("plain_width")
        if self.plain_width is None and self.mixture_config.dense_equal and self.mixture_config.branches > 1:
            self.plain_width = self._equal_width()
        self.has_mask = (
            isinstance(self.observation_space, gymnasium.spaces.Dict) and "action_mask" in self.observation_space.spaces
        )
        self.action_dist_cls, outputs = distribution_for(self.action_space)
        self.is_box = isinstance(self.action_space, gymnasium.spaces.Box)
        self.inputs = gymnasium.spaces.utils.flatdim(self.observation_space)
        self.running_norm = RunningNorm(self.inputs)
        self.mixture = self._trunk("policy")
        # the heads also see the input: what is linear in it need not pass through the branches
        self.policy = nn.Linear(self._features_of(self.mixture), outputs)
        nn.init.orthogonal_(self.policy.weight, 0.01)
        nn.init.zeros_(self.policy.bias)

    def _trunk(self, user: str) -> Mixture:
        """The trunk of the policy or of the value function: the mixture, or a plain network where it sits elsewhere."""
        if self.mixture_config.placement not in ("trunk", user):
            return Mixture(self.inputs, self.hidden, PLAIN)
        if self.plain_width is not None:
            return Mixture(self.inputs, (self.plain_width,) * len(self.hidden), PLAIN)
        return Mixture(self.inputs, self.hidden, self.mixture_config)

    def _features_of(self, trunk: Mixture) -> int:
        """What a head on a trunk sees: its output and the input."""
        return int(trunk.branches.biases[-1].shape[-1]) + self.inputs

    def _equal_width(self) -> int:
        """Width at which a plain network in place of the mixture makes the module, as nearly as possible, as large."""

        def size(**changes: Any) -> int:
            settings = {**self.model_config, "dense_equal": False, **changes}
            spaces = {"observation_space": self.observation_space, "action_space": self.action_space}
            return parameter_count(type(self)(**spaces, model_config=settings))

        with torch.random.fork_rng():  # building networks to count their weights leaves no trace
            wanted = size()
            low, high = 1, 2 * max(self.hidden)
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
            self.running_norm.gather(x)
        return self.running_norm(x)  # type: ignore[no-any-return]

    def _pass(self, trunk: Mixture, x: Tensor, batch: dict[str, Any]) -> tuple[Tensor, Routing | None]:
        """What the heads on a trunk see, and how the trunk was routed."""
        is_open = self._open_branches(batch[Columns.OBS]) if trunk.router is not None else None
        mixed, routing = trunk(x, is_open)
        return torch.cat([mixed, x], dim=-1), routing

    def _open_branches(self, observation: Any) -> Tensor | None:
        """Which branches each row may use: (batch, branches); branch b is of modality b modulo their number."""
        if not self.mixture_config.modality_sets:
            return None
        assert self.layout is not None, "modality_sets needs a layout"
        modalities = self.layout["modalities"]
        seen = observation["observation"]
        held = torch.stack([seen[..., columns].sum(dim=-1) > 0 for columns in modalities], dim=-1)
        owner = [b % len(modalities) for b in range(self.mixture_config.branches)]
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


class MixtureActorCritic(MixtureActor, ValueFunctionAPI):  # type: ignore[misc]
    """Mixture of branches, with a policy head and a value head on top; settings as `MixtureActor`."""

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        super().setup()
        self.value_trunk = None if self.mixture_config.placement == "trunk" else self._trunk("value")
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
        trunk = self.value_trunk if self.mixture_config.placement == "value" else self.mixture
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
