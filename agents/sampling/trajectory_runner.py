"""The batched runner for algorithms with V-trace, which read an agent's rows in the order of time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batched_runner import BatchedEnvRunner
from .rollout_buffer import Group, Rollout
from .sequences import order_rows

Array = NDArray[Any]


class TrajectoryEnvRunner(BatchedEnvRunner):
    """The batched runner whose batch holds each agent's rows in order, and what it saw where they are cut."""

    def _rows_of(self, group: Group, rollout: Rollout) -> dict[str, Array]:
        """Rows in the order that V-trace reads them (see `trajectories`)."""
        data, U = rollout.stacked(group), len(group.agents)
        bootstrap_rows = []
        for t, worlds, seen in rollout.cuts(group):  # cut by the time limit
            agents = (worlds[:, None] * U + np.arange(U)).reshape(-1)
            cut = (data["truncated"][t] & data["live"][t]).reshape(-1)[agents]
            bootstrap_rows.append((t, agents[cut], {name: value[cut] for name, value in seen.items()}))
        last = rollout.slots - 1  # cut by the end of the rollout
        ended = data["terminated"][last] | data["truncated"][last]
        agents = np.flatnonzero(data["live"][last] & ~ended)
        seen = self._observe(group, self.world.views)
        bootstrap_rows.append((last, agents, {name: value[agents] for name, value in seen.items()}))
        return order_rows(data, bootstrap_rows, self.role_spaces[group.role].nvec)
