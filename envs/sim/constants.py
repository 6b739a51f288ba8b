"""The numbers of a scenario that the kernel reads: one record, so that one compiled kernel serves every size."""

from __future__ import annotations

import math
from typing import Any, get_type_hints

import numpy as np

from ..physics.radio import jakes_correlation
from ..scenario import Scenario
from .plugins import code_of
from .spec import OBS_FIELDS, ROLES, Sizes, slices
from .state import OWN_TASTE, Params, record

OUT_OF_REACH_DB = -1e9  # no link is weaker

COPIED = {
    "episode": "slots slot_s requests_per_user",
    "requests": "context_spread distinct strict_share max_hallucination",
    "arrivals": "rate_per_s burst_ratio",
    "radio": "handover_margin_db handover_s carrier_hz bandwidth_hz provider_power_w max_tx_s backhaul_bps cloud_rtt_s",
    "mobility": "area_m",
    "devices": "churn battery_j may_wait at_home scripted local_budget_units",
    "providers": "default_price default_speed default_bandwidth default_views default_power view_angle_deg period "
    "memory_gb load_gb_per_s load_cost_per_gb usd_per_kwh idle_power_w late_penalty",
    "rewards": "energy_weight latency_weight team others",
    "events": "outage_slot price_factor",
}
"""By section of the scenario: the fields that the kernel reads as they are, under the same names."""

DERIVED = (
    ("P U E X C J loads seed", int),  # sizes, see `spec.Sizes`; key of the random stream
    ("subtasks deadline_slots", int),  # the most of all kinds
    ("arrival_process channel mobility", int),  # codes of models
    ("serving has_gaps providers_act", bool),  # access through the serving provider; some links may be out of reach
    ("own_parts parallel", bool),  # some requests have a prompt for each part; all parts are asked for in one slot
    ("taste", float),  # concentration; 0: everybody has the table's mix; `OWN_TASTE`: a category each
    ("burst_stop", float),  # probability per slot of changing state
    ("gate_skill gate_noise", float),
    ("length_known", bool),
    ("least_gain_db range_m noise_w_hz fading_correlation step_m", float),
    ("device_load_gb_per_s queue_limit_s", float),
    (
        "highest_power_w highest_price highest_speed highest_views highest_factor highest_memory_gb",
        float,
    ),  # of the levels
    ("outage_expert outage_end price_slot", int),  # -1: none fails
)


_SECTIONS = get_type_hints(Scenario)
_KINDS = {name: get_type_hints(_SECTIONS[section])[name] for section, names in COPIED.items() for name in names.split()}
OFFSETS = {role: record(*((item.name, int) for item in OBS_FIELDS[role])) for role in ROLES}
"""By role: where each field of an observation begins."""
CONSTANTS = record(*_KINDS.items(), *DERIVED, ("user_at", OFFSETS["user"]), ("provider_at", OFFSETS["provider"]))


def build_constants(s: Scenario, seed: int, f: Params) -> Any:
    """The scenario as one record of numbers, `CONSTANTS`."""
    copied = {name: getattr(getattr(s, section), name) for section, names in COPIED.items() for name in names.split()}
    constants = np.zeros(1, CONSTANTS).view(np.recarray)[0]
    for name, value in {**copied, **_derived(s, seed, f)}.items():
        constants[name] = value
    sizes = Sizes.of(constants, f)
    for role in ROLES:
        for name, place in slices(role, sizes).items():
            constants[f"{role}_at"][name] = place.start
    return constants


def _derived(s: Scenario, seed: int, f: Params) -> dict[str, Any]:
    radio, devices, providers = s.radio, s.devices, s.providers
    kinds = [s.kind(table) for table in s.quality_tables]
    E, C = len(s.experts), -(-len(s.experts) // providers.count)
    still = s.mobility.model == "static"
    noise_w_hz = 10 ** ((radio.noise_dbm_hz + radio.noise_figure_db - 30) / 10)
    highest_power_w = max(devices.power_levels_w)
    failing = s.events.outage_expert
    return dict(
        P=providers.count,
        U=devices.count,
        E=E,
        X=E + max(1, len(s.local_experts)),
        C=C,
        J=s.requests.subtasks if s.requests.dispatch == "parallel" else 1,
        loads=C if _can_load(s, f) else 0,
        seed=seed,
        subtasks=max(kind.subtasks for kind in kinds),
        deadline_slots=max(kind.deadline_slots for kind in kinds),
        arrival_process=code_of("arrivals", s.arrivals.process),
        channel=code_of("channel", radio.channel),
        mobility=code_of("mobility", s.mobility.model),
        serving=radio.access == "serving",
        has_gaps=radio.min_snr_db is not None or radio.range_m is not None,
        providers_act=providers.act,
        own_parts=bool(f.kinds.own.any()),
        parallel=s.requests.dispatch == "parallel",
        taste=OWN_TASTE if devices.taste == "own" else float(devices.taste or 0.0),
        burst_stop=1.0 / s.arrivals.burst_slots,
        gate_skill=s.gate.skill,
        gate_noise=s.gate.noise,
        length_known=s.gate.length,
        least_gain_db=OUT_OF_REACH_DB
        if radio.min_snr_db is None
        else radio.min_snr_db + 10 * math.log10(noise_w_hz * radio.bandwidth_hz / highest_power_w),
        range_m=math.inf if radio.range_m is None else radio.range_m,
        noise_w_hz=noise_w_hz,
        fading_correlation=1.0
        if still
        else jakes_correlation(s.mobility.speed_mps, radio.carrier_hz, s.episode.slot_s),
        step_m=s.mobility.speed_mps * s.episode.slot_s,
        device_load_gb_per_s=devices.load_gb_per_s,
        queue_limit_s=s.queue_limit_s,
        highest_power_w=highest_power_w,
        highest_price=max(providers.price_levels),
        highest_speed=max(providers.speed_levels),
        highest_views=max(providers.view_levels),
        highest_factor=max(providers.power_factors),
        highest_memory_gb=max(devices.memory_gb),
        outage_expert=s.experts.index(failing) if failing else -1,
        outage_end=s.events.outage_slot + s.events.outage_slots,
        price_slot=s.events.price_slot if s.events.price_factor != 1.0 else s.episode.slots,
    )


def _can_load(s: Scenario, f: Params) -> bool:
    """Whether some provider's memory is too small for all of its experts, so that there is something to load."""
    count, memory_gb = s.providers.count, f.machines.memory_gb[: len(s.experts)]
    return any(memory_gb[p::count].sum() > s.providers.memory_gb for p in range(count))
