"""Central critics: from what all agents of a world see to a value for each of them, during training only.

They take a row for each world: by role, `observation` (rows, agents, F) and `action_mask` (rows, agents, M).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

from ..entities.encoder import EntityEncoder
from ..entities.reader import MarketReader
from .running_norm import GathersStatistics, RunningNorm

CENTRAL = ("provider", "user")  # the order of the values


class CentralCritic(TorchRLModule, GathersStatistics):  # type: ignore[misc]
    """A perceptron over all observations side by side.

    Model config:
        hidden: Width of each layer.
    """

    def setup(self) -> None:
        """Build the network."""
        seen = sum(gymnasium.spaces.utils.flatdim(self.observation_space[role]["observation"]) for role in CENTRAL)
        sizes = (seen, *self.model_config["hidden"])
        self.running_norm: RunningNorm = RunningNorm(sizes[0])
        self.layers: nn.ModuleList = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.values: nn.Linear = nn.Linear(sizes[-1], self.action_space.shape[0])

    def gather_statistics(self, observation: dict[str, Any]) -> None:
        """Take states that are learned from into the statistics that inputs are normalised by."""
        self.running_norm.gather(_joined(observation))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        self.look_at(batch[Columns.OBS])
        x = self.running_norm(_joined(batch[Columns.OBS]))
        for layer in self.layers:
            x = torch.relu(layer(x))
        return {Columns.VF_PREDS: self.values(x)}


class MarketCritic(TorchRLModule, GathersStatistics):  # type: ignore[misc]
    """Agents are tokens: each is read as its own policy reads it, then all are pooled, then each is valued.

    Its weights do not depend on how many agents and experts there are.

    Model config:
        hidden: Width of an expert's token, and of an agent's.
        layouts: For each role, see `entities.layout.entity_layout`.
    """

    encoders: nn.ModuleDict
    of_agent: nn.ModuleDict
    readers: nn.ModuleDict
    of_all: nn.ModuleDict
    values: nn.ModuleDict

    def setup(self) -> None:
        """Build the network."""
        width, size = self.model_config["hidden"][0], self.model_config["hidden"][-1]
        self.readers, self.encoders, self.of_agent = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.of_all, self.values = nn.ModuleDict(), nn.ModuleDict()
        for role in CENTRAL:
            layout = self.model_config["layouts"][role]
            self.readers[role] = reader = MarketReader(layout)
            self.encoders[role] = encoder = EntityEncoder(reader, layout, width)
            self.of_agent[role] = nn.Linear(encoder.size, size)
            self.of_all[role] = nn.Linear(2 * size * len(CENTRAL), size)
            self.values[role] = nn.Linear(size, 1)

    def gather_statistics(self, observation: dict[str, Any]) -> None:
        """Take states that are learned from into the statistics that inputs are normalised by."""
        for role in CENTRAL:
            reader: Any = self.readers[role]
            reader.gather_statistics(_rows(observation[role]))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        self.look_at(batch[Columns.OBS])
        agents, pools = {}, []
        for role in CENTRAL:
            seen = batch[Columns.OBS][role]
            read = self.encoders[role](self.readers[role](_rows(seen))).vector
            h = self.of_agent[role](read).view(*seen["observation"].shape[:2], -1)
            agents[role] = h
            pooled = torch.relu(h)
            pools += [pooled.mean(dim=1), pooled.amax(dim=1)]
        whole = torch.cat(pools, dim=-1)
        values = [
            self.values[role](torch.relu(agents[role] + self.of_all[role](whole)[:, None])).squeeze(-1)
            for role in CENTRAL
        ]
        return {Columns.VF_PREDS: torch.cat(values, dim=-1)}


def _rows(seen: dict[str, Tensor]) -> dict[str, Tensor]:
    """Agents of all worlds one after another."""
    return {name: value.flatten(0, 1) for name, value in seen.items()}


def _joined(seen: dict[str, Any]) -> Tensor:
    """Observations of all agents side by side: (rows, inputs)."""
    return torch.cat([seen[role]["observation"].flatten(1) for role in CENTRAL], dim=-1)
