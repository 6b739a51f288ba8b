"""From a scenario to the parameters the kernel reads: recorded and modelled figures, levels, arrival traces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..io.suggestions import did_you_mean
from ..physics import quality
from ..physics.economics import CREDITS_PER_USD
from ..scenario import Scenario, ScenarioError
from ..schema import Requests
from ..tables import ExpertTable, QualityTable
from ..tables.expert_table import Expert
from ..tables.reading import TABLES_DIR, Stamp, stamped
from .plugins import SLOTS, code_of, find_model, pointers
from .state import KIND, MACHINE, SCORE, TOPIC, Floats, Ints, Params

BITS_PER_TOKEN = 4 * 8  # a token is about four characters of English (OpenAI's rule of thumb)
TRACE_SLOT_S = 5.0


def load_params(scenario: Scenario) -> tuple[Params, tuple[QualityTable, ...]]:
    """The figures a scenario uses, and the quality tables they come from.

    Raises:
        TableError: if a table is not valid.
        ScenarioError: if the scenario names an expert or a model that is not known, or an expert whose memory no
            provider has.
    """
    machines, tables = _load_tables(
        stamped(scenario.tables.experts), tuple(stamped(name) for name in scenario.quality_tables)
    )
    places = _find_experts(scenario, machines, tables)
    kinds = [_read_kind(scenario, i, table, places) for i, table in enumerate(tables)]
    aspects = max(kind.aspects.shape[-1] for kind in kinds)

    def stacked(name: str) -> Any:
        return np.concatenate([getattr(kind, name) for kind in kinds])

    def padded(name: str) -> Floats:
        parts = [getattr(kind, name) for kind in kinds]
        return np.concatenate([np.pad(part, ((0, 0), (0, 0), (0, aspects - part.shape[-1]))) for part in parts])

    counts = [len(kind.category) for kind in kinds]
    offsets = np.cumsum([0, *(len(table.categories) for table in tables)])
    category = np.concatenate([kind.category + offsets[i] for i, kind in enumerate(kinds)])
    parts = max(scenario.kind(name).subtasks for name in scenario.quality_tables)
    return Params(
        scores=_records({name: stacked(name) for name in SCORE.fields or ()}),
        aspects=padded("aspects"),
        priors=_records({name: stacked(f"prior_{name}") for name in SCORE.fields or ()}),
        prior_aspects=padded("prior_aspects"),
        work_spread=stacked("work_spread"),
        category=category,
        topics=_topics(category, stacked("part"), len(stacked("prior_quality")), parts),
        shares=_shares(category, np.repeat(np.arange(len(kinds)), counts), len(stacked("prior_quality"))),
        context_bits=stacked("feature_bits"),
        kinds=_kind_records(scenario, tables, offsets),
        kind=np.repeat(np.arange(len(kinds)), counts),
        serves=np.stack([kind.serves for kind in kinds]),
        machines=_machines(scenario, places),
        device_power_w=np.array(scenario.devices.power_levels_w),
        device_memory_gb=np.array(scenario.devices.memory_gb),
        price_levels=np.array(scenario.providers.price_levels),
        speed_levels=np.array(scenario.providers.speed_levels),
        view_levels=np.array(scenario.providers.view_levels, float),
        power_factors=np.array(scenario.providers.power_factors),
        trace=_read_trace(scenario.arrivals.process, scenario.episode.slot_s),
        models=pointers(scenario),
    ), tables


@lru_cache(maxsize=16)  # a runner builds hundreds of environments from the same files
def _load_tables(experts: Stamp, quality: tuple[Stamp, ...]) -> tuple[ExpertTable, tuple[QualityTable, ...]]:
    machines = ExpertTable.load(experts.path)
    return machines, tuple(QualityTable.load(stamp.path, machines) for stamp in quality)


def _find_experts(scenario: Scenario, machines: ExpertTable, tables: tuple[QualityTable, ...]) -> list[Expert | None]:
    """Who stands at each of the X places; nobody at the local one if users have none."""
    recorded = {name for table in tables for name in table.experts}
    named = [("experts", name) for name in scenario.experts]
    named += [("devices.local_expert", name) for name in scenario.local_experts]
    for field, name in named:
        if name not in machines.experts or machines[name].recorded_as not in recorded:
            usable = sorted(expert.name for expert in machines.experts.values() if expert.recorded_as in recorded)
            files = ", ".join(table.path.name for table in tables)
            hint = did_you_mean(name, usable, f"choose from {', '.join(usable)}")
            raise ScenarioError(f"{field}: '{name}' has no scores in {files}; {hint}")
    hosted = [machines[name] for name in scenario.experts]
    _check_memory(scenario, hosted)
    local: list[Expert | None] = [machines[name] for name in scenario.local_experts]
    return [*hosted, *(local or [None])]


def _check_memory(scenario: Scenario, hosted: list[Expert]) -> None:
    memory_gb = scenario.providers.memory_gb
    for expert in hosted:
        if expert.memory_gb > memory_gb:
            raise ScenarioError(
                f"providers.memory_gb: {memory_gb} cannot hold '{expert.name}', which needs "
                f"{expert.memory_gb:g} GB: raise it or drop the expert"
            )


class KindParams(NamedTuple):
    """The figures of one table: n prompts in use, g categories, X places."""

    quality: Floats  # (n, X)
    work: Floats  # (n, X), of a part: units of compute
    bits: Floats  # (n, X), of a part
    units: Floats  # (n, X), of a part: units recorded
    billed: Floats  # (n, X), of a part: units to pay for
    aspects: Floats  # (n, X, A)
    prior_quality: Floats  # (g, X)
    prior_work: Floats  # (g, X)
    prior_bits: Floats  # (g, X)
    prior_units: Floats  # (g, X)
    prior_billed: Floats  # (g, X)
    prior_aspects: Floats  # (g, X, A)
    gate: Floats  # (n, X), recorded readings; 0 without
    prior_gate: Floats  # (g, X)
    work_spread: Floats  # (g, X)
    category: Ints  # (n,)
    part: Ints  # (n,), -1: any
    feature_bits: Floats  # (n,)
    serves: Any  # (X,) bool


def _read_kind(scenario: Scenario, i: int, table: QualityTable, places: list[Expert | None]) -> KindParams:
    request = scenario.kind(scenario.quality_tables[i])
    serves = np.array([expert is not None and expert.recorded_as in table.experts for expert in places])
    known = [expert if expert is not None and ok else None for expert, ok in zip(places, serves, strict=True)]
    chosen = table.select([expert.recorded_as if expert else table.experts[0] for expert in known])
    factor = np.array([expert.quality_factor if expert else 0.0 for expert in known])
    part = serves / (request.subtasks if request.split_work else 1)
    quality, units, bits = chosen.quality * factor, chosen.work_units * part, chosen.output_bits * part
    work = _units(chosen, "seconds", "seconds_per_unit", places[: len(scenario.experts)]) * part
    billed = _units(chosen, "usd", "price_usd_per_unit", places[: len(scenario.experts)]) * part
    aspects = [_aspect(chosen, name) * factor for name in _aspects_of(request, table)]
    gate = _recorded_gate(scenario, chosen, serves) * factor if has_gate(scenario, table) else np.zeros_like(quality)
    _check_parts(scenario, request, table)
    stacked = np.stack(aspects, axis=-1) if aspects else np.zeros((*quality.shape, 0))
    rows = _prompts_in_use(scenario, table)
    variance = chosen.prior(work**2) - chosen.prior(work) ** 2
    return KindParams(
        quality=quality[rows],
        work=work[rows],
        bits=bits[rows],
        units=units[rows],
        billed=billed[rows],
        aspects=stacked[rows],
        prior_quality=chosen.prior(quality),
        prior_work=chosen.prior(work),
        prior_bits=chosen.prior(bits),
        prior_units=chosen.prior(units),
        prior_billed=chosen.prior(billed),
        prior_aspects=np.stack([chosen.prior(values) for values in aspects], axis=-1)
        if aspects
        else np.zeros((len(table.categories), len(places), 0)),
        gate=gate[rows],
        prior_gate=chosen.prior(gate),
        work_spread=np.sqrt(np.maximum(variance, 0.0)),
        category=table.category[rows],
        part=np.full(len(rows), -1) if table.part is None else table.part[rows],
        feature_bits=np.zeros(len(rows)) if table.feature_bits is None else table.feature_bits[rows],
        serves=serves,
    )


def _units(table: QualityTable, column: str, rate: str, hosts: Sequence[Expert | None]) -> Floats:
    """Units that make an expert's mean rate what a row has recorded, where it has; else the units of the row: (N, X).

    Args:
        table: Of the experts at the X places, in their order.
        column: What a row took, or cost.
        rate: What that is for each unit, of an expert.
        hosts: Experts at the first places, whose machines the table was recorded on; a device's own is another machine.
    """
    units = np.array(table.work_units)
    if column in table.measured:
        for e, expert in enumerate(hosts):
            if expert is not None and getattr(expert, rate) > 0.0:
                units[:, e] = table.measured[column][:, e] / getattr(expert, rate)
    return units


def _rule_of(request: Requests, table: QualityTable) -> str:
    if request.rule != "auto":
        return request.rule
    return table.modality if table.modality in SLOTS["quality"].built_in else "text"


def has_own_parts(request: Requests, table: QualityTable) -> bool:
    """Whether every part of a table's requests has a prompt of its own."""
    if request.parts != "auto":
        return request.parts == "own"
    return table.part is not None or SLOTS["quality"].built_in.get(_rule_of(request, table)) in quality.OWN_PARTS


