"""A scenario: everything that defines a world, as frozen dataclasses that are read from and written to strict YAML.

    scenario = load_scenario("edge_experts/text-v0", {"devices.count": 32})
    scenario.devices.count        # 32
    scenario.to_yaml()            # the whole scenario, ready to be saved and edited

Money is counted in credits; one credit is a thousandth of a US dollar.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

NAMESPACE = "edge_experts"

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]

_strict = dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))


class ScenarioError(ValueError):
    """A scenario is not valid. Names the field, the value and the fix."""


@_strict
class Episode:
    """When an episode ends."""

    slots: Count = 100
    """Time limit in slots; reaching it truncates."""
    slot_s: Positive = 5.0
    """Length of a slot, seconds."""
    requests_per_device: Annotated[int, Field(ge=0)] = 0
    """A device leaves after so many requests (terminated); 0: never."""


@_strict
class Tables:
    """Which recorded figures decide what a choice is worth."""

    quality: str = "text"
    """Quality table: a shipped name or a path to CSV or Parquet."""
    experts: str = "experts"
    """Expert table: a shipped name or a path."""
    split: Literal["train", "heldout", "all"] = "train"
    """Prompts that requests are drawn from."""
    prompts: Annotated[int, Field(ge=0)] = 0
    """Use only so many prompts of the split, spread evenly over it; 0: all."""


@_strict
class Requests:
    """What devices ask for."""

    value_low: NonNegative = 1.0
    """Lowest value of a perfect answer, credits; values are uniform."""
    value_high: NonNegative = 1.0
    """Highest value of a perfect answer, credits."""
    subtasks: Count = 3
    """Segments of a request; each is placed on one expert."""
    deadline_slots: Count = 4
    """Slots from arrival until a request expires."""
    context_tokens: Positive = 1155.0
    """Mean context uploaded with every segment, tokens (Azure LLM inference trace 2023, conversation: 1,155)."""
    context_spread: NonNegative = 0.0
    """Standard deviation of the logarithm of the context length."""
    coherence: Share = 0.98
    """Quality factor of each change of expert between neighbouring segments (modelled)."""
    show_prompt: bool = False
    """Whether devices see which prompt they hold, not only its category."""


@_strict
class Arrivals:
    """When devices ask."""

    process: Literal["saturated", "poisson", "bursty", "trace_conv", "trace_code"] = "poisson"
    """`saturated` renews a request at once; `bursty` alternates between a calm and a busy state; traces are recorded."""
    rate_per_s: Positive = 0.1
    """Mean request rate of an idle device, 1/s (not used by `saturated`)."""
    burst_ratio: Annotated[float, Field(ge=1)] = 4.0
    """Rate of the busy state over that of the calm state (`bursty`)."""
    burst_slots: Annotated[float, Field(ge=1)] = 8.0
    """Mean length of either state in slots (`bursty`)."""


@_strict
class Gate:
    """What devices know of the quality before they choose."""

    skill: Share = 0.6
    """How much of a prompt's own deviation from the category mean the reading shows."""
    noise: NonNegative = 0.05
    """Standard deviation of the reading's error."""


@_strict
class Radio:
    """The air interface, after 3GPP TR 38.901 UMi street canyon."""

    carrier_hz: Positive = 3.5e9
    """Carrier frequency."""
    bandwidth_hz: Positive = 5e6
    """Bandwidth of each provider, per direction."""
    noise_dbm_hz: float = -174.0
    """Thermal noise density."""
    noise_figure_db: float = 7.0
    """Receiver noise figure."""
    provider_power_w: Positive = 2.0
    """Downlink transmit power of a provider."""
    max_tx_s: Positive = 30.0
    """A transfer that would take longer counts so much: the link is retried in a later slot."""
    backhaul_bps: Positive = 1e8
    """Rate between providers and to the cloud."""
    cloud_rtt_s: NonNegative = 0.1
    """Round-trip time to a cloud expert."""


@_strict
class Mobility:
    """Where devices are."""

    model: Literal["static", "waypoint", "highway"] = "waypoint"
    """`waypoint`: random waypoints; `highway`: along x both ways, out at one edge and in at the other."""
    speed_mps: NonNegative = 1.4
    """Speed of every device (a walk)."""
    area_m: Positive = 300.0
    """Side of the square area."""


@_strict
class Devices:
    """User devices."""

    count: Count = 16
    """Number of devices."""
    act: bool = True
    """Whether devices are agents; otherwise they wait."""
    may_wait: bool = True
    """Whether a device that could place a segment may wait instead."""
    power_levels_w: tuple[Positive, ...] = (0.01, 0.05, 0.1, 0.2)
    """Transmit power levels, watts (the highest is that of LTE and NR user equipment, 23 dBm)."""
    churn: Share = 0.0
    """Per slot, the probability that a present device leaves for good and that an absent one arrives; when positive,
    half of the devices are present at the start."""
    battery_j: Positive = 2000.0
    """Energy a device may spend in an episode, joules; an empty battery leaves only waiting."""
    local_expert: str = ""
    """Compact expert on every device; empty: none."""
    local_seconds_per_unit: Positive = 0.05
    """Its seconds per unit of work (a phone with 51.2 GB/s reads 2.5 B weights of 1 byte in 0.049 s)."""
    local_power_w: NonNegative = 5.0
    """Power drawn while it computes."""
    local_budget_units: NonNegative = 0.0
    """Units of work it may do for one request: a segment runs locally while the budget lasts."""


