"""Expected and exact worth of placing a segment, and the assignments built on it; compiled, over many worlds.

`w`, `c` and `f` are as in the kernel: one world, the constants, the figures. A plan is an array (U,) of experts, with E
for the local expert and E + 1 for waiting.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_experts.envs import market
from edge_experts.envs.jit import entry, jit
from edge_experts.envs.kernel import row
from edge_experts.envs.rules import may_place, price_of, provider_of, seconds_of
from edge_experts.envs.service import backhaul_s, downlink_s, uplink_s
from edge_experts.envs.state import Figures, Floats, Ints, Worlds


@entry
def plan_myopic(worlds: Worlds, c: Any, f: Figures, plans: Ints, scratch: Floats, spread: Floats) -> None:
    """Every device takes the choice of the highest expected private reward, as if nobody else chose in this slot.

    `spread` (G, E+1) is the training-split standard deviation of a segment's work; `scratch` (E+P,) is not used.
    """
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        share = min(1.0, c.P / c.U)  # an average share of a band
        for u in range(c.U):
            best, plans[b, u] = 0.0 if c.may_wait else -np.inf, c.E + 1
            for e in range(c.E + 1):
                if may_place(u, e, w, c):
                    worth = expected_worth(u, e, w.experts[min(e, c.E - 1)].backlog, share, spread, w, c, f)
                    if worth > best:
                        best, plans[b, u] = worth, e


@entry
def plan_coordinated(worlds: Worlds, c: Any, f: Figures, plans: Ints, scratch: Floats, spread: Floats) -> None:
    """The same knowledge, but devices choose one after another, in the order of service, and see the choices before."""
    backlog, users = scratch[: c.E], scratch[c.E :]
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        for e in range(c.E):
            backlog[e] = w.experts[e].backlog
        users[:] = 0.0
        for u in w.order:
            best, plans[b, u] = 0.0 if c.may_wait else -np.inf, c.E + 1
            for e in range(c.E + 1):
                if may_place(u, e, w, c):
                    share = 1.0 / (1.0 + users[provider_of(e, c)])
                    worth = expected_worth(u, e, backlog[min(e, c.E - 1)], share, spread, w, c, f)
                    if worth > best:
                        best, plans[b, u] = worth, e
            e = plans[b, u]
            if e < c.E:
                backlog[e] += f.priors[f.category[w.devices[u].prompt], e].work
                users[provider_of(e, c)] += 1.0


@jit
def expected_worth(
    u: int, e: int, backlog: float, share: float, spread: Floats, w: Worlds, c: Any, f: Figures
) -> float:
    """A device's expected reward of placing its next segment, from the gate's reading and the training-split means.

    The rest of the request is taken to go as well as this segment, one slot each. The length of the answer is not known
    beforehand, so the chance to be in time is that of a normal distribution.
    """
    device, category = w.devices[u], f.category[w.devices[u].prompt]
    prior, seconds = f.priors[category, e], seconds_of(e, w, c, f)
    left = c.subtasks - device.done
    if left > c.deadline_slots - device.age:
        return -1.0  # cannot be completed any more
    if e == c.E:
        latency_s = (device.local_backlog + prior.work) * seconds
        cost = c.energy_weight * f.machines[e].power_w * prior.work * seconds
    else:
        wait_s = backlog * seconds
        if wait_s > c.queue_limit_s:
            return -1.0  # would be refused
        power_w = c.highest_power_w
        up_s = uplink_s(u, e, share, power_w, w, c)
        latency_s = up_s + wait_s + prior.work * seconds
        latency_s += backhaul_s(u, e, prior.bits, w, c, f) + downlink_s(u, e, share, prior.bits, w, c)
        cost = price_of(e, w, c, f) * prior.work + c.energy_weight * power_w * up_s
    slack_s = (c.deadline_slots - device.age - left + 1) * c.slot_s - latency_s
    in_time = 0.5 * (1.0 + math.erf(slack_s / (math.sqrt(2.0) * (spread[category, e] * seconds + 1e-9))))
    quality = w.gate[u, e]
    if device.last_expert >= 0 and device.last_expert != e:
        quality *= 1.0 - (1.0 - c.coherence) * c.subtasks  # a change costs the whole request
    return device.value * quality * in_time / c.subtasks - cost - c.latency_weight * latency_s / c.subtasks


@entry
def plan_clairvoyant(
    worlds: Worlds, c: Any, f: Figures, plans: Ints, scratch: Floats, sweeps: int, congestion: float
) -> None:
    """Assign all devices of a slot together, knowing recorded quality, work and channels; maximise welfare.

    Starts from the devices' places in the order of service and improves one device after another until nothing changes,
    or `sweeps` are done. `congestion` is the price of a second of backlog left behind, credits.
    """
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        plan = plans[b]
        plan[:] = c.E + 1
        for _ in range(sweeps):
            changed = False
            for u in w.order:
                changed |= improve(u, plan, scratch, congestion, w, c, f)
            if not changed:
                break


@jit
def improve(u: int, plan: Ints, scratch: Floats, congestion: float, w: Worlds, c: Any, f: Figures) -> bool:
    """Give one device the choice that is best for all; returns whether that is a new one."""
    before = plan[u]
    best, choice = -np.inf, before
    for e in range(c.E + 2):
        if e == c.E + 1 or may_place(u, e, w, c):
            plan[u] = e
            worth = slot_welfare(plan, scratch, congestion, w, c, f)
            if worth > best + 1e-12:
                best, choice = worth, e
    plan[u] = choice
    return choice != before


@jit
def slot_welfare(plan: Ints, scratch: Floats, congestion: float, w: Worlds, c: Any, f: Figures) -> float:
    """What a plan is worth to everybody: value, energy, latency, electricity, penalties, and the backlog left behind."""
    backlog, users = scratch[: c.E], scratch[c.E :]
    users[:] = 0.0
    for e in range(c.E):
        backlog[e] = w.experts[e].backlog
    for u in range(c.U):
        if plan[u] < c.E:
            users[provider_of(plan[u], c)] += 1.0
    total = 0.0
    for u in w.order:
        e = plan[u]
        if e == c.E:
            total += local_welfare(u, w, c, f)
        elif e < c.E:
            seconds = seconds_of(e, w, c, f)
            if backlog[e] * seconds > c.queue_limit_s:
                continue  # refused
            total += remote_welfare(u, e, backlog[e] * seconds, 1.0 / users[provider_of(e, c)], w, c, f)
            backlog[e] += f.scores[w.devices[u].prompt, e].work
    for e in range(c.E):
        left_s = backlog[e] * seconds_of(e, w, c, f) - c.slot_s
        if left_s > 0.0:
            total -= congestion * left_s
    return total


@jit
def remote_welfare(u: int, e: int, wait_s: float, share: float, w: Worlds, c: Any, f: Figures) -> float:
    """Welfare of one segment on a host's expert; bands are taken to be shared equally."""
    device, machine, score = w.devices[u], f.machines[e], f.scores[w.devices[u].prompt, e]
    power_w = c.highest_power_w
    up_s = uplink_s(u, e, share, power_w, w, c)
    compute_s = score.work * seconds_of(e, w, c, f)
    latency_s = (
        up_s + wait_s + compute_s + backhaul_s(u, e, score.bits, w, c, f) + downlink_s(u, e, share, score.bits, w, c)
    )
    speed = f.speed_levels[w.providers[provider_of(e, c)].speed]
    cost = market.electricity(market.compute_power_w(machine.power_w, speed) * compute_s, c.usd_per_kwh)
    if device.age * c.slot_s + latency_s > c.deadline_slots * c.slot_s:
        cost += c.late_penalty
    return segment_value(u, e, latency_s, w, c, f) - cost - c.energy_weight * power_w * up_s


