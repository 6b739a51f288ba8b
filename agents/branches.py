"""Branches: the parallel sub-networks of a mixture."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from .routers import TopKRouter


class Branches(nn.Module):
    """Equal multi-layer perceptrons with independent weights.

    Args:
        inputs: Size of the input.
        hidden: Width of each layer.
        count: Number of branches.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...], count: int) -> None:
        super().__init__()
        sizes = (inputs, *hidden)
        self.weights = nn.ParameterList(torch.empty(count, a, b) for a, b in pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(count, 1, b) for b in hidden)
        with torch.no_grad():
            for weight in self.weights:
                for branch in weight:
                    nn.init.orthogonal_(branch, math.sqrt(2.0))

    def forward(self, x: Tensor, branch: int) -> Tensor:
        """One branch: (batch, inputs) to (batch, hidden[-1])."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = torch.relu(torch.addmm(bias[branch], x, weight[branch]))
        return x


def mixture_size(inputs: int, hidden: tuple[int, ...], branches: int, head_outputs: int) -> int:
    """Number of weights of a `Mixture` and of heads that see its output and its input."""
    sizes = (inputs, *hidden)
    one = sum(a * b + b for a, b in pairwise(sizes))
    router = (inputs + 1) * branches if branches > 1 else 0
    return branches * one + router + (hidden[-1] + inputs + 1) * head_outputs


def equal_dense_width(inputs: int, hidden: tuple[int, ...], branches: int, head_outputs: int) -> int:
    """Width at which a plain network of as many layers has, as nearly as possible, the weights of a mixture."""
    wanted = mixture_size(inputs, hidden, branches, head_outputs)
    widths = range(1, branches * max(hidden) + 1)
    return min(widths, key=lambda width: abs(mixture_size(inputs, (width,) * len(hidden), 1, head_outputs) - wanted))


class Mixture(nn.Module):
    """Branches weighed by a router; one branch is a plain network.

    Args:
        inputs: Size of the input.
        hidden: Width of each layer of a branch.
        branches: Number of branches.
        top_k: How many of them an input uses.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...], branches: int, top_k: int) -> None:
        super().__init__()
        self.branches = Branches(inputs, hidden, branches)
        self.router = TopKRouter(inputs, branches, top_k) if branches > 1 else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Mixed output (batch, hidden[-1]), and the router's weights and probabilities (batch, branches).

        Each branch computes the rows that are routed to it and no others.
        """
        if self.router is None:
            return self.branches(x, 0), None, None
        weights, probabilities = self.router(x)
        rows, share = [], []
        for branch in weights.unbind(dim=-1):
            rows.append(branch.detach().nonzero().squeeze(-1))
            share.append(branch[rows[-1]])
        outputs = [self.branches(x[chosen], i) for i, chosen in enumerate(rows)]
        mixed = x.new_zeros(len(x), outputs[0].shape[-1])
        return (
            mixed.index_add(0, torch.cat(rows), torch.cat(outputs) * torch.cat(share).unsqueeze(-1)),
            weights,
            probabilities,
        )
