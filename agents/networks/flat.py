"""Networks over the whole observation as one vector."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from torch import Tensor, nn

from ..entities.reader import Seen
from .running_norm import RunningNorm


class FlatReader(nn.Module):
    """Nested observations as one normalised vector a row, in the order of the space; integers as one-hot.

    Args:
        space: Any that flattens.
    """

    size: Any
    space: Any

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        super().__init__()
        self.space, self.size = space, gymnasium.spaces.utils.flatdim(space)
        self.running_norm: RunningNorm = RunningNorm(self.size)

    def gather_statistics(self, observation: Any) -> None:
        """Take these observations into the statistics that inputs are normalised by."""
        self.running_norm.gather(flatten(self.space, observation))

    def forward(self, observation: Any) -> Seen:
        """Read a batch of observations; there are no tokens."""
        return Seen(self.running_norm(flatten(self.space, observation)), None)


class FlatHead(nn.Module):
    """Linear in what the trunk makes of the observation.

    Args:
        features: Size of that.
        outputs: Of the distribution.
    """

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.layer: nn.Linear = nn.Linear(features, outputs)
        nn.init.orthogonal_(self.layer.weight, 0.01)
        nn.init.zeros_(self.layer.bias)

    def forward(self, features: Tensor, tokens: None) -> Tensor:
        """(batch, features) to (batch, outputs)."""
        return self.layer(features)  # type: ignore[no-any-return]


def flatten(space: gymnasium.Space[Any], value: Any) -> Tensor:
    """Nested observations as one vector a row, in the order of the space; integers as one-hot."""
    if isinstance(space, gymnasium.spaces.Dict):
        return torch.cat([flatten(inner, value[key]) for key, inner in space.spaces.items()], dim=-1)
    if isinstance(space, gymnasium.spaces.Tuple):
        return torch.cat([flatten(inner, value[i]) for i, inner in enumerate(space.spaces)], dim=-1)
    if isinstance(space, gymnasium.spaces.Discrete) and value.dim() == 1:
        return nn.functional.one_hot(value.long() - int(space.start), int(space.n)).float()
    return value.reshape(len(value), -1).float()  # type: ignore[no-any-return]
