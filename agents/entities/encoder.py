"""Networks that read a market entity by entity: a token for every place, the same weights for all of them.

Nothing here depends on how many experts, providers, users or levels there are, so one set of weights plays any market.
Pooling over tokens as in Zaheer et al., "Deep sets", NeurIPS 2017.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .reader import MarketReader, Seen


class EntityEncoder(nn.Module):
    """From what a `MarketReader` reads to tokens and their pool.

    Args:
        reader: Whose features come in.
        layout: See `entities.layout.entity_layout`.
        width: Of a token.
        identities: Whether every token also has weights of its own, which ties the network to one market.
    """

    constants: Tensor

    def __init__(self, reader: MarketReader, layout: Mapping[str, Any], width: int, identities: bool = False) -> None:
        super().__init__()
        constants = torch.tensor(layout["constants"], dtype=torch.float32)
        self.register_buffer("constants", constants, persistent=False)  # of the market, no part of the weights
        self.of_token: nn.Linear = nn.Linear(reader.features, width, bias=False)
        of_constants = nn.Linear(constants.shape[-1], width, bias=False) if constants.numel() else None
        self.of_constants: nn.Linear | None = of_constants
        self.of_context: nn.Linear = nn.Linear(reader.context, width)
        own = nn.Parameter(0.1 * torch.randn(reader.tokens, width)) if identities else None
        self.identities: nn.Parameter | None = own
        for layer in (self.of_token, self.of_context, *([self.of_constants] if self.of_constants else [])):
            nn.init.orthogonal_(layer.weight, math.sqrt(2.0))
        self.size: int = 2 * width + reader.context

    def forward(self, seen: Seen) -> Seen:
        """Pool and context (batch, size), and tokens (batch, tokens, width)."""
        return self.pooled(self.tokens(seen), seen.vector)

    def tokens(self, seen: Seen) -> Tensor:
        """A token for each place: (batch, tokens, width)."""
        of_rows = self.of_context(seen.vector)
        return Rectified.apply(seen.tokens, self.of_token.weight, of_rows, self._of_places())  # type: ignore[no-any-return]

    def pooled(self, tokens: Tensor, context: Tensor) -> Seen:
        """Tokens (batch, tokens, width) and their pool beside the agent's own features: (batch, size)."""
        mean, most = Pool.apply(tokens)
        return Seen(torch.cat([mean, most, context], dim=-1), tokens)

    def _of_places(self) -> Tensor | None:
        """What never changes of each token, in its layer: (tokens, width)."""
        if self.of_constants is None:
            return self.identities
        known: Tensor = self.of_constants(self.constants)
        return known if self.identities is None else known + self.identities


class Rectified(torch.autograd.Function):
    """A layer over tokens, rectified: what their features say, and what is known of rows and of places.

    Of (batch, tokens, features), weights (width, features), (batch, width), and (tokens, width) or nothing, it makes
    (batch, tokens, width). One such array is written and kept, where a product, two sums and a rectifier would be four;
    they are the largest ones of an entity network.
    """

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, weight: Tensor, rows: Tensor, places: Tensor | None) -> Tensor:  # type: ignore[override]
        """Multiply, add up and rectify."""
        out = torch.matmul(tokens, weight.T).add_(rows[:, None])
        if places is not None:
            out.add_(places)
        out.relu_()
        ctx.save_for_backward(tokens, weight, out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor | None]:  # type: ignore[override]
        """The gradients of all four."""
        tokens, weight, out = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradient, out, 0)
        of_weight = passed.flatten(0, 1).T @ tokens.flatten(0, 1)
        of_tokens = passed @ weight if ctx.needs_input_grad[0] else None
        return of_tokens, of_weight, passed.sum(dim=1), passed.sum(dim=0) if ctx.needs_input_grad[3] else None


class Pool(torch.autograd.Function):
    """Mean and maximum over tokens, (batch, tokens, width) to (batch, width) each.

    Where several tokens are greatest, each gets the whole gradient; behind a rectifier that is at zero, where none
    passes. Torch shares it among them, at three times the cost of all else here.
    """

    @staticmethod
    def forward(ctx: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Pool tokens."""
        most = tokens.amax(dim=1)
        ctx.save_for_backward(tokens, most)
        return tokens.mean(dim=1), most

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_most: Tensor) -> Tensor:  # type: ignore[override]
        """The gradient of tokens."""
        tokens, most = ctx.saved_tensors
        is_greatest = torch.eq(tokens, most[:, None], out=torch.empty_like(tokens))
        return is_greatest.mul_(of_most[:, None]).add_((of_mean / tokens.shape[1])[:, None])
