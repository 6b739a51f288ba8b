"""Routers weigh the branches of a mixture.

A router scores the branches, turns the scores into probabilities, and keeps some of them. The kinds, by name, differ
in how they score (`Router.score`) and in what they keep:

- `topk`: a linear score; the `top_k` largest probabilities are kept and renormalised. Noise may be added while
  learning. Source: Shazeer et al., "Outrageously large neural networks: the sparsely-gated mixture-of-experts layer",
  ICLR 2017.
- `dense`: a linear score; all branches are used.
- `laplace`: the score is the negative distance to a centre of each branch; the rest as in `topk`. Source: Han et al.,
  "FuseMoE: mixture-of-experts transformers for fleximodal fusion", NeurIPS 2024.
- `hyper`: as `topk`; the branches that are not chosen add what they know through a hypernetwork
  (`branches.HyperBranch`). Source: Zhao et al., "HyperMoE: towards better mixture of experts via transferring among
  experts", ACL 2024.
- `switch`: a linear score; the one branch of the highest probability, weighed by it. Source: Fedus, Zoph and Shazeer,
  "Switch transformers", JMLR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..networks.distributions import MASKED
from .config import MixtureConfig


@dataclass(frozen=True)
class Routing:
    """What a router decided for a batch; tensors (batch, branches).

    Attributes:
        weights: Zero for the branches that a row does not use.
        probabilities: The full softmax.
        scores: What it is the softmax of; `MASKED` where a branch is closed to a row.
        each: Rows of the batch that one observation has: as many as tokens, where these are routed.
    """

    weights: Tensor
    probabilities: Tensor
    scores: Tensor
    each: int = 1

    def of(self, observations: Tensor) -> Routing:
        """That of some observations: (batch,) bool."""
        rows = observations.repeat_interleave(self.each)
        return Routing(self.weights[rows], self.probabilities[rows], self.scores[rows], self.each)


class Router(nn.Module):
    """Weighs branches by a softmax over scores.

    Args:
        inputs: Size of the input.
        config: Of the mixture.
    """

    branches: int
    kind: str
    noise: float
    offset: Tensor

    def __init__(self, inputs: int, config: MixtureConfig) -> None:
        super().__init__()
        self.kind, self.branches, self.noise = config.router, config.branches, config.router_noise
        branches = self.branches
        self.top_k: int = {"dense": branches, "switch": 1}.get(self.kind, min(config.top_k, branches))
        if self.kind == "laplace":
            self.centres: nn.Parameter = nn.Parameter(torch.randn(branches, inputs) * 0.1)
        else:
            self.linear: nn.Linear = nn.Linear(inputs, branches)
            nn.init.normal_(self.linear.weight, std=0.01)
            nn.init.zeros_(self.linear.bias)
        if self.noise > 0:
            self.spread: nn.Linear = nn.Linear(inputs, branches)
            nn.init.zeros_(self.spread.weight)
            nn.init.zeros_(self.spread.bias)
        # added to the scores where branches are chosen, not where they are weighed; moved by `balance`
        self.register_buffer("offset", torch.zeros(branches))

    def score(self, x: Tensor) -> Tensor:
        """Scores of the branches: (batch, branches) from (batch, inputs)."""
        scores = -torch.cdist(x, self.centres) if self.kind == "laplace" else self.linear(x)
        if self.noise > 0 and torch.is_grad_enabled():
            spread = nn.functional.softplus(self.spread(x))
            scores = scores + self.noise * spread * torch.randn_like(scores)
        return scores  # type: ignore[no-any-return]

    def forward(self, x: Tensor, is_open: Tensor | None = None) -> Routing:
        """Route a batch.

        Args:
            x: (batch, inputs).
            is_open: (batch, branches) bool, which branches each row may use; all by default. A row with none uses any.
        """
        scores = self.score(x)
        if is_open is not None:
            is_open = is_open | ~is_open.any(dim=-1, keepdim=True)
            scores = torch.where(is_open, scores, MASKED)
        probabilities = torch.softmax(scores, dim=-1)
        if self.top_k == self.branches:
            return Routing(probabilities, probabilities, scores)
        chosen = (scores + self.offset).topk(self.top_k, dim=-1).indices
        kept = probabilities.gather(-1, chosen)
        if self.kind != "switch":
            kept = kept / kept.sum(dim=-1, keepdim=True).clamp(min=1e-9)
        return Routing(torch.zeros_like(probabilities).scatter(-1, chosen, kept), probabilities, scores)

    @torch.no_grad()
    def balance(self, weights: Tensor, rate: float) -> None:
        """Make branches that carry too little likelier to be chosen, and those that carry too much less so.

        Source: Wang et al., "Auxiliary-loss-free load balancing strategy for mixture-of-experts", 2024, algorithm 1.
        """
        carried = load(weights)
        self.offset += rate * torch.sign(carried.mean() - carried)


def balance_loss(weights: Tensor, probabilities: Tensor) -> Tensor:
    """Load-balancing loss, 1 when every branch carries the same load.

    `branches * sum(load_i * probability_i)` with the share of inputs sent to a branch and its mean probability. Source:
    Fedus, Zoph and Shazeer, "Switch transformers", JMLR 2022, equation 4.
    """
    return weights.shape[-1] * (load(weights) * probabilities.mean(dim=0)).sum()


def z_loss(scores: Tensor) -> Tensor:
    """Mean squared log-sum-exp of the scores, which keeps them small.

    Source: Zoph et al., "ST-MoE: designing stable and transferable sparse expert models", 2022, equation 5.
    """
    return torch.logsumexp(scores, dim=-1).square().mean()


def load(weights: Tensor) -> Tensor:
    """Share of the inputs that each branch carries, by weight where all are used: (branches,), no gradient."""
    used = weights > 0
    carried = (weights if bool(used.all()) else used.float()).mean(dim=0)
    return (carried / carried.sum().clamp(min=1e-9)).detach()


def entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy of the router's softmax, nats."""
    return -torch.xlogy(probabilities, probabilities).sum(dim=-1).mean()
