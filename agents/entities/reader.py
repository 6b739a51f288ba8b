"""What an entity network reads of observations and masks: a row of features for every place, and the agent's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..networks.running_norm import RunningNorm


class Seen(NamedTuple):
    """What is read of a batch of observations, and what networks make of it."""

    vector: Tensor  # (batch, size)
    tokens: Tensor | None  # (batch, tokens, width); a flat network has none


class MarketReader(nn.Module):
    """From observations and masks to features of tokens and of the agent, normalised.

    Args:
        layout: See `entities.layout.entity_layout`.

    Attributes:
        tokens: Their number.
        features: Of a token.
        context: Size of the agent's own features.
    """

    tokens: int
    context_norm: RunningNorm
    token_norm: RunningNorm
    gather: Tensor
    own: Tensor

    def __init__(self, layout: Mapping[str, Any]) -> None:
        super().__init__()
        gather = torch.tensor(layout["gather"])
        self.tokens, features = gather.shape
        self.features: int = features + len(layout["mixes"])
        # a row of `read` begins with a zero, which `NOWHERE` stands for, and with the mixes of all tokens
        first = 1 + len(layout["mixes"]) * self.tokens
        mixed = torch.arange(1, first).view(len(layout["mixes"]), self.tokens)
        columns = torch.cat([torch.where(gather < 0, 0, gather + first), mixed.T], dim=-1)
        own = torch.tensor(layout["context"])
        self.mixes: list[tuple[slice, str]] = [
            (slice(*mix["columns"]), f"mix_{i}") for i, mix in enumerate(layout["mixes"])
        ]
        self.sums: list[tuple[slice, str]] = [
            (slice(*item["columns"]), f"sum_{i}") for i, item in enumerate(layout["sums"])
        ]
        self.spreads: list[slice] = [slice(*columns) for columns in layout["spreads"]]
        self._keep("gather", columns.flatten())
        self._keep("own", torch.where(own < 0, 0, own + first))
        for (span, name), item in zip((*self.mixes, *self.sums), (*layout["mixes"], *layout["sums"]), strict=True):
            weights = torch.tensor(item["weights"], dtype=torch.float32)
            self._keep(name, weights if span.stop > span.start else weights[:0])
        context = len(layout["context"]) + sum(len(item["weights"][0]) for item in layout["sums"])
        self.context: int = context + 3 * len(self.spreads)
        self.token_norm, self.context_norm = RunningNorm(self.features), RunningNorm(self.context)

    def _keep(self, name: str, value: Tensor) -> None:
        """Data of the market, which is no part of the weights."""
        self.register_buffer(name, value, persistent=False)

    def read(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Features of tokens (batch, tokens, features) and of the agent (batch, context), not yet normalised."""
        seen = observation["observation"]
        mixed = [seen[:, columns] @ getattr(self, name) for columns, name in self.mixes]
        row = torch.cat([seen.new_zeros(len(seen), 1), *mixed, seen, observation["action_mask"].to(seen.dtype)], dim=-1)
        tokens = row.index_select(1, self.gather).view(len(row), self.tokens, -1)
        parts = [row.index_select(1, self.own)]
        parts += [seen[:, columns] @ getattr(self, name) for columns, name in self.sums]
        for spread in self.spreads:
            values = seen[:, spread]
            parts.append(torch.stack([values.mean(-1), values.amin(-1), values.amax(-1)], dim=-1))
        return tokens, torch.cat(parts, dim=-1)

    def gather_statistics(self, observation: Mapping[str, Tensor]) -> None:
        """Take these observations into the statistics that inputs are normalised by."""
        tokens, context = self.read(observation)
        self.token_norm.gather(tokens)
        self.context_norm.gather(context)

    def forward(self, observation: Mapping[str, Tensor]) -> Seen:
        """Normalised features: of the agent (batch, context), and of tokens (batch, tokens, features)."""
        tokens, context = self.read(observation)
        return Seen(self.context_norm(context), self.token_norm(tokens))