@_strict
class Providers:
    """Service providers, each hosting every P-th expert of the list."""

    count: Count = 4
    """Number of providers."""
    act: bool = True
    """Whether providers are agents; otherwise they keep their defaults."""
    price_levels: tuple[Positive, ...] = (0.5, 0.75, 1.0, 1.5, 2.0)
    """Price as a multiple of the expert's list price."""
    speed_levels: tuple[Positive, ...] = (0.75, 1.0, 1.25)
    """Compute speed as a multiple of nominal; power grows with its cube."""
    default_price: Annotated[int, Field(ge=0)] = 2
    """Price level at the start, kept when providers do not act."""
    default_speed: Annotated[int, Field(ge=0)] = 1
    """Speed level at the start."""
    default_bandwidth: Annotated[int, Field(ge=0, le=2)] = 0
    """Bandwidth policy at the start: 0 equal, 1 by load, 2 by channel."""
    memory_gb: Positive = 18.0
    """Memory for loaded experts (a 20 GB card less 2 GB for the runtime)."""
    load_gb_per_s: Positive = 1.0
    """Speed of loading an expert from disk."""
    load_cost_per_gb: NonNegative = 0.01
    """Cost of loading, credits per gigabyte."""
    usd_per_kwh: NonNegative = 0.08
    """Price of electricity (US industrial average of 2023: 8.0 cents, EIA)."""
    idle_power_w: NonNegative = 60.0
    """Power a provider draws when idle."""
    late_penalty: NonNegative = 0.2
    """Charge for each segment served after its request's deadline, credits."""


@_strict
class Rewards:
    """Weights of the reward terms."""

    energy_weight: NonNegative = 0.002
    """Credits per joule of a device's battery."""
    latency_weight: NonNegative = 0.02
    """Credits per second of a request's mean segment latency."""
    team: Share = 0.0
    """0: private rewards; 1: everybody gets the mean."""


