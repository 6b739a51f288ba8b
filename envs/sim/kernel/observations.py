"""Write what an agent sees, in the order of `fields.OBS_FIELDS`, and what it may do."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...physics import economics
from ...physics.bitexact import log10
from ...physics.jit import formula, jit
from ..state import Figures, Floats, Worlds
from .rules import is_available, is_reachable, may_act, may_load, may_place, price_of, seconds_of

LINK_SCALE_DB = 30.0
TINY = 1e-9


class Board(NamedTuple):
    """What all agents of a world see alike, worked out once a slot."""

    compute: Floats  # (X,) slots per unit of work at the announced speed
    quote: Floats  # (M, E) share of the highest value that a unit of work in every part costs
    market: NDArray[np.float32]  # (2E,) backlog and availability as observed
    demand: Floats  # (G,) open requests


def new_board(c: Any, f: Figures) -> Board:
    """An empty board."""
    return Board(np.zeros(c.X), np.zeros((len(f.kinds), c.E)), np.zeros(2 * c.E, np.float32), np.zeros(len(f.priors)))


@jit
def fill_board(board: Board, w: Worlds, c: Any, f: Figures) -> None:
    """Read off one world what its agents share."""
    for place in range(c.X):
        board.compute[place] = seconds_of(place, w, c, f) / c.slot_s
    for e in range(c.E):
        price = price_of(e, w, c, f)
        for k in range(len(f.kinds)):
            board.quote[k, e] = price * f.kinds[k].subtasks / max(f.kinds[k].value_high, TINY)
        board.market[e] = clip(w.experts[e].backlog * board.compute[e] * c.slot_s / c.queue_limit_s, 0.0, 4.0)
        board.market[c.E + e] = 1.0 if is_available(e, w, c) else 0.0
    board.demand[:] = 0.0
    for u in range(c.U):
        if w.devices[u].open:
            board.demand[f.category[w.devices[u].prompt]] += 1.0


@formula
def clip(value: float, low: float, high: float) -> float:
    """A value held within bounds."""
    return min(high, max(low, value))


@jit
def observe_device(u: int, board: Board, w: Worlds, c: Any, f: Figures, out: Any) -> int:
    """Observation of a device. Returns the number of entries written.

    What belongs to a request is zero without one.
    """
    device = w.devices[u]
    category = f.category[device.prompt]
    out[:] = 0.0
    request = 1 + len(f.priors) + (len(f.category) if c.show_prompt else 0)
    own = request + 4
    if device.open:
        out[0] = 1.0
        out[1 + category] = 1.0
        if c.show_prompt:
            out[1 + len(f.priors) + device.prompt] = 1.0
        kind = f.kinds[device.kind]
        out[request] = device.value / max(kind.value_high, TINY)
        out[request + 1] = (kind.subtasks - device.done) / kind.subtasks
        out[request + 2] = (kind.deadline_slots - device.age) / kind.deadline_slots
        out[request + 3] = clip(device.context_bits / kind.context_bits, 0.0, 4.0)
        out[own + 1] = clip(device.local_budget / max(c.local_budget, TINY), 0.0, 1.0)
    out[own] = device.battery_j / c.battery_j
    out[own + 2] = clip(device.local_backlog_s / c.slot_s, 0.0, 4.0)
    out[own + 3] = clip(device.last_latency_s / (c.deadline_slots * c.slot_s), 0.0, 4.0)
    out[own + 4] = device.turn / c.U
    i = own + 5
    if device.open:
        observe_choices(u, board, w, c, f, out[i : i + 3 * c.X + c.E])
    i += 3 * c.X + c.E
    for e in range(2 * c.E):
        out[i + e] = board.market[e]
    i += 2 * c.E
    noise_db = 10.0 * log10(c.noise_w_hz * c.bandwidth_hz / c.highest_power_w)
    for p in range(c.P):
        out[i + p] = clip((w.links.gain_db[u, p] - noise_db) / LINK_SCALE_DB, -1.0, 2.0)
    return observe_extras(u, i + c.P, w, c, f, out)


@jit
def observe_extras(u: int, i: int, w: Worlds, c: Any, f: Figures, out: Any) -> int:
    """The fields from `i` on, of which every one is there only where its rule is in use."""
    device = w.devices[u]
    if c.strict_share > 0.0:
        out[i] = 1.0 if device.open and device.strict else 0.0
        i += 1
    if c.X - c.E > 1:
        out[i] = device.memory_gb / c.highest_memory_gb
        if device.loaded >= 0:
            out[i + 1 + device.loaded - c.E] = 1.0
        i += 1 + c.X - c.E
    if c.serving:
        out[i + device.serving] = 1.0
        out[i + c.P] = 1.0 if device.handover else 0.0
        i += c.P + 1
    if c.has_gaps:
        for p in range(c.P):
            out[i + p] = 1.0 if is_reachable(u, p, w, c) else 0.0
        i += c.P
    if len(f.view_levels) > 1:
        for p in range(c.P):
            out[i + p] = f.view_levels[w.providers[p].views] / c.highest_views
        i += c.P
    if len(f.power_factors) > 1:
        for p in range(c.P):
            out[i + p] = f.power_factors[w.providers[p].power] / c.highest_factor
        i += c.P
    return i


@jit
def observe_choices(u: int, board: Board, w: Worlds, c: Any, f: Figures, out: Any) -> None:
    """What a device with a request sees of each expert: the last one used, the gate, compute time, quote."""
    device = w.devices[u]
    figures = f.priors[f.category[device.prompt]]
    if device.last_expert >= 0:
        out[device.last_expert] = 1.0
    i = c.X
    for e in range(c.X):
        if f.serves[device.kind, e]:  # readings of other kinds of requests may still stand there
            out[i + e] = w.gate[u, e]
    i += c.X
    for e in range(c.X):
        out[i + e] = clip(figures[e].work * board.compute[e], 0.0, 4.0)
    i += c.X
    for e in range(c.E):
        out[i + e] = clip(figures[e].work * board.quote[device.kind, e], 0.0, 4.0)


@jit
def mask_device(u: int, board: Board, w: Worlds, c: Any, f: Figures, mask: Any) -> None:
    """Legal experts, then legal power levels; *wait* is all there is without a request. As `rules.may_place`, in bulk."""
    device = w.devices[u]
    can_place = False
    if may_act(u, w):
        for e in range(c.E):
            mask[e] = board.market[c.E + e] == 1.0
        for place in range(c.E, c.X):
            mask[place] = device.local_budget > 0.0 and f.machines[place].memory_gb <= device.memory_gb
        if c.has_gaps or c.distinct or c.strict_share > 0.0 or len(f.kinds) > 1:
            for place in range(c.X):
                mask[place] = mask[place] == 1 and may_place(u, place, w, c, f)
        for place in range(c.X):
            can_place = can_place or mask[place] == 1
    else:
        mask[: c.X] = 0
    mask[c.X] = c.may_wait or not can_place
    for level in range(len(f.device_power_w)):
        mask[c.X + 1 + level] = level == 0 or can_place


@jit
def observe_provider(p: int, board: Board, w: Worlds, c: Any, f: Figures, out: Any) -> int:
    """Observation of a provider. Returns the number of entries written."""
    provider = w.providers[p]
    speed, price = f.speed_levels[provider.speed], f.price_levels[provider.price]
    C, i = c.C, 4 * c.C + c.loads
    worth, margin = 2 * C + c.loads, 3 * C + c.loads
    out[:] = 0.0
    rated_w = c.idle_power_w
    requests = 0.0
    for g in range(len(f.priors)):
        requests += board.demand[g]
    for place in range(C):
        e = place * c.P + p
        if e >= c.E:
            break
        machine = f.machines[e]
        out[place] = board.market[e]
        out[C + place] = 1.0 if is_available(e, w, c) else 0.0
        if provider.loading == e:
            out[2 * C + place] = provider.loading_s * c.load_gb_per_s / machine.memory_gb
        out[worth + place] = wanted_quality(e, board, requests, f)
        power_w = economics.compute_power_w(machine.power_w, speed)
        cost = economics.electricity(power_w * seconds_of(e, w, c, f), c.usd_per_kwh)
        if machine.price > 0.0:
            out[margin + place] = clip(price - cost / machine.price, -1.0, 4.0)
        rated_w += machine.power_w
    for g in range(len(f.priors)):
        out[i + g] = board.demand[g] / c.U
    i += len(f.priors)
    for q in range(c.P):
        out[i + q] = f.price_levels[w.providers[(p + q) % c.P].price] / c.highest_price
    i += c.P
    out[i] = speed / c.highest_speed
    out[i + 1 + provider.bandwidth] = 1.0
    out[i + 4] = clip(provider.power_w / rated_w, 0.0, 4.0)
    out[i + 5] = provider.served / c.U
    out[i + 6] = provider.late / c.U
    i += 7
    if len(f.view_levels) > 1:
        out[i] = f.view_levels[provider.views] / c.highest_views
        i += 1
    if len(f.power_factors) > 1:
        out[i] = f.power_factors[provider.power] / c.highest_factor
        i += 1
    return i


@jit
def wanted_quality(e: int, board: Board, requests: float, f: Figures) -> float:
    """Training-split mean quality of an expert over the open requests; over all categories if there are none.

    Requests that it cannot serve count as quality 0.
    """
    total = 0.0
    for g in range(len(f.priors)):
        total += (board.demand[g] if requests > 0.0 else 1.0) * f.priors[g, e].quality
    return total / (requests if requests > 0.0 else len(f.priors))


@jit
def mask_provider(p: int, w: Worlds, c: Any, f: Figures, mask: Any) -> None:
    """Every level is legal; of the loads, *keep* and what can be loaded now."""
    keep = len(f.price_levels) + len(f.speed_levels) + 3
    mask[:] = 1
    for place in range(1, c.loads + 1):
        mask[keep + place] = may_load(p, place, w, c)
