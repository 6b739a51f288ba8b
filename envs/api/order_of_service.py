"""Choosing in the slot's order of service: what users see of the queues that choices before theirs will make."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim.spec import USER_FIELDS, slices
from ..sim.world import World

Array = NDArray[Any]
MOST = next(field.high for field in USER_FIELDS if field.name == "backlog")


class PendingQueues:
    """Work that was asked for in this slot and is not yet in the queues, by world and expert.

    Args:
        world: Whose users choose one after another.
    """

    def __init__(self, world: World) -> None:
        field = slices("user", world.sizes)
        self._backlog, self._compute, self._experts = field["backlog"], field["compute"].start, world.sizes.E
        # `compute` is in slots, `backlog` in shares of the longest queue
        self._share = float(world.constants.slot_s / world.constants.queue_limit_s)
        self._pending = np.zeros((world.n_worlds, world.sizes.E), np.float32)

    def show(self, observation: Array, worlds: Array) -> Array:
        """Observations of users, (n, F), of some worlds, (n,), with the backlog that they will meet."""
        shown = observation.copy()
        shown[:, self._backlog] = np.minimum(MOST, shown[:, self._backlog] + self._pending[worlds])
        return shown

    def add(self, observation: Array, worlds: Array, experts: Array) -> None:
        """Take in what users who saw these observations asked for: places of the parts of a request, (n, J)."""
        for asked in experts.T:
            hosted = np.flatnonzero(asked < self._experts)
            work = observation[hosted, self._compute + asked[hosted]] * self._share
            np.add.at(self._pending, (worlds[hosted], asked[hosted]), work)
