"""A network that remembers: a gated recurrent unit between the trunk and the heads."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from torch import Tensor, nn

from ..mixture.branches import Mixture
from ..mixture.routers import Routing
from .actor_critic import MixtureActorCritic

RESTARTS = "restarts"  # (batch, slots): an agent's life begins anew before this slot
MEMORY = "h"  # name of the state


class RecurrentActorCritic(MixtureActorCritic):
    """`MixtureActorCritic` with a memory of what an agent saw before.

    Takes single steps, observations (batch, ...), or sequences, (batch, slots, ...), with the state before the first
    slot and
    `RESTARTS`. Source of the unit: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.

    Model config, beside that of `MixtureActorCritic`:
        memory: Size of the state.
    """

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        size = self.model_config["memory"]
        super().setup()
        self.unit = nn.GRUCell(self.mixture.branches.biases[-1].shape[-1], size)

    def get_initial_state(self) -> dict[str, Tensor]:
        """What an agent remembers at the start of its life: nothing."""
        return {MEMORY: torch.zeros(self.model_config["memory"])}

    def _features_of(self, trunk: Mixture) -> int:
        return int(self.model_config["memory"]) + self.inputs

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features, _ = self._pass(self.mixture, self._inputs(batch), batch)
        inputs = self._distribution_inputs(features, batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: inputs, Columns.STATE_OUT: self._state_of(features)}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        outputs = super()._forward_train(batch, **kwargs)
        return {**outputs, Columns.STATE_OUT: self._state_of(outputs[Columns.EMBEDDINGS])}

    def _state_of(self, features: Tensor) -> dict[str, Tensor]:
        size = self.model_config["memory"]
        last = features if features.dim() == 2 else features[:, -1]
        return {MEMORY: last[..., :size]}

    def _inputs(self, batch: dict[str, Any]) -> Tensor:
        """Normalised observations: (batch, inputs) or (batch, slots, inputs)."""
        if not _is_sequence(batch):
            return super()._inputs(batch)
        shape = batch[RESTARTS].shape
        rows = {name: value.flatten(0, 1) for name, value in batch[Columns.OBS].items()}
        return super()._inputs({Columns.OBS: rows}).view(*shape, -1)

    def _pass(self, trunk: Mixture, x: Tensor, batch: dict[str, Any]) -> tuple[Tensor, Routing | None]:
        """What the heads see: the memory after each slot, and the input; and how the trunk was routed."""
        state = batch[Columns.STATE_IN][MEMORY]
        if not _is_sequence(batch):
            mixed, routing = trunk(x, self._open_branches(batch[Columns.OBS]))
            return torch.cat([self.unit(mixed, state), x], dim=-1), routing
        rows = {name: value.flatten(0, 1) for name, value in batch[Columns.OBS].items()}
        mixed, routing = trunk(x.flatten(0, 1), self._open_branches(rows))
        mixed = mixed.view(*x.shape[:2], -1)
        restarts, memories = batch[RESTARTS].to(x.dtype), []
        for t in range(x.shape[1]):
            state = self.unit(mixed[:, t], state * (1.0 - restarts[:, t : t + 1]))
            memories.append(state)
        return torch.cat([torch.stack(memories, dim=1), x], dim=-1), routing


def _is_sequence(batch: dict[str, Any]) -> bool:
    return RESTARTS in batch
