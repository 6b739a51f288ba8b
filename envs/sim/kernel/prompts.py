"""What is asked for: tastes, the prompts of a request's parts, and what the gate says of the part that is next."""

from __future__ import annotations

from typing import Any

from ...physics import quality, rng
from ...physics.bitexact import exp
from ...physics.jit import jit
from ..state import OWN_TASTE, Params, Worlds


@jit
def draw_taste(u: int, key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """A user's mix of categories: Dirichlet about the table's own mix, kind by kind; that mix itself without tastes.

    With `OWN_TASTE` it is one category, that of the user's number.

    The concentration is `taste` times the number of categories times a category's share, so that among equally frequent
    categories it is the symmetric Dirichlet distribution of federated learning's benchmarks (arXiv 1909.06335).
    """
    G = len(f.shares)
    for k in range(len(f.kinds)):
        first, n = f.kinds[k].first_topic, f.kinds[k].topics
        if c.taste <= 0.0:
            for g in range(first, first + n):
                own = 1.0 if g == first + u % n else 0.0
                w.taste[u, g] = own if c.taste == OWN_TASTE else f.shares[g]
            continue
        highest = -1e300
        for g in range(first, first + n):
            w.taste[u, g] = rng.log_gamma_variate(c.taste * n * f.shares[g], key, rng.TASTE, u * G + g)
            highest = max(highest, w.taste[u, g])
        total = 0.0
        for g in range(first, first + n):
            w.taste[u, g] = exp(w.taste[u, g] - highest)
            total += w.taste[u, g]
        for g in range(first, first + n):
            w.taste[u, g] /= total


@jit
def draw_prompts(u: int, where: float, key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """The prompts of all parts of a new request: one for all, or one for each; `where` in [0, 1) draws the first."""
    prompts, kind = w.parts.prompt[u], f.kinds[w.users[u].kind]
    prompts[:] = draw_prompt(u, 0, where, w, f)
    if kind.own:
        topic = f.category[prompts[0]]
        for i in range(1, kind.subtasks):
            keep, where, _, _ = rng.uniforms(key, rng.PART, u * c.subtasks + i)
            if keep < kind.topic_share and f.topics[topic, i].count > 0:
                prompts[i] = one_of(topic, i, where, f)
            else:
                prompts[i] = draw_prompt(u, i, where, w, f)


@jit
def draw_prompt(u: int, i: int, where: float, w: Worlds, f: Params) -> int:
    """A prompt for part i of a user's request: a category by its taste, then each of its prompts alike."""
    kind = f.kinds[w.users[u].kind]
    total = 0.0
    for g in range(kind.first_topic, kind.first_topic + kind.topics):
        total += w.taste[u, g] * f.topics[g, i].weight
    rest, topic = where * total, -1
    share = 0.0
    for g in range(kind.first_topic, kind.first_topic + kind.topics):
        if f.topics[g, i].count > 0:
            rest, topic = rest - share, g
            share = w.taste[u, g] * f.topics[g, i].weight
            if rest < share:
                break
    return one_of(topic, i, rest / share, f)  # type: ignore[no-any-return]


@jit
def one_of(topic: int, i: int, where: float, f: Params) -> int:
    """A prompt of a category that part i may be; `where` in [0, 1) says which."""
    pool = f.topics[topic, i]
    return pool.first + min(pool.count - 1, int(where * pool.count))  # type: ignore[no-any-return]


@jit
def take_part(u: int, w: Worlds, f: Params) -> None:
    """Turn to the part of a user's request that is next."""
    user = w.users[u]
    prompt = w.parts.prompt[u, user.done]
    user.unread = user.unread or user.done == 0 or prompt != user.prompt
    user.prompt = prompt
    if f.context_bits[prompt] > 0.0:
        user.context_bits = f.context_bits[prompt]


@jit
def read_gates(key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """The gate reads every part that has just become the next one of a request."""
    for u in range(c.U):
        if w.users[u].open and w.users[u].unread:
            read_gate(u, key, w, c, f)
            w.users[u].unread = False


@jit
def read_gate(u: int, key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """What the gate says of each expert for a user's prompt."""
    prompt, kind = w.users[u].prompt, w.users[u].kind
    category = f.category[prompt]
    if f.kinds[kind].recorded_gate:
        for e in range(c.X):
            if f.serves[kind, e]:
                w.gate[u, e] = f.scores[prompt, e].gate
        return
    blocks = (c.X + 3) // 4
    for block in range(blocks):
        errors = rng.normals(key, rng.GATE, u * blocks + block)
        for i in range(4):
            e = 4 * block + i
            if e < c.X and f.serves[kind, e]:
                w.gate[u, e] = quality.gate_reading(
                    f.priors[category, e].quality, f.scores[prompt, e].quality, c.gate_skill, c.gate_noise * errors[i]
                )
