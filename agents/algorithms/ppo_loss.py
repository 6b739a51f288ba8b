"""PPO's losses as functions of tensors, (rows,) each.

Source: Schulman et al., "Proximal policy optimization algorithms", 2017, equations 7 and 9.
"""

from __future__ import annotations

import torch
from torch import Tensor

IMPOSSIBLE = -1e6  # log-likelihood below which a choice was masked


def surrogate_loss(logp: Tensor, logp_before: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """The clipped surrogate's mean, to be minimised.

    Args:
        logp: Log-likelihood of what was played, under the present policy.
        logp_before: The same under the policy that played it.
        advantages: Of what was played.
        clip: How far the ratio of the likelihoods may go from 1 and still be worth something.
    """
    ratio = torch.exp(logp - logp_before)
    return -torch.min(advantages * ratio, advantages * ratio.clamp(1 - clip, 1 + clip)).mean()


def value_loss(values: Tensor, targets: Tensor, clip: float = float("inf")) -> Tensor:
    """Mean squared error of values, each error clipped as RLlib does."""
    return ((values - targets) ** 2).clamp(max=clip).mean()


def imitation_loss(logp: Tensor) -> Tensor:
    """Mean negative log-likelihood of a teacher's choices; those that the learner may not make count nothing."""
    can = logp > IMPOSSIBLE
    return -torch.where(can, logp, 0.0).sum() / can.sum().clamp(min=1)
