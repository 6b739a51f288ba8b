"""Gymnasium's spaces as JSON and back; nothing in it is ever unpickled."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

NOT_FINITE = {"inf": np.inf, "-inf": -np.inf}  # JSON has no number for them


def space_to_json(space: Space[Any]) -> dict[str, Any]:
    """A space as plain data.

    Raises:
        TypeError: for a kind of space that has no plain form here.
    """
    if isinstance(space, spaces.Box):
        ends = {name: _plain(getattr(space, name)) for name in ("low", "high")}
        return {"kind": "Box", **ends, "shape": [*space.shape], "dtype": str(space.dtype)}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiDiscrete):
        return {
            "kind": "MultiDiscrete",
            "nvec": space.nvec.tolist(),
            "start": space.start.tolist(),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else [*space.shape]}
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": [[name, space_to_json(inner)] for name, inner in space.spaces.items()]}
    if isinstance(space, spaces.Tuple):
        return {"kind": "Tuple", "spaces": [space_to_json(inner) for inner in space.spaces]}
    raise TypeError(f"a space of kind {type(space).__name__}")


def space_from_json(said: Any) -> Space[Any]:
    """The space that plain data describe.

    Raises:
        KeyError, TypeError, ValueError: if they describe none.
    """
    kind = said["kind"]
    if kind == "Box":
        shape, dtype = tuple(said["shape"]), np.dtype(said["dtype"])
        low, high = (_array(said[name], shape, dtype) for name in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(said["n"], start=said["start"], dtype=np.dtype(said["dtype"]).type)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(
            np.array(said["nvec"]), start=np.array(said["start"]), dtype=np.dtype(said["dtype"]).type
        )
    if kind == "MultiBinary":
        return spaces.MultiBinary(said["n"])
    if kind == "Dict":  # pairs, because gymnasium keeps the order of some and sorts others
        return spaces.Dict({name: space_from_json(inner) for name, inner in said["spaces"]})
    if kind == "Tuple":
        return spaces.Tuple([space_from_json(inner) for inner in said["spaces"]])
    raise ValueError(f"{kind!r} is no kind of space")


def _plain(values: NDArray[Any]) -> Any:
    """Numbers as lists, or one where all are the same."""
    if values.size and (values == values.flat[0]).all():
        return _number(values.flat[0].item())
    return [_number(value) for value in values.ravel().tolist()]


def _number(value: Any) -> Any:
    return value if np.isfinite(value) else ("inf" if value > 0 else "-inf")


def _array(said: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    if isinstance(said, list):
        return np.array([NOT_FINITE.get(v, v) if isinstance(v, str) else v for v in said], dtype).reshape(shape)
    return np.full(shape, NOT_FINITE[said] if isinstance(said, str) else said, dtype)
