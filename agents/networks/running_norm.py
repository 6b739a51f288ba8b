"""Inputs brought to zero mean and unit variance, by statistics gathered while learning begins."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLIP = 5.0  # standard deviations


class RunningNorm(nn.Module):
    """Normalises each input by its running mean and variance.

    Statistics are gathered from the rows the learner sees, until `rows` of them have passed; then they stay, so that
    later
    updates compare policies on the same inputs. They are buffers: runners and checkpoints get them with the weights.

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
        """(batch, inputs) to the same, clipped at `CLIP` standard deviations."""
        return ((x - self.mean) / torch.sqrt(self.variance + 1e-4)).clamp(-CLIP, CLIP)

    @torch.no_grad()
    def gather(self, x: Tensor) -> None:
        """Merge the statistics of a batch (Chan, Golub and LeVeque's parallel formula)."""
        if self.count >= self.rows or len(x) < 2:
            return
        total = self.count + len(x)
        delta = x.mean(dim=0) - self.mean
        spread = (
            self.variance * self.count + x.var(dim=0, correction=0) * len(x) + delta**2 * self.count * len(x) / total
        )
        self.mean += delta * len(x) / total
        self.variance.copy_(spread / total)
        self.count.copy_(total)
