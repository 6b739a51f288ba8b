"""Routers weigh the branches of a mixture."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TopKRouter(nn.Module):
    """Softmax over all branches, of which the `top_k` largest are kept and renormalised.

    Source: Shazeer et al., "Outrageously large neural networks: the sparsely-gated mixture-of-experts layer", 2017.

    Args:
        inputs: Size of the input.
        branches: Number of branches.
        top_k: How many of them an input uses.
    """

    def __init__(self, inputs: int, branches: int, top_k: int) -> None:
        super().__init__()
        self.branches, self.top_k = branches, min(top_k, branches)
        self.score = nn.Linear(inputs, branches)
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.zeros_(self.score.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (batch, branches), zero outside the top k, and the full softmax they come from."""
        probabilities = torch.softmax(self.score(x), dim=-1)
        if self.top_k == self.branches:
            return probabilities, probabilities
        largest, chosen = probabilities.topk(self.top_k, dim=-1)
        kept = largest / largest.sum(dim=-1, keepdim=True)
        return torch.zeros_like(probabilities).scatter(-1, chosen, kept), probabilities


def balance_loss(weights: Tensor, probabilities: Tensor) -> Tensor:
    """Load-balancing loss, 1 when every branch carries the same load.

    `branches * sum(load_i * probability_i)` with the share of inputs sent to a branch and its mean probability. Source:
    Fedus, Zoph and Shazeer, "Switch transformers", JMLR 2022, equation 4.
    """
    return weights.shape[-1] * (load(weights) * probabilities.mean(dim=0)).sum()


def load(weights: Tensor) -> Tensor:
    """Share of the routed inputs that each branch carries: (branches,), without gradient."""
    used = (weights > 0).float().mean(dim=0)
    return (used / used.sum()).detach()


def entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy of the router's softmax, nats."""
    return -torch.xlogy(probabilities, probabilities).sum(dim=-1).mean()