@jit
def local_welfare(u: int, w: Worlds, c: Any, f: Figures) -> float:
    """Welfare of one segment on the device's own expert."""
    machine, work = f.machines[c.E], f.scores[w.devices[u].prompt, c.E].work
    latency_s = (w.devices[u].local_backlog + work) * machine.seconds_per_unit
    return (
        segment_value(u, c.E, latency_s, w, c, f) - c.energy_weight * machine.power_w * work * machine.seconds_per_unit
    )


@jit
def segment_value(u: int, e: int, latency_s: float, w: Worlds, c: Any, f: Figures) -> float:
    """What a segment adds to the value of its request, less the cost of its latency.

    The recorded score counts by its words, so that the additions over a request sum to its value.
    """
    device, score = w.devices[u], f.scores[w.devices[u].prompt, e]
    cost = c.latency_weight * latency_s / c.subtasks
    left = c.subtasks - device.done
    late = device.age * c.slot_s + latency_s > c.deadline_slots * c.slot_s
    if late or left > c.deadline_slots - device.age or device.finish_s > c.deadline_slots * c.slot_s:
        return -cost
    before = device.score_sum / device.work_sum * device.done if device.work_sum > 0.0 else 0.0
    work = device.work_sum + score.work
    after = (device.score_sum + score.quality * score.work) / work * (device.done + 1) if work > 0.0 else 0.0
    if device.last_expert >= 0 and device.last_expert != e:
        after *= c.coherence
    return device.value * (after - before) / c.subtasks - cost
