"""What becomes of the users' choices in a slot: the air is shared, queues are joined, parts are served."""

from __future__ import annotations

from typing import Any

from ...physics import quality, radio
from ...physics.jit import jit
from ..state import PRESENT, Ints, Params, Worlds
from .requests import compose_request, record_part
from .rules import access_of, can_place, is_among, is_home, loading_s, may_place, price_of, provider_of, seconds_of


@jit
def choose_experts(actions: Ints, w: Worlds, c: Any, f: Params) -> None:
    """Legal choices stand; a masked one means *wait* and is counted. Scripted users choose by themselves.

    An expert that is named twice in a slot is asked once. What is legal is what was when the slot began: a budget or a
    battery that the first of several local parts empties still serves the others.
    """
    for u in range(c.U - c.scripted, c.U):
        follow_gate(u, actions, w, c, f)
    for u in range(c.U):
        user = w.users[u]
        user.acted = user.presence == PRESENT
        if not user.acted:
            continue
        waits = True
        for j in range(c.J):
            expert = actions[u, j]
            if expert < c.X:
                waits = False
                if not may_place(u, expert, w, c, f):
                    user.invalid = True
                elif not is_among(expert, w.asked[u], j):
                    w.asked[u, j] = expert
        if waits and ((actions[u, c.J] > 0 and not user.open) or (not c.may_wait and can_place(u, w, c, f))):
            user.invalid = True


@jit
def follow_gate(u: int, actions: Ints, w: Worlds, c: Any, f: Params) -> None:
    """The script of a user that is no agent: the experts of the best gate readings, at the highest power level."""
    best_readings(u, actions[u], w, c, f)
    actions[u, c.J] = len(f.device_power_w) - 1 if actions[u, 0] < c.X else 0


@jit
def best_readings(u: int, choice: Any, w: Worlds, c: Any, f: Params) -> None:
    """Write the J legal experts of a user's best gate readings to the front of `choice`; X where there is none."""
    for j in range(c.J):
        best, choice[j] = -1.0, c.X
        for place in range(c.X):
            if w.gate[u, place] > best and may_place(u, place, w, c, f) and not is_among(place, choice, j):
                best, choice[j] = w.gate[u, place], place


@jit
def share_bands(actions: Ints, w: Worlds, c: Any, f: Params) -> None:
    """Each provider divides its band among the parts that use it in this slot."""
    for u in range(c.U):
        for j in range(c.J):
            if uses_air(u, w.asked[u, j], w, c):
                p = access_of(u, w.asked[u, j], w, c)
                power_w, gain = f.device_power_w[actions[u, c.J]], radio.linear(w.links.gain_db[u, p])
                efficiency = radio.shannon_bps(c.bandwidth_hz, power_w, gain, c.noise_w_hz) / c.bandwidth_hz
                w.share[u, j] = radio.share_weight(w.providers[p].bandwidth, w.users[u].context_bits, efficiency)
                w.providers[p].asked_for += w.share[u, j]
    for u in range(c.U):
        for j in range(c.J):
            if uses_air(u, w.asked[u, j], w, c):
                w.share[u, j] /= w.providers[access_of(u, w.asked[u, j], w, c)].asked_for


@jit
def uses_air(u: int, expert: int, w: Worlds, c: Any) -> bool:
    """Whether a part that a user placed on an expert goes over a provider's air."""
    return 0 <= expert < c.E and not is_home(u, access_of(u, expert, w, c), c)


@jit
def serve_parts(actions: Ints, w: Worlds, c: Any, f: Params) -> None:
    """Parts join the queues in the slot's order of service."""
    for u in w.order:
        for j in range(c.J):
            expert = w.asked[u, j]
            if expert >= c.E:
                serve_locally(u, expert, w, c, f)
            elif expert >= 0:
                serve_remotely(u, expert, w.share[u, j], f.device_power_w[actions[u, c.J]], w, c, f)
        if c.parallel and w.users[u].placed >= 0:
            compose_request(u, w, c, f)