@_strict
class Scenario:
    """All that defines a world; field names are the YAML keys."""

    id: str
    """`namespace/name-vN`."""
    title: str = ""
    """One line for people."""
    experts: tuple[str, ...]
    """The E experts in order; expert e is hosted by provider e modulo P."""
    queue_limit_s: Positive = 10.0
    """A placement that finds more backlog is refused."""
    episode: Episode = Episode()
    tables: Tables = Tables()
    requests: Requests = Requests()
    arrivals: Arrivals = Arrivals()
    gate: Gate = Gate()
    radio: Radio = Radio()
    mobility: Mobility = Mobility()
    devices: Devices = Devices()
    providers: Providers = Providers()
    rewards: Rewards = Rewards()

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        _check(len(self.experts) > 0, "experts", self.experts, "name at least one expert")
        _check(len(set(self.experts)) == len(self.experts), "experts", self.experts, "name each expert once")
        _check(
            self.requests.value_low <= self.requests.value_high,
            "requests.value_low",
            self.requests.value_low,
            f"must not exceed requests.value_high = {self.requests.value_high}",
        )
        for name in ("price", "speed"):
            level, levels = getattr(self.providers, f"default_{name}"), getattr(self.providers, f"{name}_levels")
            _check(len(levels) > 0, f"providers.{name}_levels", levels, "give at least one level")
            _check(
                level < len(levels),
                f"providers.default_{name}",
                level,
                f"must be below {len(levels)}, the number of levels",
            )
        _check(len(self.devices.power_levels_w) > 0, "devices.power_levels_w", (), "give at least one level")
        _check(
            self.devices.act or self.providers.act,
            "devices.act",
            False,
            "somebody must act: set one of the roles to true",
        )
        _check(
            len(self.experts) >= self.providers.count,
            "providers.count",
            self.providers.count,
            f"must not exceed the number of experts, {len(self.experts)}: every provider hosts one",
        )
        if self.devices.local_budget_units > 0:
            _check(
                bool(self.devices.local_expert),
                "devices.local_budget_units",
                self.devices.local_budget_units,
                "needs devices.local_expert",
            )
        return self

    def acts(self, role: str) -> bool:
        """Whether the agents of a role (`device`, `provider`) decide for themselves."""
        return self.devices.act if role == "device" else self.providers.act

    def replace(self, overrides: Mapping[str, Any]) -> Scenario:
        """A copy with some fields changed.

        Args:
            overrides: Dotted field names and values, as `{"devices.count": 32}`; values may be YAML text.

        Raises:
            ScenarioError: for an unknown field or a value that does not fit, with the nearest valid name.
        """
        data = self.to_dict()
        for dotted, value in overrides.items():
            _set(data, str(dotted), yaml.safe_load(value) if isinstance(value, str) and value else value)
        return from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """The scenario as plain data."""
        return _plain(asdict(self))  # type: ignore[no-any-return, call-overload]

    def to_yaml(self) -> str:
        """The scenario as YAML."""
        return str(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    def hash(self) -> str:
        """SHA-256 of the canonical form (the title aside), 16 hex digits."""
        data = {key: value for key, value in self.to_dict().items() if key != "title"}
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def load_scenario(
    source: Scenario | str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> Scenario:
    """Find and validate a scenario.

    Args:
        source: A shipped id (`"edge_experts/text-v0"` or `"text-v0"`), a YAML file, plain data, or a scenario.
        overrides: Dotted field names and values.

    Raises:
        ScenarioError: naming the field, the value and the fix.
    """
    if isinstance(source, Scenario):
        scenario = source
    elif isinstance(source, Mapping):
        scenario = from_dict(dict(source))
    elif str(source).endswith((".yaml", ".yml")):
        scenario = _read_file(Path(source))
    else:
        scenario = _read_shipped(str(source))
    return scenario.replace(overrides) if overrides else scenario


def parse_overrides(fields: Iterable[str]) -> dict[str, Any]:
    """Overrides from texts of the form `FIELD=VALUE`, as command lines take them.

    Raises:
        ScenarioError: for a text without an equals sign.
    """
    changes = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals:
            raise ScenarioError(f"--set: {field!r} must be FIELD=VALUE, as devices.count=32")
        changes[name] = yaml.safe_load(value)
    return changes


def shipped_ids() -> list[str]:
    """The ids of the scenarios that come with the package."""
    folder = resources.files(f"{NAMESPACE}.configs.scenarios")
    return sorted(
        f"{NAMESPACE}/{file.name.removesuffix('.yaml')}" for file in folder.iterdir() if file.name.endswith(".yaml")
    )


def from_dict(data: dict[str, Any]) -> Scenario:
    """Validate plain data.

    Raises:
        ScenarioError: naming the field, the value and the fix.
    """
    if not isinstance(data, dict):
        raise ScenarioError(f"a scenario is a mapping of fields, not {type(data).__name__}: {data!r}")
    try:
        return _adapter().validate_python(data)
    except ValidationError as error:
        raise ScenarioError(_explain(error)) from None


def field_docs(kind: type = Scenario, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted names and types of all leaf fields, in order."""
    found: list[tuple[str, Any]] = []
    hints = get_type_hints(kind)
    for item in fields(kind):
        name = f"{prefix}{item.name}"
        inner = hints[item.name]
        found += field_docs(inner, f"{name}.") if is_dataclass(inner) and isinstance(inner, type) else [(name, inner)]
    return found


@cache
def _adapter() -> TypeAdapter[Scenario]:
    return TypeAdapter(Scenario)


def _check(ok: bool, name: str, value: object, fix: str) -> None:
    if not ok:
        raise ValueError(f"{name}: {value!r} {fix}")


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "unexpected_keyword_argument":
        return f"{name}: unknown field{_nearest(name)}{more}"
    if first["type"] in ("missing", "missing_argument"):
        return f"{name}: is required{more}"
    if not name:
        return str(first["ctx"]["error"]) if "ctx" in first else first["msg"]
    return f"{name}: {first['input']!r} is not valid: {first['msg']}{more}"


def _nearest(name: str) -> str:
    known = [leaf for leaf, _ in field_docs()]
    near = get_close_matches(name, known + sorted({leaf.split(".")[0] for leaf in known}), n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; the fields are {', '.join(known)}"


def _set(data: dict[str, Any], dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    node = data
    for part in path:
        node = node.get(part, {}) if isinstance(node, dict) else {}
    if not isinstance(node, dict) or last not in node:
        raise ScenarioError(f"{dotted}: unknown field{_nearest(dotted)}")
    node[last] = value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _read_file(path: Path) -> Scenario:
    if not path.is_file():
        raise ScenarioError(f"scenario: there is no file '{path}'")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from None
    try:
        return from_dict(data)
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def _read_shipped(name: str) -> Scenario:
    known = shipped_ids()
    full = name if "/" in name else f"{NAMESPACE}/{name}"
    if full not in known:
        near = get_close_matches(full, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise ScenarioError(f"scenario: '{name}' is not known; {hint} (a file must end in .yaml)")
    text = resources.files(f"{NAMESPACE}.configs.scenarios").joinpath(f"{full.split('/')[1]}.yaml").read_text("utf-8")
    return from_dict(yaml.safe_load(text))
