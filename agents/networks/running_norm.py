"""Inputs brought to zero mean and unit variance, by statistics gathered while learning begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from torch import Tensor, nn

CLIP = 5.0  # standard deviations


class RunningNorm(nn.Module):
    """Normalises each input by its running mean and variance.

    Statistics are gathered from the rows the learner sees, until `rows` of them have passed; then they stay, so that
    later updates compare policies on the same inputs. They are buffers: runners and checkpoints get them with the
    weights.

    Args:
        inputs: Size of the input.
        rows: Rows after which the statistics are fixed.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, inputs: int, rows: int = 500_000) -> None:
        super().__init__()
        self.rows = rows
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("variance", torch.ones(inputs))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, ..., inputs) to the same, clipped at `CLIP` standard deviations."""
        return (x - self.mean).div_(torch.sqrt(self.variance + 1e-4)).clamp_(-CLIP, CLIP)

    @torch.no_grad()
    def gather(self, x: Tensor) -> None:
        """Merge the statistics of a batch, (batch, ..., inputs), by Chan, Golub and LeVeque's parallel formula."""
        if self.count >= self.rows or len(x) < 2:
            return
        total, seen = self.count + len(x), x.reshape(-1, x.shape[-1])
        delta = seen.mean(dim=0) - self.mean
        spread = (
            self.variance * self.count + seen.var(dim=0, correction=0) * len(x) + delta**2 * self.count * len(x) / total
        )
        self.mean += delta * len(x) / total
        self.variance.copy_(spread / total)
        self.count.copy_(total)


class GathersStatistics:
    """Mixin of an RLModule whose inputs are normalised by the statistics of what it learns from."""

    gathers: bool = True  # in every pass that learns

    def gather_statistics(self, observation: Any) -> None:
        """Take observations into the statistics."""
        raise NotImplementedError

    def look_over(self, columns: Mapping[str, Any]) -> None:
        """Take the statistics of a whole batch, once: for learners that pass over it several times, before they do."""
        self.gathers = False
        self.gather_statistics(columns[Columns.OBS])

    def look_at(self, observation: Any) -> None:
        """Take the statistics of what is passed through the network, where that is for learning and nobody else did."""
        if self.gathers and torch.is_grad_enabled():
            self.gather_statistics(observation)
