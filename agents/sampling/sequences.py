"""Rows of a rollout in the order that V-trace reads them: agent after agent, slot after slot."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

Array = NDArray[Any]


def order_rows(
    data: dict[str, Array], bootstrap_rows: list[tuple[int, Array, dict[str, Array]]], nvec: Array
) -> dict[str, Array]:
    """Columns of all live rows, each stretch of an agent's life followed by what it saw last, if it goes on from there.

    Such a bootstrap row is not learned from (`loss_mask` is false); its value is what the stretch before it is
    bootstrapped with.

    Args:
        data: (T, N, ...) columns of N agents, with `live`, `reward` and `terminated`.
        bootstrap_rows: Slot, agents (n,) and their observations (n, ...) of every place where a stretch is cut.
        nvec: Choices per part of an action.

    Returns:
        Columns (rows, ...) with RLlib's names; `observation` and `action_mask` by their own.
    """
    live = data["live"].reshape(len(data["live"]), -1)
    T, N = live.shape
    slot, agent = np.nonzero(live)
    place = agent * (2 * T) + 2 * slot
    columns = {
        name: data[name].reshape(T, N, *data[name].shape[2:])[slot, agent]
        for name in ("observation", "action_mask", Columns.ACTIONS, Columns.ACTION_LOGP)
    }
    columns[Columns.REWARDS] = data["reward"].reshape(T, N)[slot, agent]
    columns[Columns.TERMINATEDS] = data["terminated"].reshape(T, N)[slot, agent]
    columns[Columns.LOSS_MASK] = np.ones(len(slot), bool)
    parts, places = [columns], [place]
    for t, agents, seen in bootstrap_rows:
        n = len(agents)
        legal = np.split(seen["action_mask"], np.cumsum(nvec)[:-1], axis=-1)
        actions = np.stack([part.argmax(axis=-1) for part in legal], axis=-1)
        parts.append(
            {
                **seen,
                Columns.ACTIONS: actions.reshape(n, *columns[Columns.ACTIONS].shape[1:]),
                Columns.ACTION_LOGP: np.zeros(n, np.float32),
                Columns.REWARDS: np.zeros(n, np.float32),
                Columns.TERMINATEDS: np.zeros(n, bool),
                Columns.LOSS_MASK: np.zeros(n, bool),
            }
        )
        places.append(agents * (2 * T) + 2 * t + 1)
    order = np.argsort(np.concatenate(places), kind="stable")
    return {name: np.concatenate([part[name] for part in parts])[order] for name in columns}
