"""One slot of one world, told in the order it happens, and the loop over worlds.

Throughout, `w` is one world (a row of `state.Worlds`), `c` the constants and `f` the parameters. All randomness is a
pure function of the slot's key (see `rng`), so worlds never touch one another.
"""

from __future__ import annotations

from typing import Any

from ...physics import economics, rng
from ...physics.handle import held
from ...physics.jit import entry, inline, jit
from ..state import NONE, PRESENT, Ints, Links, Params, Parts, Worlds
from .channel import fade_links, move_users
from .episode import begin_episode, end_stays, shuffle_order
from .observations import Board, fill_board, mask_provider, mask_user, observe_provider, observe_user
from .prompts import read_gates
from .providers import drain_queues, finish_loading, steer_providers
from .requests import expire_requests, receive_requests, switch_period
from .users import choose_experts, serve_parts, share_bands


@entry
def step_worlds(first: int, last: int, handle: Any, user_actions: Ints, provider_actions: Ints) -> None:
    """Advance the worlds `first` to `last - 1` by one slot.

    Where an episode ends, its last views are kept and the next one begins.

    Args:
        first: Where to begin.
        last: Where to end.
        handle: Of the state (`Worlds`, updated in place), constants, parameters (recorded figures, levels, models),
            scratch (`Board`), observations and masks to write (`world.Views`), and the same, written only where an
            episode ends.
        user_actions: (B, U, J + 1), experts and power level; those of scripted users are overwritten.
        provider_actions: (B, P, 6), price, speed, bandwidth policy, load, views and transmit power.
    """
    worlds, c, f, board, views, final_views = held(handle)
    for b in range(first, last):
        w = row(b, worlds)
        step_world(user_actions[b], provider_actions[b], w, c, f)
        if w.clock.over:
            observe_world(b, board, w, c, f, final_views)
            w.clock.episode += 1
            begin_episode(key_of(w, c, 0), w, c, f)
        observe_world(b, board, w, c, f, views)


@entry
def reset_worlds(first: int, last: int, handle: Any) -> None:
    """Begin the episode that every world's clock names."""
    worlds, c, f, board, views, _ = held(handle)
    for b in range(first, last):
        w = row(b, worlds)
        begin_slot(w, c)
        begin_episode(key_of(w, c, 0), w, c, f)
        observe_world(b, board, w, c, f, views)


@entry
def observe_worlds(handle: Any) -> None:
    """Write the observations and masks of all worlds anew."""
    worlds, c, f, board, views, _ = held(handle)
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        observe_world(b, board, w, c, f, views)


@entry
def first_wrong(actions: Ints, limits: Ints) -> int:
    """Where in the flattened actions (B, agents, parts) the first one out of range stands; -1: nowhere."""
    parts = len(limits)
    flat = actions.reshape(-1)
    for i in range(len(flat)):
        if flat[i] < 0 or flat[i] >= limits[i % parts]:
            return i
    return -1


@inline
def row(b: int, worlds: Worlds) -> Worlds:
    """One world of many."""
    return Worlds(
        worlds.clock[b],
        worlds.providers[b],
        worlds.experts[b],
        worlds.users[b],
        Links(
            worlds.links.line_of_sight[b],
            worlds.links.distance_m[b],
            worlds.links.shadow[b],
            worlds.links.fading_re[b],
            worlds.links.fading_im[b],
            worlds.links.gain_db[b],
        ),
        Parts(
            worlds.parts.prompt[b],
            worlds.parts.expert[b],
            worlds.parts.quality[b],
            worlds.parts.work[b],
            worlds.parts.gate[b],
            worlds.parts.aspects[b],
        ),
        worlds.gate[b],
        worlds.taste[b],
        worlds.asked[b],
        worlds.share[b],
        worlds.order[b],
    )


@jit
def key_of(w: Worlds, c: Any, slot: int) -> rng.Key:
    """The random stream of a slot of the present episode."""
    return rng.stream(c.seed, w.clock.world, w.clock.episode, slot)


@jit
def step_world(user_actions: Ints, provider_actions: Ints, w: Worlds, c: Any, f: Params) -> None:
    """One slot: users choose, the air is shared, experts serve, providers steer, and the world moves on.

    Providers decide together with the users, but what they decide holds from the next slot on: what users were shown is
    what they get and what they pay.
    """
    settle_slot(user_actions, provider_actions, w, c, f)
    pay_rewards(w, c)

    w.clock.slot += 1
    key = key_of(w, c, w.clock.slot)
    end_stays(key, w, c)
    move_users(key, w, c, f)
    fade_links(key, w, c, f)
    switch_period(key, w, c)
    receive_requests(key, w, c, f)
    read_gates(key, w, c, f)
    shuffle_order(key, w, c)


