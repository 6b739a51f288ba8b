"""Policies from outside: a function or an object `act(observations, masks) -> actions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import World
from edge_experts.envs.api.policy import Actions
from edge_experts.envs.api.spaces import RoleSpaces, role_spaces
from edge_experts.envs.io.import_string import load_object
from edge_experts.envs.sim.spec import ROLES


class ArrayPolicy:
    """Plays a world by what somebody else's function chooses.

    Args:
        act: Takes observations, float32 `{role: (worlds, agents, entries)}`, and masks, int8 `{role: (worlds, agents,
            n)}`, of the roles that act; returns actions, integers `{role: (worlds, agents, parts)}`, without the last
            axis where there is one part. A role that it leaves out plays its defaults.
        name: How errors call it.
    """

    def __init__(self, act: Any, name: str) -> None:
        self._act, self._name = act, name

    def act(self, world: World) -> Actions:
        """Actions of all agents of all worlds.

        Raises:
            ValueError: if what it returns has another form, naming the role and the form.
        """
        spaces = {role: role_spaces(role, world.sizes) for role in ROLES if world.scenario.acts(role)}
        views = {role: world.views.of(role) for role in spaces}
        chosen = self._act(
            {role: seen.copy() for role, (seen, _) in views.items()},
            {role: spaces[role].shown_mask(mask) for role, (_, mask) in views.items()},
        )
        if not isinstance(chosen, Mapping):
            raise ValueError(f"{self._name}: returned a {type(chosen).__name__}, expected actions by role")
        actions = {role: self._checked(chosen, role, spaces, world) for role in ROLES}
        return actions["user"], actions["provider"]

    def _checked(
        self, chosen: Mapping[str, Any], role: str, spaces: dict[str, RoleSpaces], world: World
    ) -> NDArray[np.int64] | None:
        if role not in chosen or role not in spaces:
            return None
        shape = (world.n_worlds, world.sizes.count(role), *spaces[role].shape)
        given = np.asarray(chosen[role])
        if given.shape != shape or given.dtype.kind not in "iu":
            raise ValueError(
                f"{self._name}: actions of {role}s are {given.dtype} of shape {given.shape}, "
                f"expected integers of shape {shape}"
            )
        return spaces[role].to_world(given)


def load_array_policy(reference: str) -> Any:
    """The policy behind `module:name` or `file.py:name`: a class is made first; then `act`, or it, is called."""
    found = load_object(reference)
    made = found() if isinstance(found, type) else found
    act = getattr(made, "act", made)
    return ArrayPolicy(act, reference)
