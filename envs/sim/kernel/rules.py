"""What is allowed and what it costs: shared by the kernel, the masks and the heuristics.

Here and in the kernel `w` is one world (a row of `state.Worlds`), `c` the constants, `f` the parameters.
"""

from __future__ import annotations

from typing import Any

from ...physics import quality
from ...physics.jit import jit
from ..state import PRESENT, Params, Parts, Worlds


@jit
def provider_of(expert: int, c: Any) -> int:
    """The host of an expert."""
    return expert % c.P  # type: ignore[no-any-return]


@jit
def access_of(u: int, expert: int, w: Worlds, c: Any) -> int:
    """The provider whose air a user uses to reach an expert: its host, or the one that serves the user."""
    return w.users[u].serving if c.serving else provider_of(expert, c)  # type: ignore[no-any-return]


@jit
def is_home(u: int, p: int, c: Any) -> bool:
    """Whether a user and a provider are one client."""
    return c.at_home and u % c.P == p  # type: ignore[no-any-return]


@jit
def is_reachable(u: int, p: int, w: Worlds, c: Any) -> bool:
    """Whether a user has a usable link to a provider."""
    if not c.has_gaps or is_home(u, p, c):
        return True
    return w.links.gain_db[u, p] >= c.least_gain_db and w.links.distance_m[u, p] <= c.range_m  # type: ignore[no-any-return]


@jit
def is_available(expert: int, w: Worlds, c: Any) -> bool:
    """Whether an expert is loaded and works."""
    if expert == c.outage_expert and c.outage_slot <= w.clock.slot < c.outage_end:
        return False
    return w.experts[expert].loaded  # type: ignore[no-any-return]


@jit
def may_act(u: int, w: Worlds) -> bool:
    """Whether a user is there, with a request in hand and energy to serve it."""
    user = w.users[u]
    return user.presence == PRESENT and user.open and user.battery_j > 0.0  # type: ignore[no-any-return]


@jit
def suits(u: int, place: int, w: Worlds, c: Any, f: Params) -> bool:
    """Whether an expert can do what a user's request asks for."""
    user = w.users[u]
    if not f.serves[user.kind, place]:
        return False
    if user.strict and f.machines[place].hallucination > c.max_hallucination:
        return False
    return not (c.distinct and is_among(place, w.parts.expert[u], user.done))


@jit
def is_among(place: int, places: Any, n: int) -> bool:
    """Whether a place is one of the first `n` of some places."""
    for i in range(n):
        if places[i] == place:
            return True
    return False


@jit
def can_run(u: int, place: int, w: Worlds, f: Params) -> bool:
    """Whether a user has budget and memory for one of its local experts."""
    user = w.users[u]
    return user.local_budget > 0.0 and f.machines[place].memory_gb <= user.memory_gb  # type: ignore[no-any-return]


@jit
def may_place(u: int, place: int, w: Worlds, c: Any, f: Params) -> bool:
    """Whether a user may place a part on an expert (E to X - 1: a local one)."""
    if not may_act(u, w) or not suits(u, place, w, c, f):
        return False
    if place >= c.E:
        return can_run(u, place, w, f)
    return is_available(place, w, c) and is_reachable(u, access_of(u, place, w, c), w, c)


@jit
def can_place(u: int, w: Worlds, c: Any, f: Params) -> bool:
    """Whether a user may place a part anywhere."""
    for place in range(c.X):
        if may_place(u, place, w, c, f):
            return True
    return False


@jit
def expected_work(u: int, e: int, w: Worlds, c: Any, f: Params) -> float:
    """What a user expects an expert's answer to its next part to take: the mean of the category, or what it will."""
    prompt = w.users[u].prompt
    return f.scores[prompt, e].work if c.length_known else f.priors[f.category[prompt], e].work  # type: ignore[no-any-return]


