"""Assignments of all users together, by recorded quality, work and channels: what only hindsight knows; compiled.

`w`, `c` and `f` are as in the kernel: one world, the constants, the parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_experts.envs.physics import economics
from edge_experts.envs.physics.jit import entry, jit
from edge_experts.envs.sim.kernel.rules import (
    access_of,
    compose,
    loading_s,
    may_place,
    price_of,
    provider_of,
    seconds_of,
)
from edge_experts.envs.sim.kernel.step import row
from edge_experts.envs.sim.kernel.users import backhaul_s, best_readings, downlink_s, uplink_s
from edge_experts.envs.sim.state import Floats, Ints, Params, Parts, Worlds

from .expected_worth import fill, is_scripted, shown_by
from .plan_kernels import Scratch


@entry
def plan_clairvoyant(
    worlds: Worlds,
    c: Any,
    f: Params,
    plans: Ints,
    scratch: Scratch,
    sweeps: int,
    congestions: Floats,
    eagerness: Floats,
) -> None:
    """Assign all users of a slot together, knowing recorded quality, work and channels; maximise welfare.

    Starts from the users' places in the order of service and improves one user after another until nothing changes,
    or `sweeps` are done. `congestions` (B,) are the prices of a second of backlog left behind, credits; `eagerness`
    (B,) how much more a part counts that brings a request nearer to its end (1: no more).
    """
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        plan = plans[b]
        plan[:] = c.X
        for u in range(c.U - c.scripted, c.U):
            best_readings(u, plan[u], w, c, f)
        for _ in range(sweeps):
            changed = False
            for u in w.order:
                if is_scripted(u, c):
                    continue
                for j in range(c.J):
                    changed |= improve(u, j, plan, scratch, congestions[b], eagerness[b], w, c, f)
            if not changed:
                break


@jit
def improve(
    u: int, j: int, plan: Ints, scratch: Scratch, congestion: float, eagerness: float, w: Worlds, c: Any, f: Params
) -> bool:
    """Give one part of a user the place that is best for all; returns whether that is a new one."""
    before = plan[u, j]
    best, choice = -np.inf, before
    for e in range(c.X + 1):
        if e == c.X or (may_place(u, e, w, c, f) and not is_planned_otherwise(plan[u], j, e)):
            plan[u, j] = e
            worth = slot_welfare(plan, scratch, congestion, eagerness, w, c, f)
            if worth > best + 1e-12:
                best, choice = worth, e
    plan[u, j] = choice
    return choice != before


@jit
def is_planned_otherwise(plan: Ints, j: int, e: int) -> bool:
    """Whether an expert stands in a user's plan at another place than the `j`-th."""
    for i in range(len(plan)):
        if i != j and plan[i] == e:
            return True
    return False


@jit
def slot_welfare(
    plan: Ints, scratch: Scratch, congestion: float, eagerness: float, w: Worlds, c: Any, f: Params
) -> float:
    """What a plan is worth to all: value, energy, latency, electricity, penalties, backlog left behind."""
    backlog, on_air = scratch.backlog, scratch.on_air
    on_air[:] = 0.0
    for e in range(c.E):
        backlog[e] = w.experts[e].backlog
    for u in range(c.U):
        for j in range(c.J):
            if plan[u, j] < c.E:
                on_air[access_of(u, plan[u, j], w, c)] += 1.0
    total = 0.0
    for u in w.order:
        n, slowest_s = w.users[u].done if not c.parallel else 0, 0.0
        for j in range(c.J):
            e = plan[u, j]
            if e == c.X:
                continue
            if e >= c.E:
                latency_s = local_latency_s(u, e, w, c, f)
                cost = local_cost(u, e, w, c, f)
            else:
                wait_s = backlog[e] * seconds_of(e, w, c, f)
                if wait_s > c.queue_limit_s:
                    continue  # refused
                share = 1.0 / on_air[access_of(u, e, w, c)]
                latency_s = remote_latency_s(u, e, wait_s, share, w, c, f)
                cost = remote_cost(u, e, latency_s, share, w, c, f)
                backlog[e] += f.scores[w.users[u].prompt, e].work
            if not is_scripted(u, c):  # what it gains is nobody's here, but what it pays is
                total += part_value(u, e, n, latency_s, slowest_s, scratch.trial, eagerness, w, c, f)
            total -= cost
            n, slowest_s = n + 1, max(slowest_s, latency_s)
    for e in range(c.E):
        left_s = backlog[e] * seconds_of(e, w, c, f) - c.slot_s
        if left_s > 0.0:
            total -= congestion * left_s
    return total


