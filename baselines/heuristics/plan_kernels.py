"""Expected and exact worth of placing a part, and the assignments built on it; compiled, over many worlds.

`w`, `c` and `f` are as in the kernel: one world, the constants, the parameters. A plan is an array (U,) of places,
    with X for
waiting.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from edge_experts.envs.physics import economics, quality
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
from edge_experts.envs.sim.kernel.users import backhaul_s, best_reading, downlink_s, uplink_s
from edge_experts.envs.sim.state import Floats, Ints, Params, Worlds

IMPOSSIBLE = -1e9  # the worth of a part that would be refused, or of a request that cannot be completed any more


class Scratch(NamedTuple):
    """What a plan needs besides the world."""

    backlog: Floats  # (E,) units of work
    users: Floats  # (P,) users on each provider's air
    trial: Ints  # (K + 1,) places of a request's parts, if one more is placed


@entry
def plan_myopic(worlds: Worlds, c: Any, f: Params, plans: Ints, scratch: Scratch) -> None:
    """Every user takes the choice of the highest expected private reward, as if nobody else chose in this slot."""
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        share = min(1.0, c.P / c.U)  # an average share of a band
        for u in range(c.U):
            best, plans[b, u] = 0.0 if c.may_wait else -np.inf, c.X
            for e in range(c.X):
                if may_place(u, e, w, c, f):
                    worth = expected_worth(u, e, w.experts[min(e, c.E - 1)].backlog, share, scratch.trial, w, c, f)
                    if worth > best:
                        best, plans[b, u] = worth, e


@entry
def plan_coordinated(worlds: Worlds, c: Any, f: Params, plans: Ints, scratch: Scratch, congestion: float) -> None:
    """The same knowledge for the good of all: users choose one after another and see the choices before.

    Backlog left behind has a price: `congestion`, credits a second. Where providers are agents too, payments stay
        within
    the game, so electricity counts instead.
    """
    backlog, users = scratch.backlog, scratch.users
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        for e in range(c.E):
            backlog[e] = w.experts[e].backlog
        users[:] = 0.0
        for u in w.order:
            best, plans[b, u] = 0.0 if c.may_wait else -np.inf, c.X
            if is_scripted(u, c):
                continue  # nobody knows what it will do
            for e in range(c.X):
                if may_place(u, e, w, c, f):
                    share = 1.0 / (1.0 + users[access_of(u, e, w, c)])
                    queued = backlog[min(e, c.E - 1)]
                    worth = expected_worth(u, e, queued, share, scratch.trial, w, c, f)
                    if e < c.E and worth > IMPOSSIBLE:
                        worth += social_gain(u, e, queued, congestion, w, c, f)
                    if worth > best:
                        best, plans[b, u] = worth, e
            e = plans[b, u]
            if e < c.E:
                backlog[e] += f.priors[f.category[w.users[u].prompt], e].work
                users[access_of(u, e, w, c)] += 1.0


@jit
def expected_worth(u: int, e: int, backlog: float, share: float, trial: Ints, w: Worlds, c: Any, f: Params) -> float:
    """A user's expected reward of placing its next part, from the gate's reading and the training-split means.

    The rest of the request is taken to go as well as this part, one slot each. The length of the answer is not known
    beforehand, so the chance to be in time is that of a normal distribution.
    """
    user, category = w.users[u], f.category[w.users[u].prompt]
    kind, prior, seconds = f.kinds[user.kind], f.priors[category, e], seconds_of(e, w, c, f)
    left = kind.subtasks - user.done
    if left > kind.deadline_slots - user.age:
        return IMPOSSIBLE
    if e >= c.E:
        latency_s = user.local_backlog_s + prior.work * seconds + loading_s(u, e, w, c, f)
        cost = c.energy_weight * f.machines[e].power_w * prior.work * seconds
    else:
        wait_s = backlog * seconds
        if wait_s > c.queue_limit_s:
            return IMPOSSIBLE
        power_w = c.highest_power_w
        up_s = uplink_s(u, e, share, power_w, w, c)
        latency_s = up_s + wait_s + prior.work * seconds
        latency_s += backhaul_s(u, e, prior.bits, w, c, f) + downlink_s(u, e, share, prior.bits, w, c, f)
        cost = price_of(e, w, c, f) * prior.work + c.energy_weight * power_w * up_s
    slack_s = (kind.deadline_slots - user.age - left + 1) * c.slot_s - latency_s
    in_time = 0.5 * (1.0 + math.erf(slack_s / (math.sqrt(2.0) * (f.work_spread[category, e] * seconds + 1e-9))))
    worth = w.gate[u, e] * shown_by(e, w, c, f)
    if user.last_expert >= 0 and user.last_expert != e:
        # a change costs, or serves, the whole request
        worth *= max(0.0, 1.0 - (1.0 - harmony(u, user.last_expert, e, trial, w, f)) * kind.subtasks)
    return user.value * worth * in_time / kind.subtasks - cost - c.latency_weight * latency_s / kind.subtasks


@jit
def social_gain(u: int, e: int, backlog: float, congestion: float, w: Worlds, c: Any, f: Params) -> float:
    """What a part on a host's expert is worth to all others: payment less electricity, less congestion."""
    work, seconds = f.priors[f.category[w.users[u].prompt], e].work, seconds_of(e, w, c, f)
    speed = f.speed_levels[w.providers[provider_of(e, c)].speed]
    power_w = economics.compute_power_w(f.machines[e].power_w, speed)
    before_s = max(0.0, backlog * seconds - c.slot_s)
    after_s = max(0.0, (backlog + work) * seconds - c.slot_s)
    gain = -congestion * (after_s - before_s)
    if c.providers_act:
        gain += price_of(e, w, c, f) * work - economics.electricity(power_w * work * seconds, c.usd_per_kwh)
    return gain


