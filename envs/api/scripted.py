"""Agents that are not played through a view: a policy plays them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .parallel_env import EdgeEnv
from .policy import Policy


def scripted_actions(env: EdgeEnv, partners: Policy) -> dict[str, Any]:
    """What a policy lets all present agents of an environment do; default actions where it says nothing."""
    world = env.world
    played = dict(zip(("user", "provider"), partners.act(world), strict=True))
    actions: dict[str, Any] = {}
    for role, spaces in env.role_spaces.items():
        given = played[role] if played[role] is not None else world.default_actions(role)
        actions |= {f"{role}_{i}": action for i, action in enumerate(spaces.from_world(np.asarray(given)[0]))}
    return {agent: actions[agent] for agent in env.agents}
