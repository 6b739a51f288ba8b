"""The arrays of B worlds, and the parameters they share; axes and units stand beside each name.

B worlds, U users, P providers, E hosted experts, X = E + L places for a part of a request, C catalogue places per
provider, K parts of a request at most, N prompts in use, G categories, M kinds of requests (one a quality table).
Places E to X - 1 are a user's own L local experts (one that is always masked, if there are none); X is *wait*.
Records hold scalars only, so that one compiled kernel
serves every size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ABSENT, PRESENT, LEFT = 0, 1, 2  # a user before, during and after its stay
NONE, ON_TIME, LATE, EXPIRED, DROPPED = 0, 1, 2, 3, 4  # how a request ended in the last slot
ENDINGS = ("none", "on_time", "late", "expired", "dropped")
USER_TERMS = ("earned", "payment", "energy", "latency")
PROVIDER_TERMS = ("revenue", "electricity", "loading_cost", "late_cost")


def record(*fields: tuple[str, Any]) -> np.dtype[Any]:
    """A record of scalars or of records; a field spec may name several fields of one type, separated by blanks."""
    return np.dtype([(name, kind) for names, kind in fields for name in names.split()], align=True)


class Params(NamedTuple):
    """What never changes: recorded and modelled figures, the levels of actions, and models from outside."""

    scores: Any  # (N, X) SCORE of the prompts in use; 0 where an expert cannot serve the prompt
    aspects: Floats  # (N, X, A) the recorded columns that the prompt's quality rule reads
    priors: Any  # (G, X) SCORE, training-split means
    prior_aspects: Floats  # (G, X, A)
    work_spread: Floats  # (G, X) training-split standard deviation of a part's work
    category: Ints  # (N,)
    kinds: Any  # (M,) KIND
    kind: Ints  # (N,)
    serves: NDArray[np.bool_]  # (M, X) which experts can serve a kind
    machines: Any  # (X,) MACHINE
    device_power_w: Floats  # (H,) transmit-power levels
    device_memory_gb: Floats  # levels of a user's memory
    price_levels: Floats  # multiples of the list price
    speed_levels: Floats  # multiples of nominal speed
    view_levels: Floats  # rendered views of an output
    power_factors: Floats  # multiples of the nominal downlink power
    trace: Floats  # (T,) requests per slot over their mean
    models: Any  # models.Pointers


class Links(NamedTuple):
    """The radio links of all users to all providers, an array for each quantity."""

    line_of_sight: NDArray[np.bool_]  # (B, U, P)
    distance_m: Floats  # (B, U, P), horizontal
    shadow: Floats  # (B, U, P), process of unit variance
    fading_re: Floats  # (B, U, P), process of unit variance
    fading_im: Floats  # (B, U, P)
    gain_db: Floats  # (B, U, P), power gain


class Worlds(NamedTuple):
    """Everything that changes, and what happened in the last slot, as record arrays."""

    clock: Any  # (B,) CLOCK
    providers: Any  # (B, P) PROVIDER
    experts: Any  # (B, E) EXPERT
    users: Any  # (B, U) USER
    links: Links
    gate: Floats  # (B, U, X) readings of the gate
    parts: Ints  # (B, U, K) experts of the parts so far
    order: Ints  # (B, U) users in the order of service


SCORE = record(
    ("quality", float),  # [0, 1]
    ("work bits", float),  # of one part: units of compute, output size
)
MACHINE = record(
    ("is_cloud", bool),
    ("seconds_per_unit power_w", float),  # at nominal speed
    ("price", float),  # list price, credits per unit of work
    ("memory_gb", float),  # 0 for cloud experts
    ("hallucination", float),  # share of answers with a claim that the context does not bear; 1 where unpublished
)
KIND = record(
    ("rule subtasks deadline_slots", int),
    ("first count", int),  # its prompts among those in use
    ("start share", float),  # its stretch of [0, 1) when a request is drawn
    ("value_low value_high context_bits coherence temperature", float),
)
CLOCK = record(
    ("over", bool),  # the episode ended in the last slot
    ("world episode slot", int),  # identity in the random stream; number of the episode; slots since its start
    ("busy_period trace_start", int),  # 1 in the busy state of bursty arrivals; where in the trace the episode began
    ("phase", float),  # drawn in [0, 1) for the episode
    ("energy_j", float),  # spent in the last slot by users and providers
)
PROVIDER = record(
    ("x_m y_m", float),
    ("price speed bandwidth views power", int),  # levels and policy in force
    ("loading", int),  # expert being read from disk, -1: none
    ("loading_s", float),  # seconds of it left
    # of the last slot
    ("invalid terminated truncated", bool),  # a masked action was played; the episode ended
    ("served late", int),  # parts, and those of them that came after their deadline
    ("power_w", float),  # mean
    ("reward revenue electricity loading_cost late_cost", float),  # credits; costs are negative
)
EXPERT = record(
    ("loaded", bool),
    ("last_used", int),  # slot of the last placement or load
    ("backlog", float),  # units of work
    ("busy_s", float),  # of the last slot
)
USER = record(
    ("presence", int),  # ABSENT, PRESENT or LEFT
    ("x_m y_m target_x_m target_y_m", float),  # place and waypoint
    ("heading", float),  # on a highway: -1 or 1
    ("battery_j local_backlog_s", float),  # energy left; seconds of work queued on the user
    ("memory_gb", float),
    ("loaded", int),  # the local expert in memory, as a place; -1: none
    ("serving", int),  # the provider that serves it (`radio.access` serving)
    ("last_latency_s", float),  # of the last request that was composed
    ("requests", int),  # that have ended
    ("turn", int),  # place in the next slot's order of service
    # of the request in hand
    ("open", bool),
    ("strict", bool),  # only experts of a low hallucination rate may serve it
    ("prompt kind age done", int),  # row of `scores`; kind; slots since arrival; parts placed
    ("last_expert", int),  # of the previous part, -1: none
    ("value", float),  # credits
    ("context_bits local_budget", float),  # upload per part; units the local experts may still do
    ("output_bits coverage_sum", float),  # of the parts so far
    ("hallucination_sum work_sum", float),  # rate x work and work of the parts so far
    ("finish_s", float),  # latest end of a part, seconds after arrival
    # of the last slot
    ("acted refused invalid", bool),  # was there; met a full queue; played a masked action
    ("arrived joined", bool),  # a request came; the user came
    ("handover", bool),  # the serving provider changed
    ("terminated truncated", bool),
    ("placed ended", int),  # place of the part or -1; NONE, ON_TIME, LATE, EXPIRED or DROPPED
    ("share part_latency_s", float),  # of the provider's band; from slot start to delivery
    ("quality latency_s hallucination", float),  # of a request composed in the slot
    ("reward earned payment energy latency", float),  # credits; all but `earned` are negative
)


def allocate(identities: Ints, c: Any) -> Worlds:
    """Zeroed state of B worlds; `identities` are their places in the random stream."""
    B, P, U, E, X = len(identities), int(c.P), int(c.U), int(c.E), int(c.X)

    def records(kind: np.dtype[Any], *shape: int) -> Any:
        return np.zeros(shape, kind).view(np.recarray)

    worlds = Worlds(
        clock=records(CLOCK, B),
        providers=records(PROVIDER, B, P),
        experts=records(EXPERT, B, E),
        users=records(USER, B, U),
        links=Links(np.zeros((B, U, P), np.bool_), *(np.zeros((B, U, P)) for _ in Links._fields[1:])),
        gate=np.zeros((B, U, X)),
        parts=np.zeros((B, U, int(c.subtasks)), np.int64),
        order=np.zeros((B, U), np.int64),
    )
    worlds.clock.world[:] = identities
    return worlds


def arrays(group: tuple[Any, ...]) -> Iterator[Any]:
    """The arrays of a (nested) named tuple, in order."""
    for value in group:
        if isinstance(value, tuple):
            yield from arrays(value)
        else:
            yield value
