"""Networks that read a market entity by entity: a token for every place, the same weights for all of them.

Nothing here depends on how many experts, providers, users or levels there are, so one set of weights plays any market.
Pooling over tokens as in Zaheer et al., "Deep sets", NeurIPS 2017; scores of places from their tokens as in Vinyals et
al., "Pointer networks", NeurIPS 2015.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .running_norm import RunningNorm

BANDWIDTHS = 3  # policies of sharing it, which are no levels of anything
LEVEL_FEATURES = 2  # of a level: its value and its square
PLAIN: dict[str, dict[str, int]] = {"user": {}, "provider": {"bandwidth": BANDWIDTHS}}
LEVELS = {"user": ("power",), "provider": ("price", "speed", "views", "power")}


class Encoded(NamedTuple):
    """What was read of a batch of observations."""

    vector: Tensor  # (batch, size): pooled tokens and the agent's own context
    tokens: Tensor | None  # (batch, tokens, width); a flat network has none


class EntityEncoder(nn.Module):
    """From observations and masks to tokens and their pool.

    Args:
        layout: See `entity_layout.entity_layout`.
        width: Of a token.
        identities: Whether every token also has weights of its own, which ties the network to one market.
    """

    gather: Tensor
    own: Tensor
    constants: Tensor

    def __init__(self, layout: Mapping[str, Any], width: int, identities: bool = False) -> None:
        super().__init__()
        gather = torch.tensor(layout["gather"])
        self.tokens, features = gather.shape
        self.mixes = [(slice(*mix["columns"]), f"mix_{i}") for i, mix in enumerate(layout["mixes"])]
        self.sums = [(slice(*item["columns"]), f"sum_{i}") for i, item in enumerate(layout["sums"])]
        self.spreads = [slice(*columns) for columns in layout["spreads"]]
        self._keep("gather", gather.flatten())
        self._keep("own", torch.tensor(layout["context"]))
        self._keep("constants", torch.tensor(layout["constants"], dtype=torch.float32))
        for (columns, name), item in zip((*self.mixes, *self.sums), (*layout["mixes"], *layout["sums"]), strict=True):
            weights = torch.tensor(item["weights"], dtype=torch.float32)
            self._keep(name, weights if columns.stop > columns.start else weights[:0])
        context = len(layout["context"]) + sum(len(item["weights"][0]) for item in layout["sums"])
        self.context = context + 3 * len(self.spreads)
        self.token_norm = RunningNorm(features + len(self.mixes))
        self.context_norm = RunningNorm(self.context)
        self.of_token = nn.Linear(features + len(self.mixes), width, bias=False)
        self.of_constants = nn.Linear(self.constants.shape[-1], width, bias=False) if self.constants.numel() else None
        self.of_context = nn.Linear(self.context, width)
        self.identities = nn.Parameter(0.1 * torch.randn(self.tokens, width)) if identities else None
        for layer in (self.of_token, self.of_context, *([self.of_constants] if self.of_constants else [])):
            nn.init.orthogonal_(layer.weight, math.sqrt(2.0))
        self.size = 2 * width + self.context

    def _keep(self, name: str, value: Tensor) -> None:
        """Data of the market, which is no part of the weights."""
        self.register_buffer(name, value, persistent=False)

    def read(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Features of tokens (batch, tokens, features) and of the agent (batch, context), not yet normalised."""
        seen = observation["observation"]
        zero = seen.new_zeros(len(seen), 1)  # what `NOWHERE`, the last column, reads
        row = torch.cat([seen, observation["action_mask"].to(seen.dtype), zero], dim=-1)
        last = row.shape[-1] - 1
        columns = torch.where(self.gather < 0, last, self.gather)
        tokens = row.index_select(1, columns).view(len(row), self.tokens, -1)
        if self.mixes:
            mixed = [seen[:, columns] @ getattr(self, name) for columns, name in self.mixes]
            tokens = torch.cat([tokens, torch.stack(mixed, dim=-1)], dim=-1)
        parts = [row.index_select(1, torch.where(self.own < 0, last, self.own))]
        parts += [seen[:, columns] @ getattr(self, name) for columns, name in self.sums]
        for spread in self.spreads:
            values = seen[:, spread]
            parts.append(torch.stack([values.mean(-1), values.amin(-1), values.amax(-1)], dim=-1))
        return tokens, torch.cat(parts, dim=-1)

    def gather_statistics(self, observation: Mapping[str, Tensor]) -> None:
        """Take these observations into the statistics that inputs are normalised by."""
        tokens, context = self.read(observation)
        self.token_norm.gather(tokens.flatten(0, 1))
        self.context_norm.gather(context)

    def forward(self, observation: Mapping[str, Tensor]) -> Encoded:
        """Read a batch of observations."""
        tokens, context = self.read(observation)
        tokens, context = self.token_norm(tokens), self.context_norm(context)
        h = self.of_token(tokens) + self.of_context(context)[:, None]
        if self.of_constants is not None:
            h = h + self.of_constants(self.constants)
        if self.identities is not None:
            h = h + self.identities
        h = torch.relu(h)
        return Encoded(torch.cat([h.mean(dim=1), h.amax(dim=1), context], dim=-1), h)


