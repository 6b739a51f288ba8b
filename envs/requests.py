"""The life of a request: it arrives, gathers segments, is composed or expires."""

from __future__ import annotations

from typing import Any

from . import arrivals, quality, rng
from .jit import jit
from .maths import exp
from .state import EXPIRED, LATE, ON_TIME, PRESENT, Figures, Worlds


@jit
def receive_requests(key: rng.Key, w: Worlds, c: Any, f: Figures) -> None:
    """Idle devices may get a new request."""
    chance = arrival_chance(w, c, f)
    for u in range(c.U):
        device = w.devices[u]
        if device.presence == PRESENT and not device.open and rng.uniforms(key, rng.ARRIVAL, u)[0] < chance:
            open_request(u, key, w, c, f)
            device.arrived = True


@jit
def arrival_chance(w: Worlds, c: Any, f: Figures) -> float:
    """Probability that an idle device asks within a slot."""
    if c.arrival_process == arrivals.SATURATED:
        return 1.0
    rate = c.arrival_rate
    if c.arrival_process == arrivals.BURSTY:
        rate = arrivals.bursty_rate(rate, c.burst_ratio, w.clock.busy_period == 1)
    elif c.arrival_process == arrivals.TRACE:
        rate *= f.trace[(w.clock.trace_start + w.clock.slot) % len(f.trace)]
    return arrivals.probability_within(rate, c.slot_s)


@jit
def switch_period(key: rng.Key, w: Worlds, c: Any) -> None:
    """Bursty arrivals may change between the calm and the busy state."""
    if c.arrival_process == arrivals.BURSTY and rng.uniforms(key, rng.BURST, 0)[0] < c.burst_stop:
        w.clock.busy_period = 1 - w.clock.busy_period


@jit
def open_request(u: int, key: rng.Key, w: Worlds, c: Any, f: Figures) -> None:
    """Draw a prompt, its value and its context, and read the gate."""
    pick, worth, _, _ = rng.uniforms(key, rng.REQUEST, u)
    length = rng.normals(key, rng.REQUEST, c.U + u)[0]
    device = w.devices[u]
    device.open = True
    device.prompt = int(pick * len(f.category))
    device.value = c.value_low + worth * (c.value_high - c.value_low)
    # log-normal with the stated mean
    device.context_bits = c.context_bits * exp(c.context_spread * (length - 0.5 * c.context_spread))
    device.local_budget = c.local_budget
    device.age, device.done = 0, 0
    device.last_expert, device.switches = -1, 0
    device.score_sum, device.work_sum, device.text_bits = 0.0, 0.0, 0.0
    device.finish_s = 0.0
    read_gate(u, key, w, c, f)


@jit
def read_gate(u: int, key: rng.Key, w: Worlds, c: Any, f: Figures) -> None:
    """What the gate says of each expert for the device's prompt."""
    prompt = w.devices[u].prompt
    category = f.category[prompt]
    blocks = (c.E + 4) // 4
    for block in range(blocks):
        errors = rng.normals(key, rng.GATE, u * blocks + block)
        for i in range(4):
            e = 4 * block + i
            if e < c.E or (e == c.E and c.has_local):
                w.gate[u, e] = quality.gate_reading(
                    f.priors[category, e].quality, f.scores[prompt, e].quality, c.gate_skill, c.gate_noise * errors[i]
                )


@jit
def record_segment(u: int, e: int, latency_s: float, w: Worlds, c: Any, f: Figures) -> None:
    """Note what a served segment is worth; after the last one the request is composed and paid."""
    device = w.devices[u]
    score = f.scores[device.prompt, e]
    device.score_sum += score.quality * score.work
    device.work_sum += score.work
    device.text_bits += score.bits
    device.finish_s = max(device.finish_s, device.age * c.slot_s + latency_s)
    if device.last_expert >= 0 and device.last_expert != e:
        device.switches += 1
    device.last_expert = e
    device.done += 1
    device.segment_latency_s = latency_s
    device.latency = -c.latency_weight * latency_s / c.subtasks
    if device.done == c.subtasks:
        compose_request(u, w, c)


@jit
def compose_request(u: int, w: Worlds, c: Any) -> None:
    """Look up the quality, check lateness, pay the reward."""
    device = w.devices[u]
    device.quality = quality.compose_text(device.score_sum, device.work_sum, device.switches, c.coherence)
    device.latency_s = device.finish_s
    device.last_latency_s = device.finish_s
    if device.finish_s <= c.deadline_slots * c.slot_s:
        device.earned = device.value * device.quality
        end_request(u, ON_TIME, w)
    else:
        end_request(u, LATE, w)


@jit
def expire_requests(w: Worlds, c: Any) -> None:
    """Open requests grow older; at the deadline they are worth nothing."""
    for u in range(c.U):
        device = w.devices[u]
        if device.open:
            device.age += 1
            if device.age >= c.deadline_slots:
                end_request(u, EXPIRED, w)


@jit
def end_request(u: int, how: int, w: Worlds) -> None:
    """Close a device's request."""
    device = w.devices[u]
    device.ended = how
    device.open = False
    device.requests += 1