@jit
def settle_slot(user_actions: Ints, provider_actions: Ints, w: Worlds, c: Any, f: Params) -> None:
    """What follows from what everybody chose: all of a slot that is worth something. It draws no random number."""
    begin_slot(w, c)
    choose_experts(user_actions, w, c, f)
    share_bands(user_actions, w, c, f)
    serve_parts(user_actions, w, c, f)
    expire_requests(w, c, f)
    drain_queues(w, c, f)
    finish_loading(w, c)
    steer_providers(provider_actions, w, c, f)


@jit
def begin_slot(w: Worlds, c: Any) -> None:
    """Nothing has happened yet in this slot."""
    w.clock.over, w.clock.energy_j = False, 0.0
    for p in range(c.P):
        provider = w.providers[p]
        provider.invalid, provider.terminated, provider.truncated = False, False, False
        provider.served, provider.late, provider.power_w = 0, 0, c.idle_power_w
        provider.reward, provider.revenue, provider.electricity = 0.0, 0.0, 0.0
        provider.loading_cost, provider.late_cost, provider.asked_for = 0.0, 0.0, 0.0
    for e in range(c.E):
        w.experts[e].busy_s = 0.0
    w.asked[:], w.share[:] = -1, 0.0
    for u in range(c.U):
        user = w.users[u]
        user.acted, user.refused, user.invalid = False, False, False
        user.arrived, user.joined, user.terminated, user.truncated = False, False, False, False
        user.placed, user.ended = -1, NONE
        user.part_latency_s, user.quality, user.latency_s, user.hallucination = 0.0, 0.0, 0.0, 0.0
        user.reward, user.earned, user.payment, user.energy, user.latency = 0.0, 0.0, 0.0, 0.0, 0.0


@jit
def pay_rewards(w: Worlds, c: Any) -> None:
    """Sum every agent's terms, and mix what is its own with what is everybody's.

    With credit for the others' outcome (`rewards.others`), what users pay to providers that are agents is left out: it
    only moves from one to another.
    """
    credited = c.others > 0.0
    total, agents = 0.0, c.P
    for p in range(c.P):
        provider = w.providers[p]
        if credited:
            provider.reward = provider_outcome(p, w, c)
        else:
            provider.reward = provider.revenue + provider.electricity + provider.loading_cost + provider.late_cost
        total += provider.reward
    for u in range(c.U):
        user = w.users[u]
        if credited:
            user.reward = user_outcome(u, w, c)
        else:
            user.reward = user.earned + user.payment + user.energy + user.latency
        total += user.reward
        agents += user.acted
    mean = total / agents
    for p in range(c.P):
        w.providers[p].reward = mixed(w.providers[p].reward, total, mean, c)
    for u in range(c.U):
        if w.users[u].acted:
            w.users[u].reward = mixed(w.users[u].reward, total, mean, c)


@jit
def user_outcome(u: int, w: Worlds, c: Any) -> float:
    """What a user got in the slot; payments to providers that are agents only move from one to another."""
    user = w.users[u]
    payment = 0.0 if c.providers_act else user.payment
    return user.earned + payment + user.energy + user.latency  # type: ignore[no-any-return]


@jit
def provider_outcome(p: int, w: Worlds, c: Any) -> float:
    """What a provider's service cost it in the slot; nothing where providers are no agents."""
    provider = w.providers[p]
    if not c.providers_act:
        return 0.0
    return provider.electricity + provider.loading_cost + provider.late_cost  # type: ignore[no-any-return]


@jit
def mixed(own: float, total: float, mean: float, c: Any) -> float:
    """What an agent is paid, given its own outcome, that of all, and the mean."""
    if c.others > 0.0:
        return economics.credit(own, total, c.others)  # type: ignore[no-any-return]
    return economics.mix(own, mean, c.team)  # type: ignore[no-any-return]


@jit
def observe_world(b: int, board: Board, w: Worlds, c: Any, f: Params, views: Any) -> None:
    """Write the observations and masks of all agents; a user that has just left is shown its last view."""
    fill_board(board, w, c, f)
    for u in range(c.U):
        if w.users[u].presence == PRESENT or w.users[u].terminated:
            observe_user(u, board, w, c, f, views.users[b, u])
        else:
            views.users[b, u, :] = 0.0
        mask_user(u, board, w, c, f, views.user_masks[b, u])
    for p in range(c.P):
        observe_provider(p, board, w, c, f, views.providers[b, p])
        mask_provider(p, w, c, f, views.provider_masks[b, p])
