"""Write what an agent sees, in the order of `fields.OBS_FIELDS`, and what it may do."""

from __future__ import annotations

import math
from typing import Any

from . import market
from .jit import jit
from .rules import may_load, may_place, price_of, seconds_of
from .state import Figures, Worlds

LINK_SCALE_DB = 30.0
TINY = 1e-9


@jit
def clip(value: float, low: float, high: float) -> float:
    """A value held within bounds."""
    return min(high, max(low, value))


@jit
def one_hot(out: Any, start: int, size: int, index: int) -> int:
    """Write a one-hot stretch (all zero for index -1); returns where the next field begins."""
    for i in range(size):
        out[start + i] = 1.0 if i == index else 0.0
    return start + size


@jit
def put(out: Any, start: int, value: float) -> int:
    """Write one entry; returns where the next field begins."""
    out[start] = value
    return start + 1


@jit
def observe_device(u: int, seen: bool, w: Worlds, c: Any, f: Figures, out: Any, mask: Any) -> int:
    """Observation and mask of a device; zeros while it is not there. Returns the number of entries written."""
    mask_device(u, w, c, f, mask)
    if not seen:
        out[:] = 0.0
        return len(out)
    device = w.devices[u]
    held = 1.0 if device.open else 0.0  # what belongs to a request is zero without one
    category = f.category[device.prompt]
    i = put(out, 0, held)
    i = one_hot(out, i, len(f.priors), category if device.open else -1)
    if c.show_prompt:
        i = one_hot(out, i, len(f.category), device.prompt if device.open else -1)
    i = put(out, i, held * device.value / max(c.value_high, TINY))
    i = put(out, i, held * (c.subtasks - device.done) / c.subtasks)
    i = put(out, i, held * (c.deadline_slots - device.age) / c.deadline_slots)
    i = put(out, i, held * clip(device.context_bits / c.context_bits, 0.0, 4.0))
    i = put(out, i, device.battery_j / c.battery_j)
    i = put(out, i, held * clip(device.local_budget / max(c.local_budget, TINY), 0.0, 1.0))
    i = put(out, i, clip(device.local_backlog * f.machines[c.E].seconds_per_unit / c.slot_s, 0.0, 4.0))
    i = put(out, i, clip(device.last_latency_s / (c.deadline_slots * c.slot_s), 0.0, 4.0))
    i = put(out, i, device.turn / c.U)
    i = one_hot(out, i, c.E + 1, device.last_expert if device.open else -1)
    for e in range(c.E + 1):
        i = put(out, i, held * w.gate[u, e])
    for e in range(c.E + 1):
        i = put(out, i, held * clip(f.priors[category, e].work * seconds_of(e, w, c, f) / c.slot_s, 0.0, 4.0))
    for e in range(c.E):
        payment = price_of(e, w, c, f) * f.priors[category, e].work * c.subtasks
        i = put(out, i, held * clip(payment / max(c.value_high, TINY), 0.0, 4.0))
    for e in range(c.E):
        i = put(out, i, clip(w.experts[e].backlog * seconds_of(e, w, c, f) / c.queue_limit_s, 0.0, 4.0))
    for e in range(c.E):
        i = put(out, i, 1.0 if w.experts[e].loaded else 0.0)
    noise_w = c.noise_w_hz * c.bandwidth_hz / f.device_power_w.max()
    for p in range(c.P):
        snr_db = 10.0 * math.log10(max(w.links[u, p].gain / noise_w, TINY))
        i = put(out, i, clip(snr_db / LINK_SCALE_DB, -1.0, 2.0))
    return i


@jit
def mask_device(u: int, w: Worlds, c: Any, f: Figures, mask: Any) -> None:
    """Legal experts, then legal power levels; *wait* is all there is without a request."""
    can_place = False
    for e in range(c.E + 1):
        legal = may_place(u, e, w, c)
        mask[e] = legal
        can_place = can_place or legal
    mask[c.E + 1] = c.may_wait or not can_place
    for level in range(len(f.device_power_w)):
        mask[c.E + 2 + level] = level == 0 or can_place


@jit
def observe_provider(p: int, w: Worlds, c: Any, f: Figures, out: Any, mask: Any) -> int:
    """Observation and mask of a provider. Returns the number of entries written."""
    provider = w.providers[p]
    speed = f.speed_levels[provider.speed]
    C, i = c.C, 0
    for place in range(C):
        e = place * c.P + p
        hosted = e < c.E
        out[i + place] = (
            clip(w.experts[e].backlog * seconds_of(e, w, c, f) / c.queue_limit_s, 0.0, 4.0) if hosted else 0.0
        )
        out[i + C + place] = 1.0 if hosted and w.experts[e].loaded else 0.0
        loading = hosted and provider.loading == e
        out[i + 2 * C + place] = provider.loading_s * c.load_gb_per_s / f.machines[e].memory_gb if loading else 0.0
        out[i + 3 * C + place] = wanted_quality(e, w, c, f) if hosted else 0.0
        out[i + 4 * C + place] = clip(margin(e, p, w, c, f), -1.0, 4.0) if hosted else 0.0
    i += 5 * C
    for g in range(len(f.priors)):
        i = put(out, i, open_requests(g, w, c, f) / c.U)
    for q in range(c.P):
        level = w.providers[(p + q) % c.P].price
        i = put(out, i, f.price_levels[level] / f.price_levels.max())
    i = put(out, i, speed / f.speed_levels.max())
    i = one_hot(out, i, 3, provider.bandwidth)
    rated_w = c.idle_power_w
    for e in range(p, c.E, c.P):
        rated_w += f.machines[e].power_w
    i = put(out, i, clip(provider.power_w / rated_w, 0.0, 4.0))
    i = put(out, i, provider.served / c.U)
    i = put(out, i, provider.late / c.U)
    mask_provider(p, w, c, mask)
    return i


@jit
def open_requests(category: int, w: Worlds, c: Any, f: Figures) -> int:
    """Number of devices that hold a request of a category."""
    count = 0
    for u in range(c.U):
        if w.devices[u].open and f.category[w.devices[u].prompt] == category:
            count += 1
    return count


@jit
def wanted_quality(e: int, w: Worlds, c: Any, f: Figures) -> float:
    """Training-split mean quality of an expert over the open requests; over all categories if there are none."""
    total, count = 0.0, 0
    for g in range(len(f.priors)):
        requests = open_requests(g, w, c, f)
        total += requests * f.priors[g, e].quality
        count += requests
    if count > 0:
        return total / count
    for g in range(len(f.priors)):
        total += f.priors[g, e].quality
    return total / len(f.priors)


@jit
def margin(e: int, p: int, w: Worlds, c: Any, f: Figures) -> float:
    """Posted price less electricity per unit of work, in list prices."""
    provider, machine = w.providers[p], f.machines[e]
    if machine.price <= 0.0:
        return 0.0
    power_w = market.compute_power_w(machine.power_w, f.speed_levels[provider.speed])
    cost = market.electricity(power_w * seconds_of(e, w, c, f), c.usd_per_kwh)
    return f.price_levels[provider.price] - cost / machine.price


@jit
def mask_provider(p: int, w: Worlds, c: Any, mask: Any) -> None:
    """Every level is legal; of the loads, *keep* and what can be loaded now."""
    keep = len(mask) - c.C - 1
    for i in range(keep + 1):
        mask[i] = 1
    for place in range(1, c.C + 1):
        mask[keep + place] = may_load(p, place, w, c)
