"""Gymnasium spaces of a role, built from the tables in `fields`."""

from __future__ import annotations

from functools import cache
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..sim.spec import OBS_FIELDS, Sizes, action_parts, action_sizes

Array = NDArray[Any]


def as_array(value: Any) -> Array:
    """What was given as an array; an array of an object where it has no shape."""
    try:
        return np.asarray(value)
    except ValueError:  # of different lengths
        return np.array(None)


class MaskedMultiDiscrete(gymnasium.spaces.MultiDiscrete):
    """A `MultiDiscrete` whose `sample` also takes the flat mask that observations carry, parts side by side."""

    def sample(self, mask: Any = None, probability: Any = None) -> Array:
        """Draw each part uniformly, among the legal choices if a mask is given.

        Args:
            mask: Flat 0/1 vector of length `nvec.sum()`, or a tuple of one vector a part.
            probability: As in Gymnasium.
        """
        if isinstance(mask, np.ndarray):
            if mask.shape != (self.nvec.sum(),):
                raise ValueError(f"mask: shape {mask.shape}, expected ({self.nvec.sum()},)")
            mask = tuple(np.split(mask.astype(np.int8), np.cumsum(self.nvec)[:-1]))
        return super().sample(mask=mask, probability=probability)


class AgentSpaces:
    """The spaces of all possible agents as dictionaries, for an environment that tells them one by one."""

    possible_agents: list[str]
    observation_space: Any
    action_space: Any

    @property
    def observation_spaces(self) -> dict[str, gymnasium.Space[Any]]:
        """Observation space of every possible agent."""
        return {agent: self.observation_space(agent) for agent in self.possible_agents}

    @property
    def action_spaces(self) -> dict[str, gymnasium.Space[Any]]:
        """Action space of every possible agent."""
        return {agent: self.action_space(agent) for agent in self.possible_agents}


class RoleSpaces:
    """Spaces of one role, and the way between an agent's action and the world's.

    Parts of an action with a single choice are left out; a single part left is a plain `Discrete`.

    Attributes:
        observation: `Dict` of `observation` (Box) and `action_mask` (MultiBinary), parts of the action side by side.
        action: `Discrete` or `MultiDiscrete`.
        parts: Names of the parts an agent chooses.
        shape: Shape of an action.
    """

    def __init__(self, role: str, sizes: Sizes) -> None:
        counts = action_sizes(role, sizes)
        self._kept = [i for i, count in enumerate(counts) if count > 1]
        self._width = len(counts)
        self.parts: tuple[str, ...] = tuple(action_parts(role, sizes)[i][0] for i in self._kept)
        self.nvec: NDArray[Any] = np.array([counts[i] for i in self._kept])
        self._counts: list[int] = self.nvec.tolist()
        edges = np.concatenate([[0], np.cumsum(counts)])
        self.mask_columns: NDArray[Any] = np.concatenate([np.arange(edges[i], edges[i + 1]) for i in self._kept])
        low, high = (
            np.concatenate([np.full(item.size(sizes), getattr(item, bound)) for item in OBS_FIELDS[role]])
            for bound in ("low", "high")
        )
        self.observation: gymnasium.spaces.Dict = gymnasium.spaces.Dict(
            {
                "observation": gymnasium.spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32),
                "action_mask": gymnasium.spaces.MultiBinary(int(self.nvec.sum())),
            }
        )
        self.shape: tuple[int, ...] = () if len(self.nvec) == 1 else (len(self.nvec),)
        self.action: gymnasium.Space[Any] = (
            gymnasium.spaces.Discrete(int(self.nvec[0])) if len(self.nvec) == 1 else MaskedMultiDiscrete(self.nvec)
        )

    def has(self, action: Any) -> bool:
        """Whether something is an action of an agent; quicker than `action.contains`."""
        given = as_array(action)
        if given.shape != self.shape or given.dtype.kind not in "iu":
            return False
        values = given.reshape(-1).tolist()
        return all(0 <= value < count for value, count in zip(values, self._counts, strict=True))

    def from_parts(self, picks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Choices of all parts (..., parts) as agents play them: (...) if there is one part."""
        return picks[..., 0] if len(self.nvec) == 1 else picks

    def to_world(self, actions: ArrayLike) -> NDArray[np.int64]:
        """Agents' actions (..., parts), or (...) if there is one part, as the world takes them: (..., all parts)."""
        given = np.asarray(actions, dtype=np.int64)
        if len(self.nvec) == 1:
            given = given[..., None]
        if len(self._kept) == self._width:
            return given
        full = np.zeros((*given.shape[:-1], self._width), np.int64)
        full[..., self._kept] = given
        return full

    def from_world(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `to_world`: actions of the world (..., all parts) as agents play them."""
        kept = actions[..., self._kept]
        return kept[..., 0] if len(self.nvec) == 1 else kept

    def shown_mask(self, masks: NDArray[np.int8]) -> NDArray[np.int8]:
        """The masks of the world (..., all parts) as agents see them (..., parts), copied."""
        return masks.copy() if len(self._kept) == self._width else masks[..., self.mask_columns]


@cache
def role_spaces(role: str, sizes: Sizes) -> RoleSpaces:
    """The spaces of a role, made once, for policies, which ask in every slot; not to draw from."""
    return RoleSpaces(role, sizes)