@jit
def expected_bill(u: int, e: int, w: Worlds, c: Any, f: Params) -> float:
    """What a user expects to be billed for an expert's answer to its next part, in units of work, likewise."""
    prompt = w.users[u].prompt
    return f.scores[prompt, e].billed if c.length_known else f.priors[f.category[prompt], e].billed  # type: ignore[no-any-return]


@jit
def expected_units(u: int, e: int, w: Worlds, c: Any, f: Params) -> float:
    """How many units a user expects an expert's answer to its next part to weigh among its parts, likewise."""
    prompt = w.users[u].prompt
    return f.scores[prompt, e].units if c.length_known else f.priors[f.category[prompt], e].units  # type: ignore[no-any-return]


@jit
def expected_bits(u: int, e: int, w: Worlds, c: Any, f: Params) -> float:
    """How large a user expects an expert's answer to its next part to be, likewise."""
    prompt = w.users[u].prompt
    return f.scores[prompt, e].bits if c.length_known else f.priors[f.category[prompt], e].bits  # type: ignore[no-any-return]


@jit
def may_decide(w: Worlds, c: Any) -> bool:
    """Whether providers decide in this slot."""
    return w.clock.slot % c.period == 0  # type: ignore[no-any-return]


@jit
def may_load(p: int, place: int, w: Worlds, c: Any) -> bool:
    """Whether a provider may start to load the expert at a place (1..C) of its catalogue."""
    expert = (place - 1) * c.P + p
    return may_decide(w, c) and expert < c.E and w.providers[p].loading < 0 and not w.experts[expert].loaded


@jit
def price_of(expert: int, w: Worlds, c: Any, f: Params) -> float:
    """What the host asks per unit of work, credits."""
    price = f.price_levels[w.providers[provider_of(expert, c)].price] * f.machines[expert].price
    return price * c.price_factor if w.clock.slot >= c.price_slot else price  # type: ignore[no-any-return]


@jit
def seconds_of(place: int, w: Worlds, c: Any, f: Params) -> float:
    """Seconds per unit of work at the announced speed."""
    if place >= c.E:
        return f.machines[place].seconds_per_unit  # type: ignore[no-any-return]
    return f.machines[place].seconds_per_unit / f.speed_levels[w.providers[provider_of(place, c)].speed]  # type: ignore[no-any-return]


@jit
def loading_s(u: int, place: int, w: Worlds, c: Any, f: Params) -> float:
    """Seconds until a user has a local expert in memory."""
    if place < c.E or w.users[u].loaded == place:
        return 0.0
    return f.machines[place].memory_gb / c.device_load_gb_per_s  # type: ignore[no-any-return]


@jit
def answers_of(u: int, w: Worlds) -> Parts:
    """The parts of one user's request."""
    parts = w.parts
    return Parts(parts.prompt[u], parts.expert[u], parts.quality[u], parts.work[u], parts.gate[u], parts.aspects[u])


@jit
def compose(k: int, parts: Parts, n: int, f: Params) -> float:
    """What the first `n` parts of a request of kind `k` are worth together, by the quality rule of the kind.

    Args:
        k: Kind.
        parts: (K,) and (K, A), of one request: as recorded, or what is expected.
        n: How many of them count.
        f: Params.
    """
    kind = f.kinds[k]
    if kind.rule == quality.TEXT:
        return quality.compose_text(parts.expert, n, parts.quality, parts.work, kind.coherence)
    if kind.rule == quality.VIDEO:
        return quality.compose_video(parts.expert, n, parts.quality, kind.coherence)
    if kind.rule == quality.OBJECT3D:
        return quality.compose_object3d(parts.expert, n, parts.aspects, kind.coherence)
    if kind.rule == quality.ENSEMBLE:
        return quality.compose_ensemble(n, parts.quality, parts.gate, kind.temperature)
    return f.models.quality(  # type: ignore[no-any-return]
        parts.expert, n, parts.quality, parts.work, parts.aspects, parts.gate, kind.coherence, kind.temperature
    )