class EntityHead(nn.Module):
    """Scores of all choices of an action: of places from their tokens, of levels from what they are.

    Args:
        role: Whose action it is.
        layout: See `entity_layout.entity_layout`.
        width: Of a token.
        features: Size of what the trunk makes of the pool.
    """

    def __init__(self, role: str, layout: Mapping[str, Any], width: int, features: int) -> None:
        super().__init__()
        self.parts = list(layout["parts"])
        self.of_token, self.of_features = nn.Linear(width, width), nn.Linear(features, width, bias=False)
        self.turn = nn.Parameter(torch.zeros(width))
        self.score, self.rest = nn.Linear(width, 1), nn.Linear(features, 1)
        # all of a role's levels, so that weights are the same where a market offers no choice of some
        self.of_levels = nn.ModuleDict({name: LevelHead(features, width) for name in LEVELS[role]})
        self.plain = nn.ModuleDict({name: nn.Linear(features, n) for name, n in PLAIN[role].items()})
        for layer in (self.of_token, self.of_features):
            nn.init.orthogonal_(layer.weight, math.sqrt(2.0))
        for head in (self.score, self.rest, *self.plain.values()):
            assert isinstance(head, nn.Linear)
            nn.init.orthogonal_(head.weight, 0.01)
            nn.init.zeros_(head.bias)
        for i, part in enumerate(self.parts):
            if part["kind"] == "levels":
                values = torch.tensor(part["values"], dtype=torch.float32)
                self.register_buffer(f"levels_{i}", torch.stack([values, values**2], dim=-1), persistent=False)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """(batch, features) and (batch, tokens, width) to (batch, sum of choices)."""
        mixed = self.of_token(tokens) + self.of_features(features)[:, None]
        rest = self.rest(features)
        logits = []
        for i, part in enumerate(self.parts):
            if part["kind"] == "tokens":
                scores = self.score(torch.relu(mixed + part["turn"] * self.turn)).squeeze(-1)
                logits += [rest, scores] if part["rest_first"] else [scores, rest]
            elif part["kind"] == "levels":
                logits.append(self.of_levels[part["name"]](features, getattr(self, f"levels_{i}")))
            else:
                logits.append(self.plain[part["name"]](features))
        return torch.cat(logits, dim=-1)


class LevelHead(nn.Module):
    """Scores levels of something, as prices or powers, from their values: however many there are."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.of_features, self.of_level = nn.Linear(features, width), nn.Linear(LEVEL_FEATURES, width, bias=False)
        self.score = nn.Linear(width, 1)
        nn.init.orthogonal_(self.of_features.weight, math.sqrt(2.0))
        nn.init.orthogonal_(self.score.weight, 0.01)
        nn.init.zeros_(self.score.bias)

    def forward(self, features: Tensor, levels: Tensor) -> Tensor:
        """(batch, features) and (levels, `LEVEL_FEATURES`) to (batch, levels)."""
        h = torch.relu(self.of_features(features)[:, None] + self.of_level(levels))
        return self.score(h).squeeze(-1)
