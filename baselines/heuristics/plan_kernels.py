"""Assignments of users by what agents know, each for itself or for all; compiled, over many worlds.

`w`, `c` and `f` are as in the kernel: one world, the constants, the parameters. A plan is an array (U, J) of places,
with X for waiting; J is 1 unless all parts of a request are asked for in one slot.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from edge_experts.envs.physics.jit import entry
from edge_experts.envs.sim.kernel.rules import access_of, expected_work, is_among, may_place
from edge_experts.envs.sim.kernel.step import row
from edge_experts.envs.sim.state import Floats, Ints, Params, Parts, Worlds

from .expected_worth import (
    IMPOSSIBLE,
    delay_s,
    expect_part,
    expected_worth,
    is_scripted,
    least_worth,
    social_gain,
)


class Scratch(NamedTuple):
    """What a plan needs besides the world."""

    backlog: Floats  # (E,) units of work
    on_air: Floats  # (P,) parts on each provider's air
    trial: Parts  # (K + 1,) and (K + 1, A): a request's parts, if one more is placed


@entry
def plan_myopic(worlds: Worlds, c: Any, f: Params, plans: Ints, scratch: Scratch, congestion: float) -> None:
    """Every user takes the choice of the highest expected private reward, as if nobody else chose in this slot.

    With a price on the backlog that it leaves behind: `congestion`, credits a second.
    """
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        share = min(1.0, c.P / c.U)  # an average share of a band
        for u in range(c.U):
            for j in range(c.J):
                best, plans[b, u, j] = least_worth(j, c), c.X
                for e in range(c.X):
                    if may_place(u, e, w, c, f) and not is_among(e, plans[b, u], j):
                        backlog = w.experts[min(e, c.E - 1)].backlog
                        worth = expected_worth(u, e, j, backlog, share, False, scratch.trial, w, c, f)
                        if e < c.E and congestion > 0.0:
                            worth -= congestion * delay_s(u, e, backlog, w, c, f)
                        if worth > best:
                            best, plans[b, u, j] = worth, e
                if plans[b, u, j] < c.X:
                    expect_part(u, plans[b, u, j], j, scratch.trial, w, c, f)


@entry
def plan_coordinated(
    worlds: Worlds, c: Any, f: Params, plans: Ints, scratch: Scratch, congestion: float, single: bool
) -> None:
    """The same knowledge for the good of all: users choose one after another and see the choices before.

    Backlog left behind has a price: `congestion`, credits a second. Where providers are agents too, payments stay
    within the game, so electricity counts instead. With `single`, all parts of a request go to one expert, which is
    chosen for what it is expected to be worth for all of them; only where that one is not legal any more, to another.
    """
    backlog, on_air = scratch.backlog, scratch.on_air
    for b in range(len(worlds.clock)):
        w = row(b, worlds)
        for e in range(c.E):
            backlog[e] = w.experts[e].backlog
        on_air[:] = 0.0
        for u in w.order:
            bound_to = w.users[u].last_expert if single else -1
            if bound_to >= 0 and not may_place(u, bound_to, w, c, f):
                bound_to = -1
            for j in range(c.J):
                best, plans[b, u, j] = least_worth(j, c), c.X
                if is_scripted(u, c):
                    continue  # nobody knows what it will do
                for e in range(c.X):
                    if bound_to >= 0 and e != bound_to:
                        continue
                    if may_place(u, e, w, c, f) and not is_among(e, plans[b, u], j):
                        share = 1.0 / (1.0 + on_air[access_of(u, e, w, c)])
                        queued = backlog[min(e, c.E - 1)]
                        worth = expected_worth(u, e, j, queued, share, single, scratch.trial, w, c, f)
                        if e < c.E and worth > IMPOSSIBLE:
                            worth += social_gain(u, e, queued, congestion, w, c, f)
                        if worth > best:
                            best, plans[b, u, j] = worth, e
                e = plans[b, u, j]
                if e < c.X:
                    expect_part(u, e, j, scratch.trial, w, c, f)
                if e < c.E:
                    backlog[e] += expected_work(u, e, w, c, f)
                    on_air[access_of(u, e, w, c)] += 1.0