@jit
def is_scripted(u: int, c: Any) -> bool:
    """Whether a user is no agent."""
    return u >= c.U - c.scripted  # type: ignore[no-any-return]


@jit
def shown_by(e: int, w: Worlds, c: Any, f: Params) -> float:
    """Share of an output that an expert's host renders; users show all of theirs."""
    if e >= c.E:
        return 1.0
    return quality.coverage(f.view_levels[w.providers[provider_of(e, c)].views], c.view_angle_deg)


@jit
def harmony(u: int, last: int, e: int, trial: Ints, w: Worlds, f: Params) -> float:
    """What two neighbouring parts of different experts are worth, over what each would be worth with itself.

    By the quality rule, on training-split means; for text it is the scenario's coherence.
    """
    category = f.category[w.users[u].prompt]
    score, aspects = f.priors[category], f.prior_aspects[category]
    trial[0], trial[1] = last, last
    before = compose(u, trial, 2, score, aspects, w, f)
    trial[0], trial[1] = e, e
    after = compose(u, trial, 2, score, aspects, w, f)
    alone = before * score[last].work + after * score[e].work
    if alone <= 0.0:
        return 1.0
    trial[0], trial[1] = last, e
    return compose(u, trial, 2, score, aspects, w, f) * (score[last].work + score[e].work) / alone


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
            plan[u] = best_reading(u, w, c, f)
        for _ in range(sweeps):
            changed = False
            for u in w.order:
                if is_scripted(u, c):
                    continue
                changed |= improve(u, plan, scratch, congestions[b], eagerness[b], w, c, f)
            if not changed:
                break


@jit
def improve(
    u: int, plan: Ints, scratch: Scratch, congestion: float, eagerness: float, w: Worlds, c: Any, f: Params
) -> bool:
    """Give one user the choice that is best for all; returns whether that is a new one."""
    before = plan[u]
    best, choice = -np.inf, before
    for e in range(c.X + 1):
        if e == c.X or may_place(u, e, w, c, f):
            plan[u] = e
            worth = slot_welfare(plan, scratch, congestion, eagerness, w, c, f)
            if worth > best + 1e-12:
                best, choice = worth, e
    plan[u] = choice
    return choice != before


