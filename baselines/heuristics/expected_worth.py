"""What a part is expected to be worth, by what agents know: the gate's readings and training-split means; compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_experts.envs.physics import economics, quality
from edge_experts.envs.physics.jit import jit
from edge_experts.envs.sim.kernel.rules import (
    compose,
    expected_bill,
    expected_bits,
    expected_units,
    expected_work,
    loading_s,
    price_of,
    provider_of,
    seconds_of,
)
from edge_experts.envs.sim.kernel.users import backhaul_s, downlink_s, uplink_s
from edge_experts.envs.sim.state import Params, Parts, Worlds

IMPOSSIBLE = -1e9  # the worth of a part that would be refused, or of a request that cannot be completed any more


@jit
def least_worth(j: int, c: Any) -> float:
    """What a part must be worth to be placed: something, unless waiting is not legal and it is the only one."""
    return 0.0 if c.may_wait or j > 0 else -np.inf


@jit
def expect_part(u: int, e: int, i: int, trial: Parts, w: Worlds, c: Any, f: Params) -> None:
    """Write what is expected of an expert for a user's next part as part i of a trial."""
    category = f.category[w.users[u].prompt]
    fill(trial, i, e, w.gate[u, e], expected_units(u, e, w, c, f), w.gate[u, e], f.prior_aspects[category, e])


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
        cost = price_of(e, w, c, f) * expected_bill(u, e, w, c, f) + c.energy_weight * power_w * up_s
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
        paid = price_of(e, w, c, f) * expected_bill(u, e, w, c, f)
        gain += paid - economics.electricity(power_w * work * seconds, c.usd_per_kwh)
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
    fill(trial, 0, last, first.quality, first.units, said, f.prior_aspects[there, last])
    fill(trial, 1, last, first.quality, first.units, said, f.prior_aspects[there, last])
    before = compose(user.kind, trial, 2, f)
    fill(trial, 0, e, second.quality, second.units, says, f.prior_aspects[here, e])
    fill(trial, 1, e, second.quality, second.units, says, f.prior_aspects[here, e])
    after = compose(user.kind, trial, 2, f)
    alone = before * first.units + after * second.units
    if alone <= 0.0:
        return 1.0
    fill(trial, 0, last, first.quality, first.units, said, f.prior_aspects[there, last])
    return compose(user.kind, trial, 2, f) * (first.units + second.units) / alone
