"""Expected and exact worth of placing a part, and the assignments built on it; compiled, over many worlds.

`w`, `c` and `f` are as in the kernel: one world, the constants, the parameters. A plan is an array (U, J) of places,
with X for waiting; J is 1 unless all parts of a request are asked for in one slot.
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
    expected_bits,
    expected_work,
    is_among,
    loading_s,
    may_place,
    price_of,
    provider_of,
    seconds_of,
)
from edge_experts.envs.sim.kernel.step import row
from edge_experts.envs.sim.kernel.users import backhaul_s, best_readings, downlink_s, uplink_s
from edge_experts.envs.sim.state import Floats, Ints, Params, Parts, Worlds

IMPOSSIBLE = -1e9  # the worth of a part that would be refused, or of a request that cannot be completed any more


class Scratch(NamedTuple):
    """What a plan needs besides the world."""

    backlog: Floats  # (E,) units of work
    on_air: Floats  # (P,) parts on each provider's air
    trial: Parts  # (K + 1,) and (K + 1, A): a request's parts, if one more is placed


@entry
def plan_myopic(worlds: Worlds, c: Any, f: Params, plans: Ints, scratch: Scratch, congestion: float) -> None:
    """Every user takes the choice of the highest expected private reward, as if nobody else chose in this slot.

    With a price on the backlog that it leaves behind: `congestion`, credits a second.
    """
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        share = min(1.0, c.P / c.U)  # an average share of a band
        for u in range(c.U):
            for j in range(c.J):
                best, plans[b, u, j] = least_worth(j, c), c.X
                for e in range(c.X):
                    if may_place(u, e, w, c, f) and not is_among(e, plans[b, u], j):
                        backlog = w.experts[min(e, c.E - 1)].backlog
                        worth = expected_worth(u, e, j, backlog, share, False, scratch.trial, w, c, f)
                        if e < c.E and congestion > 0.0:
                            worth -= congestion * delay_s(u, e, backlog, w, c, f)
                        if worth > best:
                            best, plans[b, u, j] = worth, e
                if plans[b, u, j] < c.X:
                    expect_part(u, plans[b, u, j], j, scratch.trial, w, c, f)


@entry
def plan_coordinated(
    worlds: Worlds, c: Any, f: Params, plans: Ints, scratch: Scratch, congestion: float, single: bool
) -> None:
    """The same knowledge for the good of all: users choose one after another and see the choices before.

    Backlog left behind has a price: `congestion`, credits a second. Where providers are agents too, payments stay
    within the game, so electricity counts instead. With `single`, all parts of a request go to one expert, which is
    chosen for what it is expected to be worth for all of them; only where that one is not legal any more, to another.
    """
    backlog, on_air = scratch.backlog, scratch.on_air
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        for e in range(c.E):
            backlog[e] = w.experts[e].backlog
        on_air[:] = 0.0
        for u in w.order:
            bound_to = w.users[u].last_expert if single else -1
            if bound_to >= 0 and not may_place(u, bound_to, w, c, f):
                bound_to = -1
            for j in range(c.J):
                best, plans[b, u, j] = least_worth(j, c), c.X
                if is_scripted(u, c):
                    continue  # nobody knows what it will do
                for e in range(c.X):
                    if bound_to >= 0 and e != bound_to:
                        continue
                    if may_place(u, e, w, c, f) and not is_among(e, plans[b, u], j):
                        share = 1.0 / (1.0 + on_air[access_of(u, e, w, c)])
                        queued = backlog[min(e, c.E - 1)]
                        worth = expected_worth(u, e, j, queued, share, single, scratch.trial, w, c, f)
                        if e < c.E and worth > IMPOSSIBLE:
                            worth += social_gain(u, e, queued, congestion, w, c, f)
                        if worth > best:
                            best, plans[b, u, j] = worth, e
                e = plans[b, u, j]
                if e < c.X:
                    expect_part(u, e, j, scratch.trial, w, c, f)
                if e < c.E:
                    backlog[e] += expected_work(u, e, w, c, f)
                    on_air[access_of(u, e, w, c)] += 1.0


@jit
def least_worth(j: int, c: Any) -> float:
    """What a part must be worth to be placed: something, unless waiting is not legal and it is the only one."""
    return 0.0 if c.may_wait or j > 0 else -np.inf


@jit
def expect_part(u: int, e: int, i: int, trial: Parts, w: Worlds, c: Any, f: Params) -> None:
    """Write what is expected of an expert for a user's next part as part i of a trial."""
    category = f.category[w.users[u].prompt]
    fill(trial, i, e, w.gate[u, e], expected_work(u, e, w, c, f), w.gate[u, e], f.prior_aspects[category, e])


@jit
def fill(trial: Parts, i: int, e: int, quality: float, work: float, gate: float, aspects: Any) -> None:
    """Write part i of a trial."""
    trial.expert[i], trial.quality[i], trial.work[i], trial.gate[i] = e, quality, work, gate
    for a in range(len(aspects)):
        trial.aspects[i, a] = aspects[a]


