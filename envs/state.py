"""The arrays of B worlds, and the figures they share; axes and units stand beside each name.

B worlds, U devices, P providers, E experts, C catalogue places per provider, N prompts in use, G categories.
Expert index E is a device's own local expert, E + 1 is *wait*. Records hold scalars only, so that one compiled kernel
serves every size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ABSENT, PRESENT, LEFT = 0, 1, 2  # a device before, during and after its stay
NONE, ON_TIME, LATE, EXPIRED, DROPPED = 0, 1, 2, 3, 4  # how a request ended in the last slot
ENDINGS = ("none", "on_time", "late", "expired", "dropped")
DEVICE_TERMS = ("earned", "payment", "energy", "latency")
PROVIDER_TERMS = ("revenue", "electricity", "loading_cost", "late_cost")


def record(*fields: tuple[str, type]) -> np.dtype[Any]:
    """A record of scalars; a field spec may name several fields of one type, separated by blanks."""
    return np.dtype([(name, kind) for names, kind in fields for name in names.split()], align=True)


class Figures(NamedTuple):
    """What never changes: recorded and modelled figures, and the levels of actions.

    In the axis E+1 the last column is the devices' own local expert.
    """

    scores: Any  # (N, E+1) SCORE of the prompts in use
    priors: Any  # (G, E+1) SCORE, training-split means
    category: Ints  # (N,)
    machines: Any  # (E+1,) MACHINE
    device_power_w: Floats  # (H,) transmit-power levels
    price_levels: Floats  # multiples of the list price
    speed_levels: Floats  # multiples of nominal speed
    trace: Floats  # (T,) requests per slot over their mean


class Links(NamedTuple):
    """The radio links of all devices to all providers, an array for each quantity."""

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
    devices: Any  # (B, U) DEVICE
    links: Links
    gate: Floats  # (B, U, E+1) readings of the gate
    order: Ints  # (B, U) devices in the order of service


SCORE = record(
    ("quality", float),  # [0, 1]
    ("work bits", float),  # of one segment: units of compute, output size
)
MACHINE = record(
    ("is_cloud", bool),
    ("seconds_per_unit power_w", float),  # at nominal speed
    ("price", float),  # list price, credits per unit of work
    ("memory_gb", float),  # 0 for cloud experts
)
CLOCK = record(
    ("over", bool),  # the episode ended in the last slot
    ("world episode slot", int),  # identity in the random stream; number of the episode; slots since its start
    ("busy_period trace_start", int),  # 1 in the busy state of bursty arrivals; where in the trace the episode began
    ("energy_j", float),  # spent in the last slot by devices and providers
)
PROVIDER = record(
    ("x_m y_m", float),
    ("price speed bandwidth", int),  # levels and policy in force
    ("loading", int),  # expert being read from disk, -1: none
    ("loading_s", float),  # seconds of it left
    # of the last slot
    ("invalid terminated truncated", bool),  # a masked action was played; the episode ended
    ("served late", int),  # segments, and those of them that came after their deadline
    ("power_w", float),  # mean
    ("reward revenue electricity loading_cost late_cost", float),  # credits; costs are negative
)
EXPERT = record(
    ("loaded", bool),
    ("last_used", int),  # slot of the last placement or load
    ("backlog", float),  # units of work
    ("busy_s", float),  # of the last slot
)
DEVICE = record(
    ("presence", int),  # ABSENT, PRESENT or LEFT
    ("x_m y_m target_x_m target_y_m", float),  # place and waypoint
    ("heading", float),  # on a highway: -1 or 1
    ("battery_j local_backlog", float),  # energy left; units of work queued on the device
    ("last_latency_s", float),  # of the last request that was composed
    ("requests", int),  # that have ended
    ("turn", int),  # place in the next slot's order of service
    # of the request in hand
    ("open", bool),
    ("prompt age done", int),  # row of `scores`; slots since arrival; segments placed
    ("last_expert switches", int),  # of the previous segment, -1: none; changes so far
    ("value", float),  # credits
    ("context_bits local_budget", float),  # upload per segment; units the local expert may still do
    ("score_sum work_sum text_bits", float),  # score x work, work and output of the segments so far
    ("finish_s", float),  # latest end of a segment, seconds after arrival
    # of the last slot
    ("acted refused invalid", bool),  # was there; met a full queue; played a masked action
    ("arrived joined", bool),  # a request came; the device came
    ("terminated truncated", bool),
    ("placed ended", int),  # expert of the segment or -1; NONE, ON_TIME, LATE, EXPIRED or DROPPED
    ("share segment_latency_s", float),  # of the provider's band; from slot start to delivery
    ("quality latency_s", float),  # of a request composed in the slot
    ("reward earned payment energy latency", float),  # credits; all but `earned` are negative
)
CONSTANTS = record(
    ("P U E C seed slots requests_per_device subtasks deadline_slots", int),
    ("slot_s value_low value_high context_bits context_spread coherence", float),
    ("show_prompt", bool),
    ("arrival_process", int),
    ("arrival_rate burst_ratio burst_stop", float),  # burst_stop: probability per slot of changing state
    ("gate_skill gate_noise", float),
    ("carrier_hz bandwidth_hz noise_w_hz provider_power_w max_tx_s backhaul_bps cloud_rtt_s fading_correlation", float),
    ("mobility", int),
    ("step_m area_m churn battery_j local_budget", float),
    ("has_local may_wait", bool),
    ("highest_power_w highest_price highest_speed", float),  # of the levels of devices and providers
    ("default_price default_speed default_bandwidth", int),
    ("memory_gb load_gb_per_s load_cost_per_gb usd_per_kwh idle_power_w late_penalty", float),
    ("queue_limit_s energy_weight latency_weight team", float),
)


def allocate(identities: Ints, c: Any) -> Worlds:
    """Zeroed state of B worlds; `identities` are their places in the random stream."""
    B, P, U, E = len(identities), int(c.P), int(c.U), int(c.E)

    def records(kind: np.dtype[Any], *shape: int) -> Any:
        return np.zeros(shape, kind).view(np.recarray)

    worlds = Worlds(
        clock=records(CLOCK, B),
        providers=records(PROVIDER, B, P),
        experts=records(EXPERT, B, E),
        devices=records(DEVICE, B, U),
        links=Links(np.zeros((B, U, P), np.bool_), *(np.zeros((B, U, P)) for _ in Links._fields[1:])),
        gate=np.zeros((B, U, E + 1)),
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
