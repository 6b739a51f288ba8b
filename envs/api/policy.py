"""Whoever plays the agents that are not trained."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..sim.world import World


class Partners(Protocol):
    """Plays agents of a `World`: any policy of `edge_experts.baselines`, or your own."""

    def act(self, world: World) -> tuple[Any, Any]:
        """Actions of devices (B, U, 2) and of providers (B, P, 6), or `None` for the defaults."""


class GateFollowers:
    """Devices take the legal expert of the best gate reading, at the highest power; providers keep their defaults."""

    def act(self, world: World) -> tuple[Any, Any]:
        """Actions of devices (B, U, 2); `None` for providers."""
        X, actions = world.sizes.X, world.default_actions("device")
        legal = world.views.device_masks[..., :X] == 1
        able = legal.any(axis=-1)
        best = np.where(legal, world.state.gate, -1.0).argmax(axis=-1)
        actions[able] = np.stack([best[able], np.full(int(able.sum()), world.sizes.H - 1)], axis=-1)
        return actions, None
