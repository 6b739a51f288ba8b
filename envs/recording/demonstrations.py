"""Demonstrations: what every agent saw, played and got, as Parquet, for learning from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..api.policy import Actions, Policy, play_episodes
from ..api.spaces import RoleSpaces
from ..io.atomic import replacing
from ..sim.spec import ROLES
from ..sim.world import World

Array = NDArray[Any]
VECTORS: dict[str, Any] = {"observation": np.float32, "action_mask": np.int8, "action": np.int64}
SCALARS: dict[str, Any] = {
    "episode": np.int64,
    "agent": np.int64,
    "slot": np.int64,
    "reward": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
}


class DemonstrationError(ValueError):
    """Demonstrations cannot be read, or are of another environment. Names the file and the fix."""


class Demonstrations:
    """Gathers one episode of every world, for each acting role a row for each agent and slot that it is there.

    Columns: `episode`, `agent`, `slot`, `observation` (entries), `action_mask` (choices), `action` (parts, as agents
        play
    them), `reward`, `terminated`, `truncated`; rows are ordered by episode, agent and slot.

    Args:
        world: What is played.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._spaces = {role: RoleSpaces(role, world.sizes) for role in ROLES if world.scenario.acts(role)}
        self._slots: dict[str, list[dict[str, Array]]] = {role: [] for role in self._spaces}

    def play(self, policy: Policy) -> None:
        """Play every world's episode to its end."""
        for running in play_episodes(self.world, _Watched(policy, self)):
            for role, slots in self._slots.items():
                record = self.world.records(role)
                ends = {name: np.array(record[name]) for name in ("terminated", "truncated")}
                slots[-1] |= {"reward": np.array(record.reward, np.float32), **ends}
                slots[-1]["kept"] &= running[:, None]

    def note(self, actions: Actions) -> None:
        """Note what all agents see now and are about to play; `play` does."""
        for role, given in zip(ROLES, actions, strict=True):
            if role in self._slots:
                played = self.world.default_actions(role) if given is None else np.asarray(given)
                self._slots[role].append(self._seen(role, played))

    def _seen(self, role: str, played: Array) -> dict[str, Array]:
        world, spaces = self.world, self._spaces[role]
        observation, mask = world.views.of(role)
        B, n = observation.shape[:2]
        return {
            "episode": np.repeat(np.arange(B)[:, None], n, axis=1),
            "agent": np.repeat(np.arange(n)[None], B, axis=0),
            "slot": np.repeat(np.array(world.state.clock.slot)[:, None], n, axis=1),
            "observation": observation.copy(),
            "action_mask": spaces.shown_mask(mask),
            "action": np.array(spaces.from_world(played)).reshape(B, n, len(spaces.nvec)),
            "kept": world.present(role),
        }

    def columns(self, role: str) -> dict[str, Array]:
        """All rows of a role: (rows,) or (rows, entries)."""
        slots = self._slots[role]
        kept = np.concatenate([slot["kept"].reshape(-1) for slot in slots])
        found = {}
        for name, kind in {**SCALARS, **VECTORS}.items():
            value = np.concatenate([slot[name].reshape(-1, *slot[name].shape[2:]) for slot in slots])
            found[name] = value[kept].astype(kind, copy=False)
        order = np.lexsort((found["slot"], found["agent"], found["episode"]))
        return {name: value[order] for name, value in found.items()}

    def save(self, folder: str | Path, about: dict[str, str] | None = None) -> Path:
        """Write a table for each role into a folder, which is made; each file appears only when it is complete.

        Raises:
            ImportError: if pyarrow is not installed.
        """
        arrow, parquet = _pyarrow()
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        notes = {**(about or {}), "scenario": self.world.scenario.to_yaml(), "seed": str(self.world.seed)}
        for role in self._slots:
            rows = self.columns(role)
            columns = {
                name: arrow.FixedSizeListArray.from_arrays(arrow.array(value.reshape(-1)), value.shape[-1])
                if name in VECTORS
                else arrow.array(value)
                for name, value in rows.items()
            }
            with replacing(place / f"{role}.parquet") as part:
                parquet.write_table(arrow.table(columns).replace_schema_metadata(notes), part)
        return place


class _Watched:
    """A policy whose actions are noted together with what led to them."""

    def __init__(self, policy: Policy, demonstrations: Demonstrations) -> None:
        self._policy, self._demonstrations = policy, demonstrations

    def act(self, world: World) -> Actions:
        """The policy's actions."""
        actions = self._policy.act(world)
        self._demonstrations.note(actions)
        return actions


def read_demonstrations(folder: str | Path, role: str) -> dict[str, Array]:
    """The columns of a role, see `Demonstrations`.

    Raises:
        DemonstrationError: if they are not there, or not complete.
    """
    table = _open(folder, role, "read_table")
    found = {}
    for name in (*SCALARS, *VECTORS):
        column = table[name].combine_chunks()
        if name in VECTORS:
            found[name] = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
        else:
            found[name] = column.to_numpy(zero_copy_only=False)
    return found


def demonstration_sizes(folder: str | Path, role: str) -> dict[str, int]:
    """Entries of a role's observation, action_mask and action.

    Raises:
        DemonstrationError: if they are not there, or not complete.
    """
    schema = _open(folder, role, "read_schema")
    return {name: int(schema.field(name).type.list_size) for name in VECTORS}


def _open(folder: str | Path, role: str, reader: str) -> Any:
    """A role's table, or its schema."""
    _, parquet = _pyarrow()
    file = Path(folder) / f"{role}.parquet"
    if not file.is_file():
        raise DemonstrationError(
            f"demonstrations: there is no file '{file}'; make it with: edge-experts demonstrate POLICY --env ID "
            f"--save {folder}"
        )
    try:
        found = getattr(parquet, reader)(file)
    except (OSError, ValueError) as error:
        raise DemonstrationError(f"demonstrations: '{file}' cannot be read: {error}") from None
    names = found.column_names if reader == "read_table" else found.names
    missing = [name for name in (*SCALARS, *VECTORS) if name not in names]
    if missing:
        raise DemonstrationError(f"demonstrations: '{file}' has no column {', '.join(missing)}")
    return found


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ImportError("demonstrations need pyarrow: pip install 'edge-experts[parquet]'") from None
    return pyarrow, pyarrow.parquet
