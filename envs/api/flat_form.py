"""Observations as plain vectors, actions as one choice or one vector: of `FlatEnv`, and of what learned there."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .spaces import RoleSpaces

KINDS = ("discrete", "box")


class FlatForm:
    """The flat form of a role's spaces; arrays may have any axes before the last.

    Args:
        spaces: Of the role.
        kind: `discrete`: one choice among all combinations of the parts, the last part running fastest; `box`: a
            number in [-1, 1] for every choice of every part.

    Attributes:
        observation: Box: the observation, then the mask.
        action: Discrete or Box.
        mask_size: Entries of the mask: combinations, or choices of all parts.
    """

    kind: str

    def __init__(self, spaces: RoleSpaces, kind: str) -> None:
        self.kind, self._spaces, self._counts = kind, spaces, spaces.nvec
        self.mask_size: int = int(self._counts.prod() if kind == "discrete" else self._counts.sum())
        seen: Any = spaces.observation["observation"]
        ends = ((seen.low, 0), (seen.high, 1))
        low, high = (np.concatenate([bound, np.full(self.mask_size, end)]).astype(np.float32) for bound, end in ends)
        self.observation: gymnasium.spaces.Box = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.action: gymnasium.Space[Any] = (
            gymnasium.spaces.Discrete(self.mask_size)
            if kind == "discrete"
            else gymnasium.spaces.Box(-1.0, 1.0, (self.mask_size,), np.float32)
        )

    def mask(self, mask: NDArray[Any]) -> NDArray[Any]:
        """The mask of the flat action: (..., mask_size) from that of the parts side by side."""
        shown: NDArray[Any] = joint_mask(mask, self._counts) if self.kind == "discrete" else mask
        return shown

    def observe(self, observation: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.float32]:
        """The flat observation: (..., entries + mask_size) from both."""
        return np.concatenate([observation, self.mask(mask).astype(np.float32)], axis=-1)

    def actions(self, chosen: ArrayLike, mask: NDArray[Any]) -> NDArray[np.int64]:
        """What flat actions mean, as agents play them in `EdgeEnv`.

        Args:
            chosen: (...) integers, or (..., mask_size) numbers, of which each part plays its legal choice of the
                highest.
            mask: That of the parts, side by side. A discrete choice that is not legal stays so, and means *wait* or
                *keep*.
        """
        if self.kind == "discrete":
            picks = np.stack(np.unravel_index(np.asarray(chosen, np.int64), tuple(self._counts)), axis=-1)
        else:
            picks = best_legal(chosen, mask, self._counts)
        return self._spaces.from_parts(picks)


def joint_mask(mask: Any, counts: ArrayLike) -> Any:
    """Legal combinations of the parts of an action: (..., prod(counts)) from (..., sum(counts)).

    The last part runs fastest. Takes and returns an array or a torch tensor.
    """
    edges = np.cumsum([0, *np.asarray(counts)])
    joint = mask[..., : edges[1]]
    for start, stop in pairwise(edges[1:]):
        joint = (joint[..., :, None] * mask[..., None, start:stop]).reshape(*mask.shape[:-1], -1)
    return joint


def best_legal(values: ArrayLike, mask: ArrayLike, counts: ArrayLike) -> NDArray[np.int64]:
    """The legal choice of the highest value in each part: (..., parts) from (..., sum(counts)) each."""
    wanted = np.where(np.asarray(mask) == 1, np.asarray(values), -np.inf)
    edges = np.cumsum(np.asarray(counts))[:-1]
    return np.stack([part.argmax(axis=-1) for part in np.split(wanted, edges, axis=-1)], axis=-1)