@jit
def remote_latency_s(u: int, e: int, wait_s: float, share: float, w: Worlds, c: Any, f: Params) -> float:
    """Latency of one part on a host's expert; bands are taken to be shared equally."""
    score = f.scores[w.users[u].prompt, e]
    latency_s = uplink_s(u, e, share, c.highest_power_w, w, c) + wait_s + score.work * seconds_of(e, w, c, f)
    latency_s += backhaul_s(u, e, score.bits, w, c, f) + downlink_s(u, e, share, score.bits, w, c, f)
    return latency_s + c.handover_s if w.users[u].handover else latency_s


@jit
def remote_cost(u: int, e: int, latency_s: float, share: float, w: Worlds, c: Any, f: Params) -> float:
    """What one part on a host's expert costs all agents, its latency aside."""
    user, work, billed = w.users[u], f.scores[w.users[u].prompt, e].work, f.scores[w.users[u].prompt, e].billed
    paid = price_of(e, w, c, f) * billed
    if c.providers_act:
        speed = f.speed_levels[w.providers[provider_of(e, c)].speed]
        power_w = economics.compute_power_w(f.machines[e].power_w, speed)
        cost = economics.electricity(power_w * work * seconds_of(e, w, c, f), c.usd_per_kwh)
        if user.age * c.slot_s + latency_s > f.kinds[user.kind].deadline_slots * c.slot_s:
            cost += c.late_penalty
        if is_scripted(u, c):
            return cost - paid
    else:
        if is_scripted(u, c):
            return 0.0
        cost = paid
    return cost + c.energy_weight * c.highest_power_w * uplink_s(u, e, share, c.highest_power_w, w, c)


@jit
def local_latency_s(u: int, e: int, w: Worlds, c: Any, f: Params) -> float:
    """Latency of one part on a device's own expert."""
    compute_s = f.scores[w.users[u].prompt, e].work * f.machines[e].seconds_per_unit
    return w.users[u].local_backlog_s + loading_s(u, e, w, c, f) + compute_s


@jit
def local_cost(u: int, e: int, w: Worlds, c: Any, f: Params) -> float:
    """The battery's energy for one part on a device's own expert, in credits."""
    if is_scripted(u, c):
        return 0.0
    machine = f.machines[e]
    return c.energy_weight * machine.power_w * f.scores[w.users[u].prompt, e].work * machine.seconds_per_unit


@jit
def part_value(
    u: int,
    e: int,
    n: int,
    latency_s: float,
    slowest_s: float,
    trial: Parts,
    eagerness: float,
    w: Worlds,
    c: Any,
    f: Params,
) -> float:
    """What a part after `n` others adds to the value of its request, less the cost of its latency.

    With n of K parts a request counts as (n / K) ** eagerness of its recorded worth, so that the additions sum to its
    value, and what has been begun is finished first. Where all are asked for at once, it counts as a whole with any
    number of them, and the slowest (`slowest_s` so far) decides the latency.
    """
    user, kind = w.users[u], f.kinds[w.users[u].kind]
    limit_s = kind.deadline_slots * c.slot_s
    if c.parallel:
        cost, left = c.latency_weight * max(0.0, latency_s - slowest_s), 1
    else:
        cost, left = c.latency_weight * latency_s / kind.subtasks, kind.subtasks - user.done
    late = user.age * c.slot_s + latency_s > limit_s
    before = 0.0
    if n > 0:
        if not c.parallel:
            take_served(u, n, trial, w)
        before = compose(user.kind, trial, n, f) * share_of_request(n, kind, eagerness, c)
        before *= user.coverage_sum / n if not c.parallel else 1.0
    score, aspects = f.scores[user.prompt, e], f.aspects[user.prompt, e]
    fill(trial, n, e, score.quality, score.units, w.gate[u, e], aspects)
    if late or left > kind.deadline_slots - user.age or user.finish_s > limit_s:
        return -cost if not c.parallel else -cost - user.value * before
    shown = shown_by(e, w, c, f) if c.parallel else (user.coverage_sum + shown_by(e, w, c, f)) / (n + 1)
    after = compose(user.kind, trial, n + 1, f) * shown * share_of_request(n + 1, kind, eagerness, c)
    return user.value * (after - before) - cost


@jit
def share_of_request(n: int, kind: Any, eagerness: float, c: Any) -> float:
    """How much of a request n of its parts are."""
    return 1.0 if c.parallel else (n / kind.subtasks) ** eagerness  # type: ignore[no-any-return]


@jit
def take_served(u: int, n: int, trial: Parts, w: Worlds) -> None:
    """Copy the parts of a user's request that were served into a trial."""
    for i in range(n):
        fill(
            trial,
            i,
            w.parts.expert[u, i],
            w.parts.quality[u, i],
            w.parts.work[u, i],
            w.parts.gate[u, i],
            w.parts.aspects[u, i],
        )