@jit
def expected_worth(
    u: int,
    e: int,
    j: int,
    backlog: float,
    share: float,
    whole: bool,
    trial: Parts,
    w: Worlds,
    c: Any,
    f: Params,
) -> float:
    """A user's expected reward of placing its next part, from the gate's reading and the training-split means.

    The rest of the request is taken to go as well as this part, one slot each; where all parts are asked for at once,
    this is the `j`-th, and counts for what it adds to those before. With `whole`, an expert counts for all parts that
    are left, the later ones by its means in their categories. Where the length of the answer is not known beforehand,
    the chance to be in time is that of a normal distribution.
    """
    user, category = w.users[u], f.category[w.users[u].prompt]
    kind, seconds = f.kinds[user.kind], seconds_of(e, w, c, f)
    work, bits = expected_work(u, e, w, c, f), expected_bits(u, e, w, c, f)
    spread = 0.0 if c.length_known else f.work_spread[category, e]
    parts = 1 if c.parallel else kind.subtasks  # that a request's value is spread over
    left = parts if c.parallel else parts - user.done
    if left > kind.deadline_slots - user.age:
        return IMPOSSIBLE
    if e >= c.E:
        latency_s = user.local_backlog_s + work * seconds + loading_s(u, e, w, c, f)
        cost = c.energy_weight * f.machines[e].power_w * work * seconds
    else:
        wait_s = backlog * seconds
        if wait_s > c.queue_limit_s:
            return IMPOSSIBLE
        power_w = c.highest_power_w
        up_s = uplink_s(u, e, share, power_w, w, c)
        latency_s = up_s + wait_s + work * seconds
        latency_s += backhaul_s(u, e, bits, w, c, f) + downlink_s(u, e, share, bits, w, c, f)
        cost = price_of(e, w, c, f) * work + c.energy_weight * power_w * up_s
    slack_s = (kind.deadline_slots - user.age - left + 1) * c.slot_s - latency_s
    in_time = 0.5 * (1.0 + math.erf(slack_s / (math.sqrt(2.0) * (spread * seconds + 1e-9))))
    worth = expected_quality(u, e, whole, w, f) * shown_by(e, w, c, f)
    if j > 0:
        before = compose(user.kind, trial, j, f)
        expect_part(u, e, j, trial, w, c, f)
        worth = (compose(user.kind, trial, j + 1, f) - before) * shown_by(e, w, c, f)
    elif user.last_expert >= 0 and user.last_expert != e:
        # a change costs, or serves, the whole request
        worth *= max(0.0, 1.0 - (1.0 - harmony(u, user.last_expert, e, trial, w, f)) * kind.subtasks)
    late = c.latency_weight * latency_s if j == 0 else 0.0  # further answers come while the first is waited for
    return user.value * worth * in_time / parts - cost - late / parts


@jit
def expected_quality(u: int, e: int, whole: bool, w: Worlds, f: Params) -> float:
    """The gate's reading of an expert for the next part; with `whole`, the mean with its means for the later parts."""
    user = w.users[u]
    kind = f.kinds[user.kind]
    if not whole or not kind.own:
        return w.gate[u, e]  # type: ignore[no-any-return]
    total = w.gate[u, e]
    for i in range(user.done + 1, kind.subtasks):
        total += f.priors[f.category[w.parts.prompt[u, i]], e].quality
    return total / (kind.subtasks - user.done)  # type: ignore[no-any-return]


@jit
def social_gain(u: int, e: int, backlog: float, congestion: float, w: Worlds, c: Any, f: Params) -> float:
    """What a part on a host's expert is worth to all others: payment less electricity, less congestion."""
    gain = -congestion * delay_s(u, e, backlog, w, c, f)
    if c.providers_act:
        work, seconds = expected_work(u, e, w, c, f), seconds_of(e, w, c, f)
        speed = f.speed_levels[w.providers[provider_of(e, c)].speed]
        power_w = economics.compute_power_w(f.machines[e].power_w, speed)
        gain += price_of(e, w, c, f) * work - economics.electricity(power_w * work * seconds, c.usd_per_kwh)
    return gain


@jit
def delay_s(u: int, e: int, backlog: float, w: Worlds, c: Any, f: Params) -> float:
    """Seconds of work that a part adds to what an expert leaves to the next slot."""
    work, seconds = expected_work(u, e, w, c, f), seconds_of(e, w, c, f)
    return max(0.0, (backlog + work) * seconds - c.slot_s) - max(0.0, backlog * seconds - c.slot_s)  # type: ignore[no-any-return]


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
def harmony(u: int, last: int, e: int, trial: Parts, w: Worlds, f: Params) -> float:
    """What two neighbouring parts of different experts are worth, over what each would be worth with itself.

    By the quality rule, on training-split means of both parts' categories; for text it is the scenario's coherence.
    """
    user = w.users[u]
    there = f.category[w.parts.prompt[u, user.done - 1]]
    here = f.category[user.prompt]
    said, says = w.parts.gate[u, user.done - 1], w.gate[u, e]
    first, second = f.priors[there, last], f.priors[here, e]
    fill(trial, 0, last, first.quality, first.work, said, f.prior_aspects[there, last])
    fill(trial, 1, last, first.quality, first.work, said, f.prior_aspects[there, last])
    before = compose(user.kind, trial, 2, f)
    fill(trial, 0, e, second.quality, second.work, says, f.prior_aspects[here, e])
    fill(trial, 1, e, second.quality, second.work, says, f.prior_aspects[here, e])
    after = compose(user.kind, trial, 2, f)
    alone = before * first.work + after * second.work
    if alone <= 0.0:
        return 1.0
    fill(trial, 0, last, first.quality, first.work, said, f.prior_aspects[there, last])
    return compose(user.kind, trial, 2, f) * (first.work + second.work) / alone


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
    user, work = w.users[u], f.scores[w.users[u].prompt, e].work
    paid = price_of(e, w, c, f) * work
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
    fill(trial, n, e, score.quality, score.work, w.gate[u, e], aspects)
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
