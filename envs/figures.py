"""From a scenario to the numbers the kernel reads: constants, recorded figures, arrival traces."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from .arrivals import BURSTY, POISSON, SATURATED, TRACE
from .market import CREDITS_PER_USD
from .mobility import HIGHWAY, STATIC, WAYPOINT
from .radio import jakes_correlation
from .scenario import Scenario, ScenarioError
from .state import CONSTANTS, MACHINE, SCORE, Figures, Floats, Ints
from .tables import ExpertTable, QualityTable
from .tables.expert_table import Expert
from .tables.reading import TABLES_DIR, Stamp, stamped

BITS_PER_TOKEN = 4 * 8  # a token is about four characters of English (OpenAI's rule of thumb)
TRACE_SLOT_S = 5.0
PROCESSES = {"saturated": SATURATED, "poisson": POISSON, "bursty": BURSTY, "trace_conv": TRACE, "trace_code": TRACE}
MODELS = {"static": STATIC, "waypoint": WAYPOINT, "highway": HIGHWAY}


def build_constants(s: Scenario, seed: int) -> Any:
    """The scenario as one record of numbers (`state.CONSTANTS`)."""
    radio, devices, providers = s.radio, s.devices, s.providers
    E = len(s.experts)
    still = s.mobility.model == "static"
    values = dict(
        P=providers.count,
        U=devices.count,
        E=E,
        C=-(-E // providers.count),
        seed=seed,
        slots=s.episode.slots,
        slot_s=s.episode.slot_s,
        requests_per_device=s.episode.requests_per_device,
        subtasks=s.requests.subtasks,
        deadline_slots=s.requests.deadline_slots,
        value_low=s.requests.value_low,
        value_high=s.requests.value_high,
        context_bits=s.requests.context_tokens * BITS_PER_TOKEN,
        context_spread=s.requests.context_spread,
        coherence=s.requests.coherence,
        show_prompt=s.requests.show_prompt,
        arrival_process=PROCESSES[s.arrivals.process],
        arrival_rate=s.arrivals.rate_per_s,
        burst_ratio=s.arrivals.burst_ratio,
        burst_stop=1.0 / s.arrivals.burst_slots,
        gate_skill=s.gate.skill,
        gate_noise=s.gate.noise,
        carrier_hz=radio.carrier_hz,
        bandwidth_hz=radio.bandwidth_hz,
        noise_w_hz=10 ** ((radio.noise_dbm_hz + radio.noise_figure_db - 30) / 10),
        provider_power_w=radio.provider_power_w,
        max_tx_s=radio.max_tx_s,
        backhaul_bps=radio.backhaul_bps,
        cloud_rtt_s=radio.cloud_rtt_s,
        fading_correlation=1.0
        if still
        else jakes_correlation(s.mobility.speed_mps, radio.carrier_hz, s.episode.slot_s),
        mobility=MODELS[s.mobility.model],
        step_m=s.mobility.speed_mps * s.episode.slot_s,
        area_m=s.mobility.area_m,
        churn=devices.churn,
        battery_j=devices.battery_j,
        has_local=bool(devices.local_expert),
        may_wait=devices.may_wait,
        highest_power_w=max(devices.power_levels_w),
        highest_price=max(providers.price_levels),
        highest_speed=max(providers.speed_levels),
        local_budget=devices.local_budget_units,
        default_price=providers.default_price,
        default_speed=providers.default_speed,
        default_bandwidth=providers.default_bandwidth,
        memory_gb=providers.memory_gb,
        load_gb_per_s=providers.load_gb_per_s,
        load_cost_per_gb=providers.load_cost_per_gb,
        usd_per_kwh=providers.usd_per_kwh,
        idle_power_w=providers.idle_power_w,
        late_penalty=providers.late_penalty,
        queue_limit_s=s.queue_limit_s,
        energy_weight=s.rewards.energy_weight,
        latency_weight=s.rewards.latency_weight,
        team=s.rewards.team,
    )
    names = CONSTANTS.names or ()
    return np.rec.array([tuple(values[name] for name in names)], dtype=CONSTANTS)[0]


def load_figures(scenario: Scenario) -> tuple[Figures, QualityTable]:
    """The figures a scenario uses, and the quality table they come from (local expert last).

    Raises:
        TableError: if a table is not valid.
        ScenarioError: if the scenario names an expert that the tables lack, or whose memory no provider has.
    """
    machines, table = _load_tables(stamped(scenario.tables.experts), stamped(scenario.tables.quality))
    local = scenario.devices.local_expert
    named = [("experts", name) for name in scenario.experts] + ([("devices.local_expert", local)] if local else [])
    for field, name in named:
        if name not in table.experts:
            raise ScenarioError(
                f"{field}: '{name}' has no scores in {table.path.name}; choose from {', '.join(table.experts)}"
            )
    hosted = [machines[name] for name in scenario.experts]
    _check_memory(scenario, hosted)
    chosen = table.select([*scenario.experts, local or scenario.experts[0]])
    rows = _prompts_in_use(scenario, chosen)
    segment = 1.0 / scenario.requests.subtasks
    columns = {"quality": chosen.quality, "work": chosen.work_units * segment, "bits": chosen.output_bits * segment}
    if not local:  # column E is zero, and masked
        columns = {
            name: np.where(np.arange(len(hosted) + 1) < len(hosted), values, 0.0) for name, values in columns.items()
        }
    return Figures(
        scores=_records({name: values[rows] for name, values in columns.items()}),
        priors=_records({name: chosen.prior(values) for name, values in columns.items()}),
        category=chosen.category[rows],
        machines=_machines(scenario, hosted),
        device_power_w=np.array(scenario.devices.power_levels_w),
        price_levels=np.array(scenario.providers.price_levels),
        speed_levels=np.array(scenario.providers.speed_levels),
        trace=_read_trace(scenario.arrivals.process, scenario.episode.slot_s),
    ), chosen


@lru_cache(maxsize=8)  # a runner builds hundreds of environments from the same files
def _load_tables(experts: Stamp, quality: Stamp) -> tuple[ExpertTable, QualityTable]:
    machines = ExpertTable.load(experts.path)
    return machines, QualityTable.load(quality.path, machines)


def _check_memory(scenario: Scenario, hosted: list[Expert]) -> None:
    memory_gb = scenario.providers.memory_gb
    for expert in hosted:
        if expert.memory_gb > memory_gb:
            raise ScenarioError(
                f"providers.memory_gb: {memory_gb} cannot hold '{expert.name}', which needs "
                f"{expert.memory_gb:g} GB: raise it or drop the expert"
            )


def _prompts_in_use(scenario: Scenario, table: QualityTable) -> Ints:
    rows, wanted = table.split(scenario.tables.split), scenario.tables.prompts
    if wanted > len(rows):
        raise ScenarioError(
            f"tables.prompts: {wanted} exceeds the {len(rows)} prompts of split '{scenario.tables.split}'"
        )
    return rows[np.linspace(0, len(rows) - 1, wanted).round().astype(np.int64)] if wanted else rows


def _records(columns: dict[str, Floats]) -> Any:
    out = np.recarray(next(iter(columns.values())).shape, SCORE)
    for name, values in columns.items():
        out[name] = values
    return out


def _machines(scenario: Scenario, hosted: list[Expert]) -> Any:
    out = np.recarray(len(hosted) + 1, MACHINE)
    for row, expert in enumerate(hosted):
        out[row] = (
            expert.is_cloud,
            expert.seconds_per_unit,
            expert.power_w,
            expert.price_usd_per_unit * CREDITS_PER_USD,
            expert.memory_gb,
        )
    out[len(hosted)] = (False, scenario.devices.local_seconds_per_unit, scenario.devices.local_power_w, 0.0, 0.0)
    return out


def _read_trace(process: str, slot_s: float) -> Floats:
    if not process.startswith("trace_"):
        return np.ones(1)
    requests = np.loadtxt(TABLES_DIR / f"arrivals_{process.removeprefix('trace_')}.csv", delimiter=",", skiprows=1)[
        :, 1
    ]
    # a slot longer or shorter than the trace's covers that much of it
    edges = np.arange(math.floor(len(requests) * TRACE_SLOT_S / slot_s) + 1) * slot_s / TRACE_SLOT_S
    total = np.interp(edges, np.arange(len(requests) + 1), np.concatenate([[0.0], np.cumsum(requests)]))
    counts = np.diff(total)
    return np.asarray(counts / counts.mean())
