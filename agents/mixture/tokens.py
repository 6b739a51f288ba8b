"""Branches that tokens pass, each by itself, before they are pooled."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from .branches import Branches, Mixture
from .config import MixtureConfig
from .routers import Routing


class TokenBranches(nn.Module):
    """What a mixture makes of every token, added to it.

    Sources: Shazeer et al., ICLR 2017, for routed tokens; Obando-Ceron et al., "Mixtures of experts unlock parameter
    scaling for deep RL", ICML 2024, for tokens of one observation.

    Args:
        width: Of a token.
        inner: Width of the layer inside a branch.
        config: Of the mixture; one branch is a plain network.
    """

    def __init__(self, width: int, inner: int, config: MixtureConfig) -> None:
        super().__init__()
        is_soft = config.router == "soft" and config.branches > 1
        self.mixture: SoftMixture | Mixture = (SoftMixture if is_soft else Mixture)(width, (inner, width), config)

    @property
    def router(self) -> nn.Module | None:
        """Of the mixture, if there is one."""
        return self.mixture.router

    def forward(self, tokens: Tensor, is_open: Tensor | None = None) -> tuple[Tensor, Routing | None]:
        """New tokens (batch, tokens, width), and how they were routed: (batch x tokens, branches), row by row.

        Args:
            tokens: (batch, tokens, width).
            is_open: (batch, branches), which branches the tokens of a row may use; all by default.
        """
        if isinstance(self.mixture, SoftMixture):
            added, routing = self.mixture(tokens, is_open)
        else:
            each = is_open.repeat_interleave(tokens.shape[1], dim=0) if is_open is not None else None
            rows, routing = self.mixture(tokens.flatten(0, 1), each)
            added = rows.view_as(tokens)
        return tokens + added, replace(routing, each=tokens.shape[1]) if routing is not None else None


class SoftMixture(nn.Module):
    """Soft mixture: every branch works on a few slots, each a weighted mean of all tokens of a row.

    With tokens X (N, width) and a vector for each slot, Phi (width, S): slots are softmax over tokens of (X Phi),
    transposed, times X; a token gets the softmax over slots of its row of (X Phi) times what the branches make of the
    slots. In the products, rows of X and columns of Phi are taken at length one, times a learned scale. No token is
    dropped.
    Source: Puigcerver et al., "From sparse to soft mixtures of experts", ICLR 2024, equations 1 to 3 and section 2.3.

    Args:
        inputs: Width of a token.
        hidden: Width of each layer of a branch; the last is that of what a token gets.
        config: Of the mixture.
    """

    branches: Branches
    slots: int

    def __init__(self, inputs: int, hidden: tuple[int, ...], config: MixtureConfig) -> None:
        super().__init__()
        self.branches, self.slots = Branches(inputs, hidden, config.branches), config.slots
        self.router: SoftRouter = SoftRouter(inputs, config.branches * config.slots)

    def forward(self, tokens: Tensor, is_open: Tensor | None = None) -> tuple[Tensor, Routing]:
        """What each token gets (batch, tokens, hidden[-1]), and how much of it is each branch's.

        Args:
            tokens: (batch, tokens, inputs).
            is_open: (batch, branches), see `Router`.
        """
        logits = self.router(tokens)
        if is_open is not None:
            is_open = is_open | ~is_open.any(dim=-1, keepdim=True)
            closed = ~is_open.repeat_interleave(self.slots, dim=-1)
            combine = torch.softmax(logits.masked_fill(closed[:, None], -torch.inf), dim=-1)
        else:
            combine = torch.softmax(logits, dim=-1)
        slots = torch.softmax(logits, dim=1).transpose(1, 2) @ tokens
        of_branch = slots.unflatten(1, (-1, self.slots)).transpose(0, 1)
        made = torch.stack(
            [self.branches(part.flatten(0, 1), i).view(len(part), self.slots, -1) for i, part in enumerate(of_branch)],
            1,
        )
        shares = combine.unflatten(-1, (-1, self.slots)).sum(dim=-1).flatten(0, 1)
        return combine @ made.flatten(1, 2), Routing(shares, shares, shares.clamp(min=1e-9).log())


class SoftRouter(nn.Module):
    """How well tokens and slots go together: cosines, times a scale.

    Args:
        inputs: Width of a token.
        slots: Of all branches.
    """

    def __init__(self, inputs: int, slots: int) -> None:
        super().__init__()
        self.keys: nn.Parameter = nn.Parameter(torch.randn(inputs, slots))
        self.scale: nn.Parameter = nn.Parameter(torch.ones(()))

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, inputs) to (batch, tokens, slots)."""
        near = nn.functional.normalize(tokens, dim=-1) @ nn.functional.normalize(self.keys, dim=0)
        return self.scale * near
