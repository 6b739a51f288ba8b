"""What a group of agents saw, did and got, slot by slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Cut = tuple[int, Array, dict[str, Array]]


@dataclass(frozen=True)
class Group:
    """Agents of one role that share a module."""

    module: str
    role: str
    agents: NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from other groups."""
        return self.module, self.role


def group_agents(agents: list[str], mapping: Any) -> list[Group]:
    """Agents by module and role, in order."""
    found: dict[tuple[str, str], list[str]] = {}
    for agent in agents:
        role = agent.rpartition("_")[0]
        found.setdefault((mapping(agent, None), role), []).append(agent)
    return [
        Group(module, role, np.array([int(name.rpartition("_")[2]) for name in names]), tuple(names))
        for (module, role), names in found.items()
    ]


class Rollout:
    """Columns of all groups, slot by slot.

    Args:
        groups: Whose.
        is_taught: Whether a teacher labels what the groups see.
    """

    is_taught: bool
    slots: int

    def __init__(self, groups: list[Group], is_taught: bool = False) -> None:
        self.slots, self.is_taught = 0, is_taught
        self._columns: dict[tuple[str, str], dict[str, list[Array]]] = {g.key: {} for g in groups}
        self._cuts: dict[tuple[str, str], list[Cut]] = {g.key: [] for g in groups}
        self.targets: dict[tuple[str, str], Array] = {}  # value targets, (T, B, agents)

    def append(self, group: Group, columns: dict[str, Array]) -> None:
        """Add a slot's values to a group's columns."""
        mine = self._columns[group.key]
        for name, value in columns.items():
            mine.setdefault(name, []).append(value)

    def newest(self, group: Group, name: str) -> Array:
        """A column of the slot in play."""
        return self._columns[group.key][name][-1]

    def cut(self, group: Group, worlds: Array, seen: dict[str, Array]) -> None:
        """Keep what a group saw last in the worlds whose episodes were cut in the present slot."""
        self._cuts[group.key].append((self.slots, worlds, seen))

    def cuts(self, group: Group) -> list[Cut]:
        """Slot, worlds (n,) and last observations, rows (n x agents, ...), of every cut."""
        return self._cuts[group.key]

    def stacked(self, group: Group, names: tuple[str, ...] | None = None) -> dict[str, Array]:
        """Columns, or some of them, as arrays (T, B x agents, ...) or (T, B, agents)."""
        return {n: np.stack(values) for n, values in self._columns[group.key].items() if names is None or n in names}

    def live_steps(self, group: Group) -> Array:
        """Slots played by each agent of a group."""
        return np.stack(self._columns[group.key]["live"]).sum(axis=(0, 1))
