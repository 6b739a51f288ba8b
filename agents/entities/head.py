"""What an entity network says: a score for every choice of an action, of places from their tokens.

Scores of places as in Vinyals et al., "Pointer networks", NeurIPS 2015.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .encoder import Rectified
from .layout import BANDWIDTHS

LEVEL_FEATURES, LEVEL_WIDTH = 2, 8  # of a level: its value and its square; what is made of them
PLAIN: dict[str, dict[str, int]] = {"user": {}, "provider": {"bandwidth": BANDWIDTHS}}
LEVELS: dict[str, tuple[str, ...]] = {"user": ("power",), "provider": ("price", "speed", "views", "power")}


class EntityHead(nn.Module):
    """Scores of all choices of an action: of places from their tokens, of levels from what they are.

    Args:
        role: Whose action it is.
        layout: See `entities.layout.entity_layout`.
        width: Of a token.
        features: Size of what the trunk makes of the pool.
    """

    of_features: nn.Linear
    of_token: nn.Linear
    rest: nn.Linear
    score: nn.Linear

    def __init__(self, role: str, layout: Mapping[str, Any], width: int, features: int) -> None:
        super().__init__()
        self.parts: list[Any] = list(layout["parts"])
        self.of_token, self.of_features = nn.Linear(width, width), nn.Linear(features, width, bias=False)
        self.turn: nn.Parameter = nn.Parameter(torch.zeros(width))
        self.score, self.rest = nn.Linear(width, 1), nn.Linear(features, 1)
        # all of a role's levels, so that weights are the same where a market offers no choice of some
        self.of_levels: nn.ModuleDict = nn.ModuleDict({name: LevelHead(features) for name in LEVELS[role]})
        self.plain: nn.ModuleDict = nn.ModuleDict({name: nn.Linear(features, n) for name, n in PLAIN[role].items()})
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
        of_features = self.of_features(features) + self.of_token.bias
        rest = self.rest(features)
        logits = []
        for i, part in enumerate(self.parts):
            if part["kind"] == "tokens":
                of_rows = of_features + part["turn"] * self.turn
                mixed = Rectified.apply(tokens, self.of_token.weight, of_rows, None)
                scores = self.score(mixed).squeeze(-1)
                logits += [rest, scores] if part["rest_first"] else [scores, rest]
            elif part["kind"] == "levels":
                logits.append(self.of_levels[part["name"]](features, getattr(self, f"levels_{i}")))
            else:
                logits.append(self.plain[part["name"]](features))
        return torch.cat(logits, dim=-1)


class LevelHead(nn.Module):
    """Scores levels of something, as prices or powers, from their values: however many there are.

    A score is the inner product of what is wanted, linear in the features, and of what a level is.
    """

    of_level: nn.Linear
    wanted: nn.Linear

    def __init__(self, features: int) -> None:
        super().__init__()
        self.wanted, self.of_level = nn.Linear(features, LEVEL_WIDTH), nn.Linear(LEVEL_FEATURES, LEVEL_WIDTH)
        nn.init.orthogonal_(self.wanted.weight, 0.01)
        nn.init.zeros_(self.wanted.bias)

    def forward(self, features: Tensor, levels: Tensor) -> Tensor:
        """(batch, features) and (levels, `LEVEL_FEATURES`) to (batch, levels)."""
        return self.wanted(features) @ torch.relu(self.of_level(levels)).T
