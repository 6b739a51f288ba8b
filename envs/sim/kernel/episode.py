"""How an episode begins and ends, and who is there in between."""

from __future__ import annotations

from typing import Any

from ...physics import mobility, rng
from ...physics.jit import jit
from ..state import ABSENT, DROPPED, LEFT, PRESENT, Params, Worlds
from .channel import draw_links
from .prompts import draw_taste, read_gates
from .requests import arrival_chance, end_request, open_request


@jit
def begin_episode(key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """Place everybody, load what fits, and draw the first requests."""
    start, burst, _, _ = rng.uniforms(key, rng.BURST, 1)
    w.clock.slot, w.clock.phase = 0, start
    w.clock.trace_start = int(start * len(f.trace))
    w.clock.busy_period = int(burst * 2.0)
    for p in range(c.P):
        place_provider(p, key, w, c, f)
    for u in range(c.U):
        place_user(u, key, w, c, f)
    draw_links(key, w, c, f)
    chance = arrival_chance(w, c, f)
    for u in range(c.U):
        if w.users[u].presence == PRESENT and rng.uniforms(key, rng.ARRIVAL, u)[0] < chance:
            open_request(u, key, w, c, f)
    read_gates(key, w, c, f)
    shuffle_order(key, w, c)


@jit
def place_provider(p: int, key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """A provider stands at random, or at the roadside, and loads its experts in order while memory lasts."""
    provider = w.providers[p]
    x, y, _, _ = rng.uniforms(key, rng.PLACE, c.U + p)
    provider.x_m, provider.y_m = x * c.area_m, y * c.area_m
    if c.mobility == mobility.HIGHWAY:
        provider.x_m, provider.y_m = mobility.roadside_m(p, c.P, c.area_m)
    provider.price, provider.speed, provider.bandwidth = c.default_price, c.default_speed, c.default_bandwidth
    provider.views, provider.power = c.default_views, c.default_power
    provider.loading, provider.loading_s = -1, 0.0
    free_gb = c.memory_gb
    for e in range(p, c.E, c.P):
        expert = w.experts[e]
        expert.backlog, expert.last_used = 0.0, 0
        expert.loaded = f.machines[e].memory_gb <= free_gb
        if expert.loaded:
            free_gb -= f.machines[e].memory_gb


@jit
def place_user(u: int, key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """A user stands at random, in a lane or at home, with a full battery and no request.

    Where users come and go, half are absent. The first local expert that fits is in memory.
    """
    user = w.users[u]
    x, y, target_x, target_y = rng.uniforms(key, rng.PLACE, u)
    user.x_m, user.y_m = x * c.area_m, y * c.area_m
    user.target_x_m, user.target_y_m = target_x * c.area_m, target_y * c.area_m
    user.heading = 1.0 if y >= 0.5 else -1.0
    if c.mobility == mobility.HIGHWAY:
        user.y_m = mobility.lane_m(y, c.area_m)
    elif c.at_home:
        user.x_m, user.y_m = w.providers[u % c.P].x_m, w.providers[u % c.P].y_m
    user.presence = PRESENT if c.churn == 0.0 or rng.uniforms(key, rng.CHURN, u)[0] < 0.5 else ABSENT
    user.battery_j, user.local_backlog_s = c.battery_j, 0.0
    user.memory_gb = f.device_memory_gb[int(rng.uniforms(key, rng.MEMORY, u)[0] * len(f.device_memory_gb))]
    user.loaded, user.handover = -1, False
    for place in range(c.X - 1, c.E - 1, -1):
        if f.machines[place].memory_gb <= user.memory_gb:
            user.loaded = place
    user.last_latency_s, user.requests = 0.0, 0
    user.open = False
    draw_taste(u, key, w, c, f)


@jit
def end_stays(key: rng.Key, w: Worlds, c: Any) -> None:
    """Users leave and come; the episode is over when all have left, or at the time limit."""
    left = 0
    for u in range(c.U):
        user = w.users[u]
        draw = rng.uniforms(key, rng.CHURN, u)[0] if c.churn > 0.0 else 1.0
        if user.presence == PRESENT:
            satisfied = c.requests_per_user > 0 and user.requests >= c.requests_per_user
            if satisfied or draw < c.churn:
                user.presence = LEFT
                user.terminated = True
                if user.open:
                    end_request(u, DROPPED, w)
        elif user.presence == ABSENT and draw < c.churn:
            user.presence = PRESENT
            user.joined = True
        left += user.presence == LEFT
    everybody_left = left == c.U
    w.clock.over = everybody_left or w.clock.slot >= c.slots
    if w.clock.over:
        for p in range(c.P):
            w.providers[p].terminated, w.providers[p].truncated = everybody_left, not everybody_left
        for u in range(c.U):
            w.users[u].truncated = w.users[u].presence == PRESENT


@jit
def shuffle_order(key: rng.Key, w: Worlds, c: Any) -> None:
    """Draw the order of service of the next slot (Fisher-Yates)."""
    for u in range(c.U):
        w.order[u] = u
    for i in range(c.U - 1, 0, -1):
        j = int(rng.uniforms(key, rng.ORDER, i)[0] * (i + 1))
        w.order[i], w.order[j] = w.order[j], w.order[i]
    for i in range(c.U):
        w.users[w.order[i]].turn = i
