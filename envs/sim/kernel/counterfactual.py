"""What every user's choice did to all others: the slot is settled again with that user waiting.

What it takes from the others is the Pigouvian cost of the choice; a learner that is paid its own outcome and this is
paid a difference reward (Wolpert and Tumer, "Optimal payoff functions for members of collectives", 2001).
"""

from __future__ import annotations

from typing import Any

from ...physics.jit import entry, inline, jit
from ..state import Floats, Ints, Params, Parts, Worlds
from .step import provider_outcome, row, settle_slot, user_outcome


@entry
def weigh_choices(
    worlds: Worlds,
    trial: Worlds,
    c: Any,
    f: Params,
    user_actions: Ints,
    provider_actions: Ints,
    chosen: Ints,
    out: Floats,
) -> None:
    """Outcome of all other agents in this slot, less what it would be if the user waited; 0 for users who wait.

    Args:
        worlds: State before the slot; stays as it is.
        trial: State of one world, scratch.
        c: Constants.
        f: Parameters.
        user_actions: (B, U, J + 1), of all users.
        provider_actions: (B, P, 6).
        chosen: (U, J + 1), scratch.
        out: (B, U), credits.
    """
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        t = in_place_of(w, row(0, trial))
        together = 0.0
        for u in range(-1, c.U - c.scripted):  # -1: everybody does what was chosen
            if u >= 0 and not asks(user_actions[b, u], c):
                out[b, u] = 0.0
                continue
            restore(t, w, c)
            for v in range(c.U):
                for part in range(c.J + 1):
                    chosen[v, part] = user_actions[b, v, part]
            if u >= 0:
                for j in range(c.J):
                    chosen[u, j] = c.X
                chosen[u, c.J] = 0
            settle_slot(chosen, provider_actions[b], t, c, f)
            total = 0.0
            for p in range(c.P):
                total += provider_outcome(p, t, c)
            for v in range(c.U - c.scripted):
                total += user_outcome(v, t, c)
                if u < 0:
                    out[b, v] = user_outcome(v, t, c)
            if u < 0:
                together = total
            else:
                out[b, u] = together - out[b, u] - (total - user_outcome(u, t, c))


@inline
def in_place_of(w: Worlds, trial: Worlds) -> Worlds:
    """A world in which a slot of another can be settled: what settling does not change is shared."""
    return Worlds(
        trial.clock,
        trial.providers,
        trial.experts,
        trial.users,
        w.links,
        trial.parts,
        w.gate,
        w.taste,
        trial.asked,
        trial.share,
        w.order,
    )


@jit
def restore(t: Worlds, w: Worlds, c: Any) -> None:
    """Put a trial back to how the world stands; `begin_slot` clears the rest."""
    t.clock.world, t.clock.episode, t.clock.slot = w.clock.world, w.clock.episode, w.clock.slot
    t.clock.busy_period, t.clock.trace_start, t.clock.phase = w.clock.busy_period, w.clock.trace_start, w.clock.phase
    for p in range(c.P):
        t.providers[p] = w.providers[p]
    for e in range(c.E):
        t.experts[e] = w.experts[e]
    for u in range(c.U):
        t.users[u] = w.users[u]
        for i in range(w.parts.prompt.shape[-1]):
            copy_part(t.parts, w.parts, u, i)


@jit
def copy_part(target: Parts, source: Parts, u: int, i: int) -> None:
    """Copy one part of a user's request."""
    target.prompt[u, i], target.expert[u, i] = source.prompt[u, i], source.expert[u, i]
    target.quality[u, i], target.work[u, i] = source.quality[u, i], source.work[u, i]
    target.gate[u, i] = source.gate[u, i]
    for a in range(source.aspects.shape[-1]):
        target.aspects[u, i, a] = source.aspects[u, i, a]


@jit
def asks(action: Ints, c: Any) -> bool:
    """Whether a user asks any expert."""
    for j in range(c.J):
        if action[j] < c.X:
            return True
    return False
