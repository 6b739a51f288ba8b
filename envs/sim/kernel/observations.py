"""Write what an agent sees, each field of `spec.OBS_FIELDS` where its name says, and what it may do."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...physics import economics
from ...physics.bitexact import log10
from ...physics.jit import formula, jit
from ..state import PRESENT, Floats, Params, Worlds
from .rules import (
    can_run,
    expected_bill,
    expected_work,
    is_available,
    is_reachable,
    may_act,
    may_decide,
    may_load,
    may_place,
    price_of,
    seconds_of,
)

LINK_SCALE_DB = 30.0
TINY = 1e-9


class Board(NamedTuple):
    """What all agents of a world see alike, worked out once a slot."""

    compute: Floats  # (X,) slots per unit of work at the announced speed
    quote: Floats  # (M, E) what a unit of work costs, in a part's share of the highest value
    backlog: Floats  # (E,) as observed
    available: NDArray[np.bool_]  # (E,)
    demand: Floats  # (G,) open requests
    tastes: Floats  # (G,) mixes of categories of all users that are there, summed


def new_board(c: Any, f: Params) -> Board:
    """An empty board."""
    E = int(c.E)
    return Board(
        np.zeros(c.X),
        np.zeros((len(f.kinds), E)),
        np.zeros(E),
        np.zeros(E, np.bool_),
        np.zeros(len(f.priors)),
        np.zeros(len(f.priors)),
    )


@jit
def fill_board(board: Board, w: Worlds, c: Any, f: Params) -> None:
    """Read off one world what its agents share."""
    for place in range(c.X):
        board.compute[place] = seconds_of(place, w, c, f) / c.slot_s
    for e in range(c.E):
        price = price_of(e, w, c, f)
        for k in range(len(f.kinds)):
            board.quote[k, e] = price * f.kinds[k].subtasks / max(f.kinds[k].value_high, TINY)
        board.backlog[e] = clip(w.experts[e].backlog * board.compute[e] * c.slot_s / c.queue_limit_s, 0.0, 4.0)
        board.available[e] = is_available(e, w, c)
    board.demand[:] = 0.0
    for u in range(c.U):
        if w.users[u].open:
            board.demand[f.category[w.users[u].prompt]] += 1.0
    if c.taste != 0.0:
        board.tastes[:] = 0.0
        for u in range(c.U):
            if w.users[u].presence == PRESENT:
                for g in range(len(f.priors)):
                    board.tastes[g] += w.taste[u, g]


@formula
def clip(value: float, low: float, high: float) -> float:
    """A value held within bounds."""
    return min(high, max(low, value))


@jit
def observe_user(u: int, board: Board, w: Worlds, c: Any, f: Params, out: Any) -> None:
    """Write the observation of a user; what belongs to a request is zero without one."""
    user, at = w.users[u], c.user_at
    out[:] = 0.0
    if user.open:
        observe_request(u, w, c, f, out)
        observe_choices(u, board, w, c, f, out)
    out[at.battery] = user.battery_j / c.battery_j
    out[at.local_backlog] = clip(user.local_backlog_s / c.slot_s, 0.0, 4.0)
    out[at.last_latency] = clip(user.last_latency_s / (c.deadline_slots * c.slot_s), 0.0, 4.0)
    out[at.turn] = user.turn / c.U
    for e in range(c.E):
        out[at.backlog + e] = board.backlog[e]
        out[at.available + e] = board.available[e]
    noise_db = 10.0 * log10(c.noise_w_hz * c.bandwidth_hz / c.highest_power_w)
    for p in range(c.P):
        out[at.link + p] = clip((w.links.gain_db[u, p] - noise_db) / LINK_SCALE_DB, -1.0, 2.0)
    observe_extras(u, w, c, f, out)


@jit
def observe_request(u: int, w: Worlds, c: Any, f: Params, out: Any) -> None:
    """What a user with a request sees of it."""
    user, at = w.users[u], c.user_at
    kind = f.kinds[user.kind]
    out[at.open] = 1.0
    out[at.category + f.category[user.prompt]] = 1.0
    if kind.own:
        for i in range(user.done + 1, kind.subtasks):
            out[at.later + f.category[w.parts.prompt[u, i]]] += 1.0 / kind.subtasks
    out[at.value] = user.value / max(kind.value_high, TINY)
    out[at.subtasks_left] = (kind.subtasks - user.done) / kind.subtasks
    out[at.deadline_left] = (kind.deadline_slots - user.age) / kind.deadline_slots
    out[at.context] = clip(user.context_bits / kind.context_bits, 0.0, 4.0)
    out[at.local_budget] = clip(user.local_budget / max(c.local_budget_units, TINY), 0.0, 1.0)


@jit
def observe_extras(u: int, w: Worlds, c: Any, f: Params, out: Any) -> None:
    """The fields of which every one is there only where its rule is in use."""
    user, at = w.users[u], c.user_at
    if c.taste != 0.0:
        for g in range(len(f.priors)):
            out[at.taste + g] = w.taste[u, g]
    if c.strict_share > 0.0:
        out[at.strict] = user.open and user.strict
    if c.X - c.E > 1:
        out[at.memory] = user.memory_gb / c.highest_memory_gb
        if user.loaded >= 0:
            out[at.in_memory + user.loaded - c.E] = 1.0
    if c.serving:
        out[at.serving + user.serving] = 1.0
        out[at.handover] = user.handover
    for p in range(c.P):
        if c.has_gaps:
            out[at.reachable + p] = is_reachable(u, p, w, c)
        if len(f.view_levels) > 1:
            out[at.host_views + p] = f.view_levels[w.providers[p].views] / c.highest_views
        if len(f.power_factors) > 1:
            out[at.host_power + p] = f.power_factors[w.providers[p].power] / c.highest_factor


@jit
def observe_choices(u: int, board: Board, w: Worlds, c: Any, f: Params, out: Any) -> None:
    """What a user with a request sees of each expert: the last one used, the gate, compute time, quote."""
    user, at = w.users[u], c.user_at
    if user.last_expert >= 0:
        out[at.last_expert + user.last_expert] = 1.0
    for e in range(c.X):
        if f.serves[user.kind, e]:  # readings of other kinds of requests may still stand there
            out[at.gate + e] = w.gate[u, e]
        out[at.compute + e] = clip(expected_work(u, e, w, c, f) * board.compute[e], 0.0, 4.0)
    for e in range(c.E):
        out[at.quote + e] = clip(expected_bill(u, e, w, c, f) * board.quote[user.kind, e], 0.0, 4.0)


@jit
def mask_user(u: int, board: Board, w: Worlds, c: Any, f: Params, mask: Any) -> None:
    """Legal experts, then legal power levels; only *wait* without a request. As `rules.may_place`, in bulk."""
    can_place = False
    if may_act(u, w):
        for e in range(c.E):
            mask[e] = board.available[e]
        for place in range(c.E, c.X):
            mask[place] = can_run(u, place, w, f)
        if c.has_gaps or c.distinct or c.strict_share > 0.0 or len(f.kinds) > 1:
            for place in range(c.X):
                mask[place] = mask[place] == 1 and may_place(u, place, w, c, f)
        for place in range(c.X):
            can_place = can_place or mask[place] == 1
    else:
        mask[: c.X] = 0
    mask[c.X] = c.may_wait or not can_place
    for j in range(1, c.J):  # further experts of the same slot, or nobody
        at = j * (c.X + 1)
        for place in range(c.X):
            mask[at + place] = mask[place]
        mask[at + c.X] = 1
    for level in range(len(f.device_power_w)):
        mask[c.J * (c.X + 1) + level] = level == 0 or can_place


@jit
def observe_provider(p: int, board: Board, w: Worlds, c: Any, f: Params, out: Any) -> None:
    """Write the observation of a provider."""
    provider, at = w.providers[p], c.provider_at
    out[:] = 0.0
    for g in range(len(f.priors)):
        out[at.demand + g] = board.demand[g] / c.U
    for q in range(c.P):
        out[at.prices + q] = f.price_levels[w.providers[(p + q) % c.P].price] / c.highest_price
    out[at.speed] = f.speed_levels[provider.speed] / c.highest_speed
    out[at.bandwidth + provider.bandwidth] = 1.0
    out[at.served] = provider.served / (c.U * c.J)
    out[at.late] = provider.late / (c.U * c.J)
    observe_catalogue(p, board, w, c, f, out)
    if c.taste != 0.0:
        for g in range(len(f.priors)):
            out[at.tastes + g] = board.tastes[g] / c.U
    if c.period > 1:
        out[at.until_decision] = (c.period - w.clock.slot % c.period) % c.period / c.period
    if len(f.view_levels) > 1:
        out[at.views] = f.view_levels[provider.views] / c.highest_views
    if len(f.power_factors) > 1:
        out[at.radio] = f.power_factors[provider.power] / c.highest_factor


@jit
def observe_catalogue(p: int, board: Board, w: Worlds, c: Any, f: Params, out: Any) -> None:
    """What a provider sees of its experts, and of its power draw beside that of all of them at work."""
    provider, at = w.providers[p], c.provider_at
    speed, price = f.speed_levels[provider.speed], f.price_levels[provider.price]
    rated_w, requests = c.idle_power_w, 0.0
    for g in range(len(f.priors)):
        requests += board.demand[g]
    for place in range(c.C):
        e = place * c.P + p
        if e >= c.E:
            break
        machine = f.machines[e]
        out[at.backlog + place] = board.backlog[e]
        out[at.loaded + place] = board.available[e]
        if provider.loading == e:
            out[at.loading + place] = provider.loading_s * c.load_gb_per_s / machine.memory_gb
        out[at.quality + place] = wanted_quality(e, board, requests, f)
        power_w = economics.compute_power_w(machine.power_w, speed)
        cost = economics.electricity(power_w * seconds_of(e, w, c, f), c.usd_per_kwh)
        if machine.price > 0.0:
            out[at.margin + place] = clip(price - cost / machine.price, -1.0, 4.0)
        rated_w += machine.power_w
    out[at.power] = clip(provider.power_w / rated_w, 0.0, 4.0)


@jit
def wanted_quality(e: int, board: Board, requests: float, f: Params) -> float:
    """Training-split mean quality of an expert over the open requests; over all categories if there are none.

    Requests that it cannot serve count as quality 0.
    """
    total = 0.0
    for g in range(len(f.priors)):
        total += (board.demand[g] if requests > 0.0 else 1.0) * f.priors[g, e].quality
    return total / (requests if requests > 0.0 else len(f.priors))


@jit
def mask_provider(p: int, w: Worlds, c: Any, f: Params, mask: Any) -> None:
    """Every level is legal, and *keep* and what can be loaded now; between decisions only what is in force."""
    provider = w.providers[p]
    if not may_decide(w, c):
        mask[:] = 0
        start = mark(mask, 0, len(f.price_levels), provider.price)
        start = mark(mask, start, len(f.speed_levels), provider.speed)
        start = mark(mask, start, 3, provider.bandwidth)
        start = mark(mask, start, c.loads + 1, 0)
        start = mark(mask, start, len(f.view_levels), provider.views)
        mark(mask, start, len(f.power_factors), provider.power)
        return
    keep = len(f.price_levels) + len(f.speed_levels) + 3
    mask[:] = 1
    for place in range(1, c.loads + 1):
        mask[keep + place] = may_load(p, place, w, c)


@jit
def mark(mask: Any, start: int, size: int, choice: int) -> int:
    """Mark one choice of a part of an action that begins at `start`; returns where the next part begins."""
    mask[start + choice] = 1
    return start + size
