"""The life of a request: it arrives, gathers parts, is composed or expires."""

from __future__ import annotations

from typing import Any

from ...physics import arrivals, rng
from ...physics.bitexact import exp
from ...physics.jit import jit
from ..plugins import CUSTOM
from ..state import EXPIRED, LATE, ON_TIME, PRESENT, Params, Worlds
from .prompts import draw_prompts, take_part
from .rules import answers_of, compose


@jit
def receive_requests(key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """Idle users may get a new request."""
    chance = arrival_chance(w, c, f)
    for u in range(c.U):
        user = w.users[u]
        if user.presence == PRESENT and not user.open and rng.uniforms(key, rng.ARRIVAL, u)[0] < chance:
            open_request(u, key, w, c, f)
            user.arrived = True


@jit
def arrival_chance(w: Worlds, c: Any, f: Params) -> float:
    """Probability that an idle user asks within a slot."""
    if c.arrival_process == arrivals.SATURATED:
        return 1.0
    rate = c.rate_per_s
    if c.arrival_process == arrivals.BURSTY:
        rate = arrivals.bursty_rate(rate, c.burst_ratio, w.clock.busy_period == 1)
    elif c.arrival_process == arrivals.TRACE:
        rate *= f.trace[(w.clock.trace_start + w.clock.slot) % len(f.trace)]
    elif c.arrival_process == CUSTOM:
        rate = max(0.0, f.models.arrivals(rate, w.clock.slot, c.slot_s, w.clock.phase))
    return arrivals.probability_within(rate, c.slot_s)


@jit
def switch_period(key: rng.Key, w: Worlds, c: Any) -> None:
    """Bursty arrivals may change between the calm and the busy state."""
    if c.arrival_process == arrivals.BURSTY and rng.uniforms(key, rng.BURST, 0)[0] < c.burst_stop:
        w.clock.busy_period = 1 - w.clock.busy_period


@jit
def open_request(u: int, key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """Draw the prompts of its parts, its value and its context."""
    pick, worth, care, _ = rng.uniforms(key, rng.REQUEST, u)
    length = rng.normals(key, rng.REQUEST, c.U + u)[0]
    user = w.users[u]
    user.open = True
    user.kind = 0
    while user.kind + 1 < len(f.kinds) and pick >= f.kinds[user.kind + 1].start:
        user.kind += 1
    kind = f.kinds[user.kind]
    user.value = kind.value_low + worth * (kind.value_high - kind.value_low)
    user.strict = care < c.strict_share
    # log-normal with the stated mean
    user.context_bits = kind.context_bits * exp(c.context_spread * (length - 0.5 * c.context_spread))
    user.local_budget = c.local_budget_units
    user.age, user.done = 0, 0
    user.last_expert = -1
    user.output_bits, user.coverage_sum = 0.0, 0.0
    user.hallucination_sum, user.work_sum = 0.0, 0.0
    user.finish_s = 0.0
    draw_prompts(u, (pick - kind.start) / kind.share, key, w, c, f)
    take_part(u, w, f)


@jit
def record_part(u: int, e: int, latency_s: float, shown: float, w: Worlds, c: Any, f: Params) -> None:
    """Note a part that was served; after the last one the request is composed and paid.

    `shown` is the share of the part that the rendered views show.
    """
    user = w.users[u]
    score, subtasks = f.scores[user.prompt, e], f.kinds[user.kind].subtasks
    parts, i = w.parts, user.done
    parts.expert[u, i], parts.quality[u, i], parts.work[u, i] = e, score.quality, score.units
    parts.gate[u, i] = w.gate[u, e]
    for a in range(parts.aspects.shape[-1]):
        parts.aspects[u, i, a] = f.aspects[user.prompt, e, a]
    user.output_bits += score.bits
    user.coverage_sum += shown
    user.hallucination_sum += f.machines[e].hallucination * score.units
    user.work_sum += score.units
    user.finish_s = max(user.finish_s, user.age * c.slot_s + latency_s)
    user.done += 1
    if c.parallel:
        user.part_latency_s = max(user.part_latency_s, latency_s)
        user.latency = -c.latency_weight * user.part_latency_s
        return  # composed when all that were asked have answered
    user.last_expert = e
    user.part_latency_s = latency_s
    user.latency = -c.latency_weight * latency_s / subtasks
    if user.done == subtasks:
        compose_request(u, w, c, f)
    else:
        take_part(u, w, f)


@jit
def compose_request(u: int, w: Worlds, c: Any, f: Params) -> None:
    """Look up the quality, check lateness, pay the reward."""
    user = w.users[u]
    worth = compose(user.kind, answers_of(u, w), user.done, f)
    user.quality = worth * (user.coverage_sum / user.done)
    if user.work_sum > 0.0:
        user.hallucination = user.hallucination_sum / user.work_sum
    user.latency_s = user.finish_s
    user.last_latency_s = user.finish_s
    if user.finish_s <= f.kinds[user.kind].deadline_slots * c.slot_s:
        user.earned = user.value * user.quality
        end_request(u, ON_TIME, w)
    else:
        end_request(u, LATE, w)


@jit
def expire_requests(w: Worlds, c: Any, f: Params) -> None:
    """Open requests grow older; at the deadline they are worth nothing."""
    for u in range(c.U):
        user = w.users[u]
        if user.open:
            user.age += 1
            if user.age >= f.kinds[user.kind].deadline_slots:
                end_request(u, EXPIRED, w)


@jit
def end_request(u: int, how: int, w: Worlds) -> None:
    """Close a user's request."""
    user = w.users[u]
    user.ended = how
    user.open = False
    user.requests += 1
