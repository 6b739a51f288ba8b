"""Networks over every combination of an action's parts: what they see, what is legal, which is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

from edge_experts.envs.api.flat_form import joint_mask

from ..entities.encoder import EntityEncoder
from ..entities.head import EntityHead
from ..entities.reader import MarketReader, Seen
from .distributions import sizes_of
from .flat import FlatHead, FlatReader
from .running_norm import GathersStatistics


class Torso(nn.Module):
    """What a head on joint choices sees: of a flat network its last layer, of an entity network the pool too.

    Args:
        reader: Of the observations.
        hidden: Width of each layer; of an entity network, of a token and of the layers behind the pool.
        layout: See `entities.layout.entity_layout`; none for a flat network.
        identities: As `EntityEncoder` takes it.
        more: Size of what comes in beside the observation, for a flat network only.

    Attributes:
        size: Of the features that come out.
    """

    perceptron: Any
    size: int

    def __init__(
        self,
        reader: FlatReader | MarketReader,
        hidden: tuple[int, ...],
        layout: Mapping[str, Any] | None,
        identities: bool = False,
        more: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(reader, MarketReader):
            assert layout is not None, "network: 'entities' needs a layout"
            self.encoder: EntityEncoder | None = EntityEncoder(reader, layout, hidden[0], identities)
            self.perceptron = perceptron(self.encoder.size, hidden[1:] or hidden)
            self.size = hidden[-1] + self.encoder.size
        else:
            self.encoder, self.perceptron, self.size = None, perceptron(reader.size + more, hidden), hidden[-1]

    def forward(self, seen: Seen) -> Seen:
        """Features (batch, size), and tokens if there are any."""
        if self.encoder is None:
            return Seen(self.perceptron(seen.vector), None)
        seen = self.encoder(seen)
        return Seen(torch.cat([self.perceptron(seen.vector), seen.vector], dim=-1), seen.tokens)


def perceptron(inputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    """Layers of given widths, each rectified."""
    layers: list[nn.Module] = []
    for a, b in pairwise((inputs, *hidden)):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers)


def added_up(parts: Sequence[Tensor]) -> Tensor:
    """Scores of the choices of every part, (batch, choices of the part) each, as those of all joint choices.

    What parts are worth adds up, as in Tavakoli, Pardo and Kormushev, "Action branching architectures for deep
    reinforcement learning", AAAI 2018, though here in one value.
    """
    joint = parts[0]
    for part in parts[1:]:
        joint = (joint[:, :, None] + part[:, None, :]).flatten(1)
    return joint


class JointActionModule(TorchRLModule, GathersStatistics):  # type: ignore[misc]
    """Base of the networks that learn from transitions, on observations with an `action_mask`.

    A joint choice is one combination of the parts of an action, numbered with the last part running fastest.

    Model config:
        network: `flat` or `entities`, as `MixtureActor` takes it, with `identities` and `layout`.
        hidden: Width of each layer; of an entity network, of a token and of the layers behind the pool.
    """

    def setup(self) -> None:
        """Read the spaces."""
        self.hidden: tuple[int, ...] = tuple(self.model_config["hidden"])
        self.counts: list[int] = list(sizes_of(self.action_space))
        self.choices: int = int(np.prod(self.counts))
        self.layout: Any = self.model_config.get("layout")
        self.is_entities: bool = self.model_config.get("network", "flat") == "entities"
        self.reader: FlatReader | MarketReader = (
            MarketReader(self.layout["entities"]) if self.is_entities else FlatReader(self.observation_space)
        )

    def torso(self, more: int = 0) -> Torso:
        """A new one."""
        layout = self.layout["entities"] if self.is_entities else None
        return Torso(self.reader, self.hidden, layout, self.model_config.get("identities", False), more)

    def part_head(self, features: int) -> nn.Module:
        """A new head that scores the choices of every part."""
        if self.is_entities:
            return EntityHead(self.layout["role"], self.layout["entities"], self.hidden[0], features)
        return FlatHead(features, sum(self.counts))

    def joint_head(self, features: int) -> nn.Module:
        """A new head that scores all joint choices: each for itself, or the sum of its parts for an entity network."""
        return self.part_head(features) if self.is_entities else FlatHead(features, self.choices)

    def joint_scores(self, head: nn.Module, seen: Seen) -> Tensor:
        """What a `joint_head` says: (batch, choices)."""
        scores: Tensor = head(*seen)
        return added_up(scores.split(self.counts, dim=-1)) if self.is_entities else scores

    def gather_statistics(self, observation: dict[str, Tensor]) -> None:
        """Take observations that are learned from into the statistics that inputs are normalised by."""
        self.reader.gather_statistics(observation)

    def seen(self, observation: dict[str, Tensor]) -> Seen:
        """What is read of observations and masks."""
        self.look_at(observation)
        return self.reader(observation)  # type: ignore[no-any-return]

    def legal(self, observation: dict[str, Tensor]) -> Tensor:
        """Which joint choices are legal: (batch, choices) bool."""
        return joint_mask(observation["action_mask"], self.counts).bool()  # type: ignore[no-any-return]

    def parts(self, choice: Tensor) -> Tensor:
        """Joint choices (batch,) as the environment takes them: (batch, parts), or (batch,) if there is one part."""
        if len(self.counts) == 1:
            return choice
        return torch.stack(torch.unravel_index(choice, self.counts), dim=-1)

    def chosen(self, choice: Tensor) -> dict[str, Tensor]:
        """What a pass returns for joint choices (batch,)."""
        return {Columns.ACTIONS: choice, Columns.ACTIONS_FOR_ENV: self.parts(choice)}

    def random_choice(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Uniformly random legal choices."""
        return self.chosen(torch.multinomial(self.legal(batch[Columns.OBS]).float(), 1).squeeze(-1))
