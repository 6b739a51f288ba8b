"""The networks as RLModules: a mixture of branches for the policy, shared with the value function or not; exact masks."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

from .branches import Mixture, equal_dense_width
from .distributions import distribution_for, mask_logits
from .normalise import RunningNorm

ROUTER_WEIGHTS = "router_weights"  # (batch, branches), zero outside the top k
ROUTER_PROBABILITIES = "router_probabilities"  # (batch, branches), full softmax
LOG_STD_RANGE = (-5.0, 2.0)


class MixturePolicy(TorchRLModule):  # type: ignore[misc]
    """Mixture of branches with a policy head on top.

    Observations may be any space that flattens; of a `Dict` with an `action_mask` the mask also enters the network.

    Model config:
        branches: Number of branches; 1 is a plain network.
        top_k: How many branches an input uses.
        hidden: Width of each layer of a branch.
        dense_equal: Build the control instead: one plain network with as many weights.
    """

    value_outputs = 0

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        options = self.model_config
        hidden = tuple(options["hidden"])
        self.has_mask = (
            isinstance(self.observation_space, gymnasium.spaces.Dict) and "action_mask" in self.observation_space.spaces
        )
        self.action_dist_cls, outputs = distribution_for(self.action_space)
        self.is_box = isinstance(self.action_space, gymnasium.spaces.Box)
        inputs = gymnasium.spaces.utils.flatdim(self.observation_space)
        branches = options["branches"]
        if options.get("dense_equal"):
            width = equal_dense_width(inputs, hidden, branches, outputs + self.value_outputs)
            hidden, branches = (width,) * len(hidden), 1
        self.normalise = RunningNorm(inputs)
        self.mixture = Mixture(inputs, hidden, branches, options["top_k"])
        # the heads also see the input: what is linear in it need not pass through the branches
        self.features = hidden[-1] + inputs
        self.policy = nn.Linear(self.features, outputs)
        nn.init.orthogonal_(self.policy.weight, 0.01)
        nn.init.zeros_(self.policy.bias)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features, _, _ = self._features(batch)
        return {Columns.ACTION_DIST_INPUTS: self._distribution_inputs(features, batch[Columns.OBS])}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features, weights, probabilities = self._features(batch)
        outputs: dict[str, Any] = {
            Columns.ACTION_DIST_INPUTS: self._distribution_inputs(features, batch[Columns.OBS]),
            Columns.EMBEDDINGS: features,
        }
        if weights is not None:
            outputs[ROUTER_WEIGHTS], outputs[ROUTER_PROBABILITIES] = weights, probabilities
        return outputs

    def _features(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What the heads see, and the router's weights and probabilities."""
        x = self._flatten(batch[Columns.OBS])
        if torch.is_grad_enabled():  # in the learner; runners only play
            self.normalise.gather(x)
        x = self.normalise(x)
        mixed, weights, probabilities = self.mixture(x)
        return torch.cat([mixed, x], dim=-1), weights, probabilities

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

    value_outputs = 1

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        super().setup()
        self.value = nn.Linear(self.features, 1)
        nn.init.orthogonal_(self.value.weight, 1.0)
        nn.init.zeros_(self.value.bias)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Value of each observation: (batch,)."""
        if embeddings is None:
            embeddings = self._features(batch)[0]
        return self.value(embeddings).squeeze(-1)  # type: ignore[no-any-return]


def _flatten(space: gymnasium.Space[Any], value: Any) -> Tensor:
    if isinstance(space, gymnasium.spaces.Dict):
        return torch.cat([_flatten(inner, value[key]) for key, inner in space.spaces.items()], dim=-1)
    if isinstance(space, gymnasium.spaces.Tuple):
        return torch.cat([_flatten(inner, value[i]) for i, inner in enumerate(space.spaces)], dim=-1)
    if isinstance(space, gymnasium.spaces.Discrete) and value.dim() == 1:
        return nn.functional.one_hot(value.long() - int(space.start), int(space.n)).float()
    return value.reshape(len(value), -1).float()  # type: ignore[no-any-return]
