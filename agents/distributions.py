"""Masked action distributions: what is not allowed has probability zero, in sampling and in the loss.

Categorical parts are masked by their logits, which is exact: `exp` of `MASKED` is zero in float32, and so are the terms
of entropy and divergence. A masked entry of a `Box` action is held at zero and adds nothing to likelihood or entropy.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDeterministic,
    TorchDiagGaussian,
    TorchMultiCategorical,
)
from torch import Tensor

MASKED = -1e9  # finite, so that products with a probability of zero stay zero


def mask_logits(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits with the masked choices at `MASKED`; (batch, choices) each, mask 1 = legal."""
    return torch.where(mask.bool(), logits, MASKED)


class MaskedDiagGaussian(TorchDiagGaussian):  # type: ignore[misc]
    """Independent normal distributions; inputs are mean, log standard deviation and mask side by side."""

    def __init__(self, loc: Tensor, scale: Tensor, mask: Tensor) -> None:
        self.mask = mask
        super().__init__(loc=loc, scale=scale)

    def logp(self, value: Tensor, **kwargs: Any) -> Tensor:
        """Log-likelihood over the unmasked entries."""
        return (self._dist.log_prob(value) * self.mask).sum(-1)

    def entropy(self) -> Tensor:
        """Entropy over the unmasked entries."""
        return (self._dist.entropy() * self.mask).sum(-1)

    def kl(self, other: MaskedDiagGaussian) -> Tensor:
        """Divergence over the unmasked entries."""
        return (torch.distributions.kl_divergence(self._dist, other._dist) * self.mask).sum(-1)

    def sample(self, *, sample_shape: Any = None) -> Tensor:
        """A draw, zero where masked."""
        drawn: Tensor = self._dist.sample(sample_shape or ()) * self.mask
        return drawn

    def rsample(self, *, sample_shape: Any = None) -> Tensor:
        """A reparametrised draw, zero where masked."""
        drawn: Tensor = self._dist.rsample(sample_shape or ()) * self.mask
        return drawn

    @classmethod
    def from_logits(cls, logits: Tensor, **kwargs: Any) -> MaskedDiagGaussian:
        """Split the inputs into mean, log standard deviation and mask."""
        loc, log_std, mask = logits.chunk(3, dim=-1)
        return cls(loc, log_std.exp(), mask)

    def to_deterministic(self) -> TorchDeterministic:
        """The mean, zero where masked."""
        return TorchDeterministic(loc=self._dist.mean * self.mask)


def distribution_for(space: gymnasium.Space[Any]) -> tuple[Any, int]:
    """The distribution class of an action space and the number of outputs a policy head needs for it.

    Raises:
        ValueError: if the space is not Discrete, MultiDiscrete or a flat Box.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return TorchCategorical, int(space.n)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        sizes = [int(n) for n in space.nvec]
        return TorchMultiCategorical.get_partial_dist_cls(space=space, input_lens=sizes), sum(sizes)
    if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
        return MaskedDiagGaussian, 2 * space.shape[0]
    raise ValueError(f"action space: {space} is not supported; use Discrete, MultiDiscrete or a Box with one axis")
