"""A network that remembers: a gated recurrent unit between the trunk and the heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from torch import Tensor, nn

from ..entities.reader import Seen
from ..mixture.branches import Mixture
from ..mixture.routers import Routing
from .actor_critic import MixtureActorCritic

RESTARTS = "restarts"  # (batch, slots): an agent's life begins anew before this slot
MEMORY = "h"  # name of the state


class RecurrentActorCritic(MixtureActorCritic):
    """`MixtureActorCritic` with a memory of what an agent saw before.

    Takes single steps, observations (batch, ...), or sequences, (batch, slots, ...), with the state before the first
    slot and `RESTARTS`. Source of the unit: Cho et al., "Learning phrase representations using RNN encoder-decoder",
    2014.

    Model config, beside that of `MixtureActorCritic`:
        memory: Size of the state.
    """

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        size = self.model_config["memory"]
        super().setup()
        self.unit: nn.GRUCell = nn.GRUCell(self.mixture.branches.biases[-1].shape[-1], size)

    def get_initial_state(self) -> dict[str, Tensor]:
        """What an agent remembers at the start of its life: nothing."""
        return {MEMORY: torch.zeros(self.model_config["memory"])}

    def _shares_trunk(self) -> bool:
        return True  # there is one memory

    def _features_of(self, trunk: Mixture) -> int:
        return int(self.model_config["memory"]) + self.inputs

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        seen, _ = self._encode(batch)
        features, _ = self._pass(self.mixture, seen, batch)
        inputs = self._distribution_inputs(features, seen, batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: inputs, Columns.STATE_OUT: self._state_of(features)}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        outputs = super()._forward_train(batch, **kwargs)
        return {**outputs, Columns.STATE_OUT: self._state_of(outputs[Columns.EMBEDDINGS])}

    def _state_of(self, features: Tensor) -> dict[str, Tensor]:
        size = self.model_config["memory"]
        last = features if features.dim() == 2 else features[:, -1]
        return {MEMORY: last[..., :size]}

    def _encode(self, batch: dict[str, Any]) -> tuple[Seen, Routing | None]:
        """What is read of single steps, or of sequences: their vectors (batch, slots, size), their tokens in a row."""
        if not _is_sequence(batch):
            return super()._encode(batch)
        seen, routing = super()._encode({Columns.OBS: _in_a_row(batch[Columns.OBS])})
        return Seen(seen.vector.view(*batch[RESTARTS].shape, -1), seen.tokens), routing

    def _distribution_inputs(self, features: Tensor, seen: Seen, observation: Any) -> Tensor:
        if features.dim() == 2:
            return super()._distribution_inputs(features, seen, observation)
        rows = super()._distribution_inputs(features.flatten(0, 1), seen, _in_a_row(observation))
        return rows.view(*features.shape[:2], -1)

    def look_over(self, columns: Mapping[str, Any]) -> None:
        """As in `MixtureActorCritic`, of sequences."""
        super().look_over({**columns, Columns.OBS: _in_a_row(columns[Columns.OBS])})

    def _pass(self, trunk: Mixture, seen: Seen, batch: dict[str, Any]) -> tuple[Tensor, Routing | None]:
        """What the heads see: the memory after each slot, and the input; and how the trunk was routed."""
        x, state = seen.vector, batch[Columns.STATE_IN][MEMORY]
        if not _is_sequence(batch):
            mixed, routing = trunk(x, self._open_branches(batch[Columns.OBS]))
            return torch.cat([self.unit(mixed, state), x], dim=-1), routing
        mixed, routing = trunk(x.flatten(0, 1), self._open_branches(_in_a_row(batch[Columns.OBS])))
        mixed = mixed.view(*x.shape[:2], -1)
        restarts, memories = batch[RESTARTS].to(x.dtype), []
        for t in range(x.shape[1]):
            state = self.unit(mixed[:, t], state * (1.0 - restarts[:, t : t + 1]))
            memories.append(state)
        return torch.cat([torch.stack(memories, dim=1), x], dim=-1), routing


def _in_a_row(observation: Any) -> dict[str, Tensor]:
    """Observations of sequences, (batch, slots, ...), as rows."""
    return {name: value.flatten(0, 1) for name, value in observation.items()}


def _is_sequence(batch: dict[str, Any]) -> bool:
    return RESTARTS in batch
