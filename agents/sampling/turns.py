"""Users that choose one after another: each sees the queues that the choices before it will make.

It takes a controller that hears all users of a slot, in its order of service; what they see, and the weights that
choose, stay one user's. The idea is the multi-agent transformer's (Wen et al., "Multi-agent reinforcement learning is a
sequence modeling problem", NeurIPS 2022), without its attention: what earlier choices mean for a later one is a queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import World
from edge_experts.envs.api.order_of_service import PendingQueues
from edge_experts.envs.api.spaces import role_spaces

Array = NDArray[Any]
Rows = dict[str, Array]
ORDERS = ("together", "sequential")
ACTIONS = "actions"  # as RLlib calls them


def choose_in_turn(world: World, agents: Array, seen: Rows, choose: Callable[[Rows], Rows]) -> Rows:
    """Let users choose in the slot's order of service.

    Args:
        world: Where they stand.
        agents: Which users choose, (n,).
        seen: Rows (worlds x n, ...): observation, action_mask, and what else the network takes. The backlog in it is
            brought to what each of them sees.
        choose: From some of the rows to what is chosen there: `actions`, and whatever else.

    Returns:
        What was chosen, for all rows.
    """
    found: Rows = {}

    def play(rows: Array) -> None:
        for name, value in choose({name: column[rows] for name, column in seen.items()}).items():
            if name not in found:
                found[name] = np.zeros((len(seen["observation"]), *value.shape[1:]), value.dtype)
            found[name][rows] = value

    spaces, sizes = role_spaces("user", world.sizes), world.sizes
    n, observation = len(agents), seen["observation"]
    has_choice = (seen["action_mask"].sum(axis=-1) > len(spaces.nvec)).reshape(-1, n)
    idle = np.flatnonzero(~has_choice)
    if len(idle):
        play(idle)
    at = np.full(sizes.U, -1)
    at[agents] = np.arange(n)
    places = at[world.state.order]  # (B, U): who comes when, as a place among the agents
    chooses = (places >= 0) & np.take_along_axis(has_choice, np.maximum(places, 0), axis=1)
    rank = np.where(chooses, chooses.cumsum(axis=1) - 1, -1)
    queues = PendingQueues(world)
    for turn in range(int(rank.max()) + 1):
        worlds, when = np.nonzero(rank == turn)
        rows = worlds * n + places[worlds, when]
        observation[rows] = queues.show(observation[rows], worlds)
        play(rows)
        asked = spaces.to_world(found[ACTIONS][rows][None])[0]
        queues.add(observation[rows], worlds, asked[:, : sizes.J])
    return found
