"""The arrays of B worlds, and the parameters they share; axes and units stand beside each name.

B worlds, U users, P providers, E hosted experts, X = E + L places for a part of a request, C catalogue places per
provider, K parts of a request at most, J of them asked for in one slot (K if `requests.dispatch` is parallel, else 1),
N prompts in use, G categories, A aspects, M kinds of requests (one a quality table).
Places E to X - 1 are a user's own L local experts (one that is always masked, if there are none); X is *wait*.
Records hold scalars only, so that one compiled kernel serves every size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ABSENT, PRESENT, LEFT = 0, 1, 2  # a user before, during and after its stay
OWN_TASTE = -1.0  # in place of a concentration: every user asks for one category
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
    topics: Any  # (G, K) TOPIC, the prompts of a category that a part may be
    shares: Floats  # (G,) of each category among the prompts of its kind
    context_bits: Floats  # (N,) recorded bits of features that are sent up instead of a context; 0: none
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


class Parts(NamedTuple):
    """The parts of all requests in hand, an array for each quantity; of what was served, what it is worth."""

    prompt: Ints  # (B, U, K) rows of `Params.scores`
    expert: Ints  # (B, U, K) the place that served it
    quality: Floats  # (B, U, K) recorded
    work: Floats  # (B, U, K) units
    gate: Floats  # (B, U, K) what the gate had said of the expert
    aspects: Floats  # (B, U, K, A) recorded


class Worlds(NamedTuple):
    """Everything that changes, and what happened in the last slot, as record arrays."""

    clock: Any  # (B,) CLOCK
    providers: Any  # (B, P) PROVIDER
    experts: Any  # (B, E) EXPERT
    users: Any  # (B, U) USER
    links: Links
    parts: Parts
    gate: Floats  # (B, U, X) readings of the gate for the part that is next
    taste: Floats  # (B, U, G) a user's mix of categories, of each kind summing to 1
    asked: Ints  # (B, U, J) places asked in the last slot, -1: none
    share: Floats  # (B, U, J) of the provider's band
    order: Ints  # (B, U) users in the order of service


SCORE = record(
    ("quality", float),  # [0, 1]
    ("work bits", float),  # of one part: units of compute, output size
    # of one part: units recorded, and units to pay for; both are `work` where rows say neither what they took nor cost
    ("units billed", float),
    ("gate", float),  # the recorded reading, where there is one
)
MACHINE = record(
    ("is_cloud", bool),
    ("seconds_per_unit power_w", float),  # at nominal speed
    ("price", float),  # list price, credits per unit of work
    ("memory_gb", float),  # 0 for cloud experts
    ("hallucination", float),  # share of answers with a claim that the context does not bear; 1 where unpublished
)
TOPIC = record(
    ("first count", int),  # prompts among those in use
    ("weight", float),  # how many there are to a share of 1 of the category
)
KIND = record(
    ("rule subtasks deadline_slots", int),
    ("first_topic topics", int),  # its categories
    ("own recorded_gate", bool),  # every part has a prompt of its own; the table has readings of a gate
    ("topic_share", float),  # how often a part keeps the first one's category
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
    ("asked_for", float),  # weights of the parts that share its band
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
    ("prompt kind age done", int),  # row of `scores` of the part that is next; kind; slots since arrival; parts served
    ("unread", bool),  # the gate has not read this part yet
    ("last_expert", int),  # of the part before, -1: none
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
    (
        "placed ended",
        int,
    ),  # place of the part (of several, the last one) or -1; NONE, ON_TIME, LATE, EXPIRED or DROPPED
    ("part_latency_s", float),  # from slot start to delivery; of several parts, the slowest one's
    ("quality latency_s hallucination", float),  # of a request composed in the slot
    ("reward earned payment energy latency", float),  # credits; all but `earned` are negative
)


def allocate(identities: Ints, c: Any, f: Params) -> Worlds:
    """Zeroed state of B worlds; `identities` are their places in the random stream."""
    B, P, U, E, X, K = len(identities), int(c.P), int(c.U), int(c.E), int(c.X), int(c.subtasks)

    def records(kind: np.dtype[Any], *shape: int) -> Any:
        return np.zeros(shape, kind).view(np.recarray)

    worlds = Worlds(
        clock=records(CLOCK, B),
        providers=records(PROVIDER, B, P),
        experts=records(EXPERT, B, E),
        users=records(USER, B, U),
        links=Links(np.zeros((B, U, P), np.bool_), *(np.zeros((B, U, P)) for _ in Links._fields[1:])),
        parts=Parts(
            prompt=np.zeros((B, U, K), np.int64),
            expert=np.zeros((B, U, K), np.int64),
            quality=np.zeros((B, U, K)),
            work=np.zeros((B, U, K)),
            gate=np.zeros((B, U, K)),
            aspects=np.zeros((B, U, K, f.aspects.shape[-1])),
        ),
        gate=np.zeros((B, U, X)),
        taste=np.zeros((B, U, len(f.priors))),
        asked=np.full((B, U, int(c.J)), -1),
        share=np.zeros((B, U, int(c.J))),
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