@jit
def serve_remotely(u: int, e: int, share: float, power_w: float, w: Worlds, c: Any, f: Params) -> None:
    """A part travels, waits, is computed and comes back; a full queue refuses it."""
    user, expert, provider = w.users[u], w.experts[e], w.providers[provider_of(e, c)]
    seconds_per_unit = seconds_of(e, w, c, f)
    wait_s = expert.backlog * seconds_per_unit
    if wait_s > c.queue_limit_s:
        user.refused = True
        return
    user.placed = e
    score = f.scores[user.prompt, e]
    work, bits = score.work, score.bits
    up_s = uplink_s(u, e, share, power_w, w, c)
    down_s = downlink_s(u, e, share, bits, w, c, f)
    latency_s = up_s + wait_s + work * seconds_per_unit + backhaul_s(u, e, bits, w, c, f) + down_s
    if user.handover:
        latency_s += c.handover_s
    expert.backlog += work
    expert.last_used = w.clock.slot
    paid = price_of(e, w, c, f) * score.billed
    user.payment -= paid
    provider.revenue += paid
    provider.served += 1
    if (user.age - f.kinds[user.kind].deadline_slots) * c.slot_s + latency_s > 0.0:
        provider.late += 1
        provider.late_cost -= c.late_penalty
    spend_energy(u, power_w * up_s, w, c)
    shown = quality.coverage(f.view_levels[provider.views], c.view_angle_deg)
    record_part(u, e, latency_s, shown, w, c, f)


@jit
def serve_locally(u: int, place: int, w: Worlds, c: Any, f: Params) -> None:
    """A device's own compact expert: loaded first if need be; a queue of its own, battery instead of payment."""
    user, machine = w.users[u], f.machines[place]
    work = f.scores[user.prompt, place].work
    user.placed = place
    user.local_backlog_s += loading_s(u, place, w, c, f) + work * machine.seconds_per_unit
    user.loaded = place
    user.local_budget -= work
    spend_energy(u, machine.power_w * work * machine.seconds_per_unit, w, c)
    record_part(u, place, user.local_backlog_s, 1.0, w, c, f)


@jit
def uplink_s(u: int, e: int, share: float, power_w: float, w: Worlds, c: Any) -> float:
    """Seconds to send a user's context to where it reaches an expert, on a share of the band."""
    p = access_of(u, e, w, c)
    if is_home(u, p, c):
        return 0.0
    gain = radio.linear(w.links.gain_db[u, p])
    rate_bps = radio.shannon_bps(share * c.bandwidth_hz, power_w, gain, c.noise_w_hz)
    return min(c.max_tx_s, w.users[u].context_bits / rate_bps)


@jit
def downlink_s(u: int, e: int, share: float, bits: float, w: Worlds, c: Any, f: Params) -> float:
    """Seconds to bring a part down, as many views of it as its host renders; the power is shared like the band."""
    p = access_of(u, e, w, c)
    if is_home(u, p, c):
        return 0.0
    gain = radio.linear(w.links.gain_db[u, p])
    power_w = share * c.provider_power_w * f.power_factors[w.providers[p].power]
    rate_bps = radio.shannon_bps(share * c.bandwidth_hz, power_w, gain, c.noise_w_hz)
    sent = bits * (f.view_levels[w.providers[provider_of(e, c)].views] / c.highest_views)
    return min(c.max_tx_s, sent / rate_bps)


@jit
def backhaul_s(u: int, e: int, bits: float, w: Worlds, c: Any, f: Params) -> float:
    """Seconds on the backhaul: to the cloud and back, from the serving provider, with earlier parts to another host."""
    user = w.users[u]
    seconds = 0.0
    if f.machines[e].is_cloud:
        seconds += c.cloud_rtt_s + (user.context_bits + bits) / c.backhaul_bps
    if c.serving and user.serving != provider_of(e, c):
        seconds += (user.context_bits + bits) / c.backhaul_bps
    last = user.last_expert
    if 0 <= last < c.E and provider_of(last, c) != provider_of(e, c):
        seconds += user.output_bits / c.backhaul_bps
    return seconds


@jit
def spend_energy(u: int, energy_j: float, w: Worlds, c: Any) -> None:
    """Take energy from a user's battery and charge it in the reward."""
    user = w.users[u]
    user.battery_j = max(0.0, user.battery_j - energy_j)
    user.energy -= c.energy_weight * energy_j
    w.clock.energy_j += energy_j