def has_gate(scenario: Scenario, table: QualityTable) -> bool:
    """Whether what devices read of a table's experts is recorded."""
    return scenario.gate.source == "recorded" or (scenario.gate.source == "auto" and "gate" in table.dimensions)


def _recorded_gate(scenario: Scenario, table: QualityTable, serves: Any) -> Floats:
    """The column `gate` of the experts in use, 0 where a place serves nobody: (N, X)."""
    if "gate" not in table.dimensions:
        raise ScenarioError(
            f"gate.source: 'recorded' reads the column 'gate', which {table.path.name} does not have: add it, or set "
            f"gate.source to modelled"
        )
    gate = table.dimensions["gate"]
    missing = np.argwhere(np.isnan(gate) & serves)
    if len(missing):
        row, expert = missing[0]
        raise ScenarioError(
            f"gate.source: '{scenario.gate.source}' reads the column 'gate' of {table.path.name}, which has no value "
            f"for prompt {table.prompts[row]} and expert '{table.experts[expert]}': fill it, or set gate.source to "
            f"modelled"
        )
    return np.asarray(np.where(serves, gate, 0.0))


def _check_parts(scenario: Scenario, request: Requests, table: QualityTable) -> None:
    """Parts and dispatch must suit the rule and the table."""
    rule = _rule_of(request, table)
    own = has_own_parts(request, table)
    if own and rule in ("object3d", "ensemble"):
        raise ScenarioError(
            f"requests.parts: 'own' does not suit the rule '{rule}', whose parts are of one object or one question: "
            f"set it to shared"
        )
    if request.dispatch == "parallel" and (own or rule in ("text", "video", "object3d")):
        raise ScenarioError(
            f"requests.dispatch: 'parallel' asks k experts the same question, but the requests of {table.path.name} "
            f"follow the rule '{rule}': set requests.rule to ensemble, or dispatch to sequential"
        )
    if table.part is None:
        return
    if not own:
        raise ScenarioError(
            f"requests.parts: 'shared' does not suit {table.path.name}, whose column 'part' says which part a row may "
            f"be: set it to own"
        )
    rows = _prompts_in_use(scenario, table)
    highest, there = int(table.part.max()), set(table.part[rows].tolist())
    if highest >= request.subtasks:
        raise ScenarioError(
            f"requests.subtasks: {request.subtasks} parts are counted 0 to {request.subtasks - 1}, but the column "
            f"'part' of {table.path.name} holds {highest}: set it to {highest + 1}, or correct the column"
        )
    for part in range(request.subtasks):
        if part not in there:
            raise ScenarioError(
                f"requests.subtasks: {request.subtasks} parts need rows each, but {table.path.name} has none for part "
                f"{part} among the prompts in use: set it to {highest + 1}, or add rows"
            )


