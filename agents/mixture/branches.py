"""Branches: the parallel sub-networks of a mixture."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from .config import MixtureConfig
from .routers import Router, Routing

EMBEDDING, BOTTLENECK = 8, 8  # of the hypernetwork: what it knows of a branch, and the layer it makes


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
        self.weights: nn.ParameterList = nn.ParameterList(torch.empty(count, a, b) for a, b in pairwise(sizes))
        self.biases: nn.ParameterList = nn.ParameterList(torch.zeros(count, 1, b) for b in hidden)
        with torch.no_grad():
            for weight in self.weights:
                for branch in weight:
                    nn.init.orthogonal_(branch, math.sqrt(2.0))

    def forward(self, x: Tensor, branch: int) -> Tensor:
        """One branch: (batch, inputs) to (batch, hidden[-1])."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = torch.relu(torch.addmm(bias[branch], x, weight[branch]))
        return x


class HyperBranch(nn.Module):
    """A further branch whose weights a hypernetwork makes from the branches that a row does not use.

    Every branch has a learned embedding; the mean of those not chosen makes the two layers of a bottleneck, so that
    rows with
    the same choice share one. Source: Zhao et al., "HyperMoE", ACL 2024, section 3.

    Args:
        inputs: Size of the input.
        outputs: Size of the output.
        branches: Number of branches.
    """

    inputs: int
    outputs: int

    def __init__(self, inputs: int, outputs: int, branches: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.embeddings: nn.Parameter = nn.Parameter(torch.randn(branches, EMBEDDING))
        self.down: nn.Linear = nn.Linear(EMBEDDING, inputs * BOTTLENECK)
        self.up: nn.Linear = nn.Linear(EMBEDDING, BOTTLENECK * outputs)
        nn.init.normal_(self.down.weight, std=1.0 / math.sqrt(inputs * EMBEDDING))
        nn.init.normal_(self.up.weight, std=0.1 / math.sqrt(BOTTLENECK * EMBEDDING))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """What the branches without weight add: (batch, outputs)."""
        choices, row_choice = torch.unique(weights == 0, dim=0, return_inverse=True)
        rest = choices.to(x.dtype)
        told = rest @ self.embeddings / rest.sum(dim=-1, keepdim=True).clamp(min=1.0)
        down = self.down(told).view(-1, self.inputs, BOTTLENECK)
        up = self.up(told).view(-1, BOTTLENECK, self.outputs)
        added = x.new_zeros(len(x), self.outputs)
        for i in range(len(choices)):
            rows = (row_choice == i).nonzero().squeeze(-1)
            added = added.index_add(0, rows, torch.relu(x[rows] @ down[i]) @ up[i])
        return added


class Mixture(nn.Module):
    """Branches weighed by a router; one branch is a plain network.

    Args:
        inputs: Size of the input.
        hidden: Width of each layer of a branch.
        config: Of the mixture.
    """

    branches: Branches
    capacity: float

    def __init__(self, inputs: int, hidden: tuple[int, ...], config: MixtureConfig) -> None:
        super().__init__()
        count = config.branches
        self.branches, self.capacity = Branches(inputs, hidden, count), config.capacity
        self.router: Router | None = Router(inputs, config) if count > 1 else None
        self.hyper: HyperBranch | None = (
            HyperBranch(inputs, hidden[-1], count) if count > 1 and config.router == "hyper" else None
        )

    def forward(self, x: Tensor, is_open: Tensor | None = None) -> tuple[Tensor, Routing | None]:
        """Mixed output (batch, hidden[-1]), and how it was routed.

        Each branch computes the rows that are routed to it and no others.

        Args:
            x: (batch, inputs).
            is_open: (batch, branches), see `Router`.
        """
        if self.router is None:
            return self.branches(x, 0), None
        routing = self.router(x, is_open)
        rows, share = [], []
        for branch in routing.weights.unbind(dim=-1):
            rows.append(self._taken(branch.detach()))
            share.append(branch[rows[-1]])
        outputs = [self.branches(x[chosen], i) for i, chosen in enumerate(rows)]
        mixed = x.new_zeros(len(x), outputs[0].shape[-1])
        mixed = mixed.index_add(0, torch.cat(rows), torch.cat(outputs) * torch.cat(share).unsqueeze(-1))
        if self.hyper is not None:
            mixed = mixed + self.hyper(x, routing.weights)
        return mixed, routing

    def _taken(self, weight: Tensor) -> Tensor:
        """Rows that a branch computes, from its weight in each row."""
        rows = weight.nonzero().squeeze(-1)
        if not self.capacity or not torch.is_grad_enabled() or self.router is None:
            return rows
        most = math.ceil(self.capacity * len(weight) * self.router.top_k / self.router.branches)
        return rows if len(rows) <= most else rows[weight[rows].topk(most).indices]
