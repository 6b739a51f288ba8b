"""What is allowed and what it costs: shared by the kernel, the masks and the heuristics.

Here and in the kernel `w` is one world (a row of `state.Worlds`), `c` the constants, `f` the figures.
"""

from __future__ import annotations

from typing import Any

from .jit import jit
from .state import PRESENT, Figures, Worlds


@jit
def provider_of(expert: int, c: Any) -> int:
    """The host of an expert."""
    return expert % c.P  # type: ignore[no-any-return]


@jit
def may_act(u: int, w: Worlds) -> bool:
    """Whether a device is there, with a request in hand and energy to serve it."""
    device = w.devices[u]
    return device.presence == PRESENT and device.open and device.battery_j > 0.0  # type: ignore[no-any-return]


@jit
def may_place(u: int, expert: int, w: Worlds, c: Any) -> bool:
    """Whether a device may place a segment on an expert (E: its own local one)."""
    if not may_act(u, w):
        return False
    if expert == c.E:
        return c.has_local and w.devices[u].local_budget > 0.0  # type: ignore[no-any-return]
    return w.experts[expert].loaded  # type: ignore[no-any-return]


@jit
def can_place(u: int, w: Worlds, c: Any) -> bool:
    """Whether a device may place a segment anywhere."""
    for e in range(c.E + 1):
        if may_place(u, e, w, c):
            return True
    return False


@jit
def may_load(p: int, place: int, w: Worlds, c: Any) -> bool:
    """Whether a provider may start to load the expert at a place (1..C) of its catalogue."""
    expert = (place - 1) * c.P + p
    return expert < c.E and w.providers[p].loading < 0 and not w.experts[expert].loaded


@jit
def price_of(expert: int, w: Worlds, c: Any, f: Figures) -> float:
    """What the host asks per unit of work, credits."""
    return f.price_levels[w.providers[provider_of(expert, c)].price] * f.machines[expert].price  # type: ignore[no-any-return]


@jit
def seconds_of(expert: int, w: Worlds, c: Any, f: Figures) -> float:
    """Seconds per unit of work at the announced speed (E: the local expert)."""
    if expert == c.E:
        return f.machines[expert].seconds_per_unit  # type: ignore[no-any-return]
    return f.machines[expert].seconds_per_unit / f.speed_levels[w.providers[provider_of(expert, c)].speed]  # type: ignore[no-any-return]
