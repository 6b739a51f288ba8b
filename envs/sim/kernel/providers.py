"""What providers do: set price, speed, bandwidth policy, views and transmit power, load experts, pay for power."""

from __future__ import annotations

from typing import Any

from ...physics import economics, queues
from ...physics.jit import jit
from ..state import Ints, Params, Worlds
from .rules import may_decide, may_load, provider_of, seconds_of


@jit
def steer_providers(actions: Ints, w: Worlds, c: Any, f: Params) -> None:
    """Set the levels of the slots to come; a load begins if it is legal, else it is counted as invalid.

    Between decisions (`providers.period`) everything is kept, and another wish is counted as invalid.
    """
    for p in range(c.P):
        provider = w.providers[p]
        if not may_decide(w, c):
            provider.invalid = differs(actions[p], provider)
            continue
        provider.price, provider.speed, provider.bandwidth = actions[p, 0], actions[p, 1], actions[p, 2]
        provider.views, provider.power = actions[p, 4], actions[p, 5]
        place = actions[p, 3]
        if place > 0:
            if may_load(p, place, w, c):
                start_loading(p, (place - 1) * c.P + p, w, c, f)
            else:
                provider.invalid = True


@jit
def differs(action: Any, provider: Any) -> bool:
    """Whether a provider's action would change anything."""
    return (  # type: ignore[no-any-return]
        action[0] != provider.price
        or action[1] != provider.speed
        or action[2] != provider.bandwidth
        or action[3] > 0
        or action[4] != provider.views
        or action[5] != provider.power
    )


@jit
def start_loading(p: int, expert: int, w: Worlds, c: Any, f: Params) -> None:
    """Make room by dropping the least recently used experts, then read the new one from disk."""
    needed_gb = f.machines[expert].memory_gb
    free_gb = c.memory_gb
    for e in range(p, c.E, c.P):
        if w.experts[e].loaded:
            free_gb -= f.machines[e].memory_gb
    while free_gb < needed_gb:
        oldest = least_recently_used(p, w, c, f)
        w.experts[oldest].loaded = False  # what is queued there is still served
        free_gb += f.machines[oldest].memory_gb
    provider = w.providers[p]
    provider.loading = expert
    provider.loading_s = needed_gb / c.load_gb_per_s
    provider.loading_cost = -c.load_cost_per_gb * needed_gb
    w.experts[expert].last_used = w.clock.slot


@jit
def least_recently_used(p: int, w: Worlds, c: Any, f: Params) -> int:
    """The loaded expert of a provider that occupies memory and was used longest ago."""
    oldest = -1
    for e in range(p, c.E, c.P):
        expert = w.experts[e]
        occupies = expert.loaded and f.machines[e].memory_gb > 0.0
        if occupies and (oldest < 0 or expert.last_used < w.experts[oldest].last_used):
            oldest = e
    return oldest


@jit
def finish_loading(w: Worlds, c: Any) -> None:
    """Experts being read from disk come closer to service."""
    for p in range(c.P):
        provider = w.providers[p]
        if provider.loading >= 0:
            provider.loading_s -= c.slot_s
            if provider.loading_s <= 0.0:
                w.experts[provider.loading].loaded = True
                provider.loading, provider.loading_s = -1, 0.0


@jit
def drain_queues(w: Worlds, c: Any, f: Params) -> None:
    """Experts work through their backlog for the rest of the slot, and providers pay for the power."""
    for p in range(c.P):
        provider = w.providers[p]
        provider.power_w = c.idle_power_w + economics.radio_power_w(f.power_factors[provider.power], c.provider_power_w)
    for e in range(c.E):
        expert, provider = w.experts[e], w.providers[provider_of(e, c)]
        units_per_s = 1.0 / seconds_of(e, w, c, f)
        expert.busy_s = queues.busy_s(expert.backlog, units_per_s, c.slot_s)
        expert.backlog = queues.drain(expert.backlog, units_per_s, c.slot_s)
        busy_w = economics.compute_power_w(f.machines[e].power_w, f.speed_levels[provider.speed])
        provider.power_w += busy_w * expert.busy_s / c.slot_s
    for p in range(c.P):
        energy_j = w.providers[p].power_w * c.slot_s
        w.clock.energy_j += energy_j
        w.providers[p].electricity = -economics.electricity(energy_j, c.usd_per_kwh)
    for u in range(c.U):
        w.users[u].local_backlog_s = queues.drain(w.users[u].local_backlog_s, 1.0, c.slot_s)