def _topics(category: Ints, part: Ints, categories: int, parts: int) -> Any:
    """Where the prompts of a category stand that a part may be, (G, K); rows are sorted by category and part."""
    out = np.recarray((categories, parts), TOPIC)
    counts = np.bincount(category, minlength=categories)
    for g in range(categories):
        for i in range(parts):
            mine = np.flatnonzero((category == g) & ((part == i) | (part < 0)))
            first = int(mine[0]) if len(mine) else 0
            out[g, i] = (first, len(mine), len(mine) / max(1, counts[g]))
    return out


def _shares(category: Ints, kind: Ints, categories: int) -> Floats:
    """Share of each category among the prompts of its kind: (G,)."""
    counts = np.bincount(category, minlength=categories).astype(float)
    for k in np.unique(kind):
        mine = np.unique(category[kind == k])
        counts[mine] /= counts[mine].sum()
    return counts


def _aspects_of(request: Requests, table: QualityTable) -> tuple[str, ...]:
    """The recorded columns that the quality rule reads."""
    rule = _rule_of(request, table)
    code = code_of("quality", rule)
    names = quality.ASPECTS[code] if code in quality.ASPECTS else find_model("quality", rule).aspects
    for name in names:
        if name not in table.dimensions:
            columns = ", ".join(table.dimensions) or "none"
            raise ScenarioError(
                f"requests.rule: '{rule}' reads the column '{name}', which {table.path.name} does not have (further "
                f"columns there: {columns}); add it or take another rule"
            )
    return names