@jit
def slot_welfare(
    plan: Ints, scratch: Scratch, congestion: float, eagerness: float, w: Worlds, c: Any, f: Params
) -> float:
    """What a plan is worth to all: value, energy, latency, electricity, penalties, backlog left behind."""
    backlog, users = scratch.backlog, scratch.users
    users[:] = 0.0
    for e in range(c.E):
        backlog[e] = w.experts[e].backlog
    for u in range(c.U):
        if plan[u] < c.E:
            users[access_of(u, plan[u], w, c)] += 1.0
    total = 0.0
    for u in w.order:
        e = plan[u]
        if e == c.X:
            continue
        if e >= c.E:
            total += local_welfare(u, e, scratch.trial, eagerness, w, c, f)
        else:
            seconds = seconds_of(e, w, c, f)
            if backlog[e] * seconds > c.queue_limit_s:
                continue  # refused
            share = 1.0 / users[access_of(u, e, w, c)]
            total += remote_welfare(u, e, backlog[e] * seconds, share, scratch.trial, eagerness, w, c, f)
            backlog[e] += f.scores[w.users[u].prompt, e].work
    for e in range(c.E):
        left_s = backlog[e] * seconds_of(e, w, c, f) - c.slot_s
        if left_s > 0.0:
            total -= congestion * left_s
    return total


@jit
def remote_welfare(
    u: int, e: int, wait_s: float, share: float, trial: Ints, eagerness: float, w: Worlds, c: Any, f: Params
) -> float:
    """Welfare of one part on a host's expert; bands are taken to be shared equally."""
    user, machine, score = w.users[u], f.machines[e], f.scores[w.users[u].prompt, e]
    power_w = c.highest_power_w
    up_s = uplink_s(u, e, share, power_w, w, c)
    compute_s = score.work * seconds_of(e, w, c, f)
    latency_s = up_s + wait_s + compute_s
    latency_s += backhaul_s(u, e, score.bits, w, c, f) + downlink_s(u, e, share, score.bits, w, c, f)
    if user.handover:
        latency_s += c.handover_s
    speed = f.speed_levels[w.providers[provider_of(e, c)].speed]
    if not c.providers_act:
        cost = price_of(e, w, c, f) * score.work
    else:
        cost = economics.electricity(economics.compute_power_w(machine.power_w, speed) * compute_s, c.usd_per_kwh)
    if c.providers_act and user.age * c.slot_s + latency_s > f.kinds[user.kind].deadline_slots * c.slot_s:
        cost += c.late_penalty
    if is_scripted(u, c):  # what it gains is nobody's here, but what it pays is
        return price_of(e, w, c, f) * score.work - cost if c.providers_act else 0.0
    return part_value(u, e, latency_s, trial, eagerness, w, c, f) - cost - c.energy_weight * power_w * up_s


@jit
def local_welfare(u: int, e: int, trial: Ints, eagerness: float, w: Worlds, c: Any, f: Params) -> float:
    """Welfare of one part on a user's own expert."""
    if is_scripted(u, c):
        return 0.0
    machine, compute_s = f.machines[e], f.scores[w.users[u].prompt, e].work * f.machines[e].seconds_per_unit
    latency_s = w.users[u].local_backlog_s + loading_s(u, e, w, c, f) + compute_s
    return part_value(u, e, latency_s, trial, eagerness, w, c, f) - c.energy_weight * machine.power_w * compute_s


@jit
def part_value(u: int, e: int, latency_s: float, trial: Ints, eagerness: float, w: Worlds, c: Any, f: Params) -> float:
    """What a part adds to the value of its request, less the cost of its latency.

    With n of K parts a request counts as (n / K) ** eagerness of its recorded worth, so that the additions sum to its
    value, and what has been begun is finished first.
    """
    user, kind = w.users[u], f.kinds[w.users[u].kind]
    cost, limit_s = c.latency_weight * latency_s / kind.subtasks, kind.deadline_slots * c.slot_s
    left = kind.subtasks - user.done
    late = user.age * c.slot_s + latency_s > limit_s
    if late or left > kind.deadline_slots - user.age or user.finish_s > limit_s:
        return -cost
    score, aspects = f.scores[user.prompt], f.aspects[user.prompt]
    before = 0.0
    for i in range(user.done):
        trial[i] = w.parts[u, i]
    if user.done > 0:
        before = compose(u, trial, user.done, score, aspects, w, f) * user.coverage_sum / user.done
        before *= (user.done / kind.subtasks) ** eagerness
    trial[user.done] = e
    n = user.done + 1
    after = compose(u, trial, n, score, aspects, w, f) * (user.coverage_sum + shown_by(e, w, c, f)) / n
    after *= (n / kind.subtasks) ** eagerness
    return user.value * (after - before) - cost
