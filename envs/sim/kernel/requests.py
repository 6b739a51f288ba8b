"""The life of a request: it arrives, gathers parts, is composed or expires."""

from __future__ import annotations

from typing import Any

from ...physics import arrivals, quality, rng
from ...physics.bitexact import exp
from ...physics.jit import jit
from ..plugins import CUSTOM
from ..state import EXPIRED, LATE, ON_TIME, PRESENT, Params, Worlds
from .rules import compose


@jit
def receive_requests(key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """Idle devices may get a new request."""
    chance = arrival_chance(w, c, f)
    for u in range(c.U):
        device = w.devices[u]
        if device.presence == PRESENT and not device.open and rng.uniforms(key, rng.ARRIVAL, u)[0] < chance:
            open_request(u, key, w, c, f)
            device.arrived = True


@jit
def arrival_chance(w: Worlds, c: Any, f: Params) -> float:
    """Probability that an idle device asks within a slot."""
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
    """Draw a prompt, its value and its context, and read the gate."""
    pick, worth, care, _ = rng.uniforms(key, rng.REQUEST, u)
    length = rng.normals(key, rng.REQUEST, c.U + u)[0]
    device = w.devices[u]
    device.open = True
    device.kind = 0
    while device.kind + 1 < len(f.kinds) and pick >= f.kinds[device.kind + 1].start:
        device.kind += 1
    kind = f.kinds[device.kind]
    place = min(kind.count - 1, int((pick - kind.start) / kind.share * kind.count))
    device.prompt = kind.first + place
    device.value = kind.value_low + worth * (kind.value_high - kind.value_low)
    device.strict = care < c.strict_share
    # log-normal with the stated mean
    device.context_bits = kind.context_bits * exp(c.context_spread * (length - 0.5 * c.context_spread))
    device.local_budget = c.local_budget_units
    device.age, device.done = 0, 0
    device.last_expert = -1
    device.output_bits, device.coverage_sum = 0.0, 0.0
    device.hallucination_sum, device.work_sum = 0.0, 0.0
    device.finish_s = 0.0
    w.parts[u, :] = 0
    read_gate(u, key, w, c, f)


@jit
def read_gate(u: int, key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """What the gate says of each expert for the device's prompt."""
    prompt = w.devices[u].prompt
    category = f.category[prompt]
    blocks = (c.X + 3) // 4
    for block in range(blocks):
        errors = rng.normals(key, rng.GATE, u * blocks + block)
        for i in range(4):
            e = 4 * block + i
            if e < c.X and f.serves[w.devices[u].kind, e]:
                w.gate[u, e] = quality.gate_reading(
                    f.priors[category, e].quality, f.scores[prompt, e].quality, c.gate_skill, c.gate_noise * errors[i]
                )


@jit
def record_part(u: int, e: int, latency_s: float, shown: float, w: Worlds, c: Any, f: Params) -> None:
    """Note a part that was served; after the last one the request is composed and paid.

    `shown` is the share of the part that the rendered views show.
    """
    device = w.devices[u]
    score, subtasks = f.scores[device.prompt, e], f.kinds[device.kind].subtasks
    w.parts[u, device.done] = e
    device.output_bits += score.bits
    device.coverage_sum += shown
    device.hallucination_sum += f.machines[e].hallucination * score.work
    device.work_sum += score.work
    device.finish_s = max(device.finish_s, device.age * c.slot_s + latency_s)
    device.last_expert = e
    device.done += 1
    device.part_latency_s = latency_s
    device.latency = -c.latency_weight * latency_s / subtasks
    if device.done == subtasks:
        compose_request(u, w, c, f)


@jit
def compose_request(u: int, w: Worlds, c: Any, f: Params) -> None:
    """Look up the quality, check lateness, pay the reward."""
    device = w.devices[u]
    worth = compose(u, w.parts[u], device.done, f.scores[device.prompt], f.aspects[device.prompt], w, f)
    device.quality = worth * (device.coverage_sum / device.done)
    if device.work_sum > 0.0:
        device.hallucination = device.hallucination_sum / device.work_sum
    device.latency_s = device.finish_s
    device.last_latency_s = device.finish_s
    if device.finish_s <= f.kinds[device.kind].deadline_slots * c.slot_s:
        device.earned = device.value * device.quality
        end_request(u, ON_TIME, w)
    else:
        end_request(u, LATE, w)


@jit
def expire_requests(w: Worlds, c: Any, f: Params) -> None:
    """Open requests grow older; at the deadline they are worth nothing."""
    for u in range(c.U):
        device = w.devices[u]
        if device.open:
            device.age += 1
            if device.age >= f.kinds[device.kind].deadline_slots:
                end_request(u, EXPIRED, w)


@jit
def end_request(u: int, how: int, w: Worlds) -> None:
    """Close a device's request."""
    device = w.devices[u]
    device.ended = how
    device.open = False
    device.requests += 1