def _aspect(table: QualityTable, name: str) -> Floats:
    """A recorded column; where a prompt was not rated on it, the expert's training-split mean stands in: (N, E)."""
    values = table.dimensions[name]
    means = np.nanmean(values[table.split("train")], axis=0)
    return np.where(np.isnan(values), means, values)


def _prompts_in_use(scenario: Scenario, table: QualityTable) -> Ints:
    rows, wanted = table.split(scenario.tables.split), scenario.tables.prompts
    if wanted > len(rows):
        raise ScenarioError(
            f"tables.prompts: {wanted} exceeds the {len(rows)} prompts of split '{scenario.tables.split}' of "
            f"{table.path.name}"
        )
    return rows[np.linspace(0, len(rows) - 1, wanted).round().astype(np.int64)] if wanted else rows


def _kind_records(scenario: Scenario, tables: tuple[QualityTable, ...], topics: Ints) -> Any:
    names = scenario.quality_tables
    shares = np.array([scenario.kinds[name].share if name in scenario.kinds else 1.0 for name in names])
    shares /= shares.sum()
    starts = np.cumsum([0.0, *shares])
    out = np.recarray(len(names), KIND)
    for i, (name, table) in enumerate(zip(names, tables, strict=True)):
        request = scenario.kind(name)
        out[i] = (
            code_of("quality", _rule_of(request, table)),
            request.subtasks,
            request.deadline_slots,
            topics[i],
            topics[i + 1] - topics[i],
            has_own_parts(request, table),
            has_gate(scenario, table),
            request.topic_share,
            starts[i],
            shares[i],
            request.value_low,
            request.value_high,
            request.context_tokens * BITS_PER_TOKEN,
            request.coherence,
            request.temperature,
        )
    return out


def _records(columns: dict[str, Floats]) -> Any:
    out = np.recarray(next(iter(columns.values())).shape, SCORE)
    for name, values in columns.items():
        out[name] = values
    return out


def _machines(scenario: Scenario, places: list[Expert | None]) -> Any:
    """The machines at the X places; a local expert that is not a user's in the table runs as the scenario says."""
    out = np.recarray(len(places), MACHINE)
    for row, expert in enumerate(places):
        if expert is None:
            out[row] = (False, scenario.devices.local_seconds_per_unit, scenario.devices.local_power_w, 0.0, 0.0, 1.0)
            continue
        at_host = row < len(scenario.experts) or expert.host_class == "device"
        machines = scenario.providers.machines
        hosted_on_edge = row < len(scenario.experts) and not expert.is_cloud
        count = machines[row % scenario.providers.count % len(machines)] if hosted_on_edge else 1.0
        out[row] = (
            expert.is_cloud and at_host,
            expert.seconds_per_unit / count if at_host else scenario.devices.local_seconds_per_unit,
            expert.power_w * count if at_host else scenario.devices.local_power_w,
            expert.price_usd_per_unit * CREDITS_PER_USD if row < len(scenario.experts) else 0.0,
            expert.memory_gb if at_host else 0.0,
            expert.hallucination_rate if math.isfinite(expert.hallucination_rate) else 1.0,
        )
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
