"""Masked action distributions: what is not allowed has probability zero, in sampling and in the loss.

Categorical parts are masked by their logits, which is exact: `exp` of `MASKED` is zero in float32, and so are the terms
of entropy and divergence. A masked entry of a `Box` action is held at zero and adds nothing to likelihood or entropy.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import gymnasium
import torch
from ray.rllib.core.distribution.distribution import Distribution
from ray.rllib.core.distribution.torch.torch_distribution import TorchDeterministic, TorchDiagGaussian
from torch import Tensor

MASKED = -1e9  # finite, so that products with a probability of zero stay zero


def mask_logits(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits with the masked choices at `MASKED`; (batch, choices) each, mask 1 = legal."""
    return torch.where(mask.bool(), logits, MASKED)


class Categoricals(Distribution):  # type: ignore[misc]
    """Independent categorical parts of an action, from their logits side by side; made for speed.

    Nothing is computed before it is asked for, and nothing twice: RLlib's own builds normalised `torch` distributions
        of
    every part at once, which takes longer than a small network's forward pass.

    Args:
        logits: (batch, sum of sizes).
        space: `Discrete`, whose actions have no axis of parts, or `MultiDiscrete`.
    """

    logits: Tensor
    sizes: tuple[int, ...]

    def __init__(self, logits: Tensor, space: gymnasium.Space[Any]) -> None:
        self.logits, self.sizes = logits, sizes_of(space)
        self.flat: bool = isinstance(space, gymnasium.spaces.Discrete)

    @cached_property
    def log_probabilities(self) -> tuple[Tensor, ...]:
        """Of each part: (batch, choices)."""
        return tuple(torch.log_softmax(part, dim=-1) for part in self.logits.split(self.sizes, dim=-1))

    @cached_property
    def probabilities(self) -> tuple[Tensor, ...]:
        """Of each part: (batch, choices)."""
        return tuple(part.exp() for part in self.log_probabilities)

    def sample(self, *, sample_shape: Any = None) -> Tensor:
        """Draw every part: (batch, parts), or (batch,) where flat.

        Each choice gets an exponential variate divided by its probability, and the smallest one wins: so every choice
            is drawn
        with its probability (the exponential form of the Gumbel-max trick). A choice of probability zero is never
        drawn.
        """
        return self._joined([(p / torch.empty_like(p).exponential_()).argmax(dim=-1) for p in self.probabilities])

    def rsample(self, *, sample_shape: Any = None) -> Tensor:
        """Not defined for choices."""
        raise NotImplementedError("choices have no reparametrised sample")

    def logp(self, value: Tensor, **kwargs: Any) -> Tensor:
        """Log-likelihood of actions: (batch,)."""
        chosen = value.long().reshape(len(value), len(self.sizes)).split(1, dim=-1)
        picked = [part.gather(-1, i) for part, i in zip(self.log_probabilities, chosen, strict=True)]
        return sum(picked[1:], picked[0]).squeeze(-1)

    def entropy(self, **kwargs: Any) -> Tensor:
        """Entropy of all parts, nats: (batch,)."""
        parts = zip(self.probabilities, self.log_probabilities, strict=True)
        return -torch.stack([(p * log_p).sum(dim=-1) for p, log_p in parts]).sum(dim=0)

    def kl(self, other: Categoricals, **kwargs: Any) -> Tensor:
        """Divergence from another distribution of the same parts: (batch,)."""
        parts = zip(self.probabilities, self.log_probabilities, other.log_probabilities, strict=True)
        return torch.stack([(p * (log_p - log_q)).sum(dim=-1) for p, log_p, log_q in parts]).sum(dim=0)

    def to_deterministic(self) -> TorchDeterministic:
        """The most likely choice of every part."""
        return TorchDeterministic(loc=self._joined([part.argmax(dim=-1) for part in self.logits.split(self.sizes, -1)]))

    def _joined(self, parts: list[Tensor]) -> Tensor:
        return parts[0] if self.flat else torch.stack(parts, dim=-1)

    @staticmethod
    def required_input_dim(space: gymnasium.Space[Any], **kwargs: Any) -> int:
        """Number of logits for a space."""
        return sum(sizes_of(space))

    @classmethod
    def from_logits(cls, logits: Tensor, **kwargs: Any) -> Categoricals:
        """See `distribution_for`, which binds the space."""
        return cls(logits, **kwargs)


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
    if isinstance(space, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete):
        return Categoricals.get_partial_dist_cls(space=space), sum(sizes_of(space))
    if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
        return MaskedDiagGaussian, 2 * space.shape[0]
    raise ValueError(f"action space: {space} is not supported; use Discrete, MultiDiscrete or a Box with one axis")


def sizes_of(space: Any) -> tuple[int, ...]:
    """Choices of each part of a `Discrete` or `MultiDiscrete` action."""
    return (int(space.n),) if isinstance(space, gymnasium.spaces.Discrete) else tuple(int(n) for n in space.nvec)
