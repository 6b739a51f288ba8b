"""Generalised advantage estimation on arrays, and advantages as learners take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]


def generalised_advantages(
    rewards: Array, values: Array, following: Array, terminated: Array, truncated: Array, gamma: float, lambda_: float
) -> Array:
    """Advantages of every step; all arrays are (T, ...), time first.

    Args:
        rewards: Reward of the step.
        values: Value of the observation before it.
        following: Value of the observation after it: of the last one of the episode where that was truncated.
        terminated: The episode really ended here, so nothing follows.
        truncated: The episode was cut here, so the estimate is not carried over.
        gamma: Discount.
        lambda_: Decay of the estimator.

    Source: Schulman et al., "High-dimensional continuous control using generalized advantage estimation", 2016.
    """
    td_errors = rewards + gamma * following * ~terminated - values
    carried = gamma * lambda_ * ~(terminated | truncated)
    advantages = np.empty_like(values)
    running = np.zeros_like(values[0])
    for t in range(len(rewards) - 1, -1, -1):
        running = td_errors[t] + carried[t] * running
        advantages[t] = running
    return advantages


def standardised(advantages: torch.Tensor, counted: torch.Tensor | None = None) -> torch.Tensor:
    """Advantages brought to zero mean and unit spread over the rows that count, (rows,) bool; all by default."""
    sample = advantages if counted is None else advantages[counted]
    if len(sample) < 2:
        return advantages
    return (advantages - sample.mean()) / max(1e-4, float(sample.std()))
