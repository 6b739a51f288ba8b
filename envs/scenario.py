"""A scenario: everything that defines a world, read from and written to strict YAML.

scenario = load_scenario("edge_experts/text-v1", {"devices.count": 32})
scenario.devices.count        # 32
scenario.to_yaml()            # the whole scenario, ready to be saved and edited
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass, replace
from functools import cache, cached_property
from typing import Any, get_type_hints

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo

from .display import scenario_html, scenario_line
from .io.strict_yaml import explain
from .io.suggestions import did_you_mean
from .schema import (
    Arrivals,
    Devices,
    Episode,
    Events,
    Gate,
    Kind,
    Mobility,
    Positive,
    Providers,
    Radio,
    Requests,
    Rewards,
    Tables,
    strict,
)


class ScenarioError(ValueError):
    """A scenario is not valid. Names the field, the value and the fix."""


@strict
class Scenario:
    """All that defines a world; field names are the YAML keys."""

    id: str
    """`namespace/name-vN`."""
    title: str = ""
    """One line for people."""
    about: str = ""
    """A description for people, in Markdown."""
    source: str = ""
    """Where the model comes from: a paper or a report."""
    experts: tuple[str, ...]
    """The E experts in order; expert e is hosted by provider e modulo P."""
    queue_limit_s: Positive = 10.0
    """A placement that finds more backlog is refused."""
    episode: Episode = Episode()
    tables: Tables = Tables()
    requests: Requests = Requests()
    kinds: dict[str, Kind] = Field(default_factory=dict)
    """By the name of a table: where its requests differ."""
    arrivals: Arrivals = Arrivals()
    gate: Gate = Gate()
    radio: Radio = Radio()
    mobility: Mobility = Mobility()
    devices: Devices = Devices()
    providers: Providers = Providers()
    rewards: Rewards = Rewards()
    events: Events = Events()

    def __repr__(self) -> str:
        return scenario_line(self)

    def _repr_html_(self) -> str:
        return scenario_html(self)

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        for names, name in ((self.experts, "experts"), (self.quality_tables, "tables.quality")):
            _check(len(names) > 0, name, names, f"name at least one {'expert' if name == 'experts' else 'table'}")
            _check(len(set(names)) == len(names), name, names, "name each once")
        self._check_requests()
        self._check_devices()
        self._check_providers()
        _check(
            self.devices.act or self.providers.act,
            "devices.act",
            False,
            "somebody must act: set one of the roles to true",
        )
        others = self.rewards.others
        _check(not (others and self.rewards.team), "rewards.others", others, "goes with rewards.team 0: set that to 0")
        failing = self.events.outage_expert
        _check(not failing or failing in self.experts, "events.outage_expert", failing, f"is not one of {self.experts}")
        return self

    def _check_requests(self) -> None:
        for table in self.kinds:
            _check(
                table in self.quality_tables, "kinds", table, f"is not one of tables.quality = {self.quality_tables}"
            )
        for table in self.quality_tables:
            kind, name = self.kind(table), f"kinds.{table}" if table in self.kinds else "requests"
            _check(
                kind.value_low <= kind.value_high,
                f"{name}.value_low",
                kind.value_low,
                f"must not exceed {name}.value_high = {kind.value_high}",
            )
            _check(
                kind.dispatch == "sequential" or (kind.subtasks > 1 and kind.subtasks == self.requests.subtasks),
                f"{name}.subtasks",
                kind.subtasks,
                "requests.dispatch = parallel asks k experts in one slot: set requests.subtasks to a k of 2 or more, "
                "the same for all kinds",
            )
            places = len(self.experts) + len(self.local_experts)
            _check(
                not self.requests.distinct or kind.subtasks <= places,
                f"{name}.subtasks",
                kind.subtasks,
                f"exceeds the {places} experts, and requests.distinct asks for another one for each part",
            )

    def _check_devices(self) -> None:
        devices = self.devices
        for name in ("power_levels_w", "memory_gb"):
            _check(len(getattr(devices, name)) > 0, f"devices.{name}", (), "give at least one level")
        _check(
            not devices.scripted or devices.scripted < devices.count,
            "devices.scripted",
            devices.scripted,
            f"must be below devices.count = {devices.count}",
        )
        _check(
            len(set(self.local_experts)) == len(self.local_experts),
            "devices.local_expert",
            self.local_experts,
            "name each one once",
        )
        if devices.local_budget_units > 0:
            _check(
                bool(self.local_experts),
                "devices.local_budget_units",
                devices.local_budget_units,
                "needs devices.local_expert",
            )
        if devices.at_home:
            _check(
                self.mobility.model == "static" and self.radio.access == "direct",
                "devices.at_home",
                True,
                "needs mobility.model = static and radio.access = direct: a client stays where its provider stands",
            )

    def _check_providers(self) -> None:
        providers = self.providers
        for name, levels_name in LEVELS.items():
            level, levels = getattr(providers, f"default_{name}"), getattr(providers, levels_name)
            _check(len(levels) > 0, f"providers.{levels_name}", levels, "give at least one level")
            _check(
                level < len(levels),
                f"providers.default_{name}",
                level,
                f"must be below {len(levels)}, the number of levels",
            )
        _check(len(providers.machines) > 0, "providers.machines", (), "give at least one number")
        _check(
            len(self.experts) >= providers.count,
            "providers.count",
            providers.count,
            f"must not exceed the number of experts, {len(self.experts)}: every provider hosts one",
        )

    @property
    def quality_tables(self) -> tuple[str, ...]:
        """The quality tables in use."""
        return _listed(self.tables.quality)

    @property
    def local_experts(self) -> tuple[str, ...]:
        """The compact experts on devices."""
        return _listed(self.devices.local_expert)

    @property
    def places(self) -> tuple[str, ...]:
        """Names of all places of a part: hosted experts, then `local`, or `local/NAME` if there are several."""
        local = self.local_experts
        return (*self.experts, *(["local"] if len(local) == 1 else [f"local/{name}" for name in local]))

    def kind(self, table: str) -> Requests:
        """What the requests of a table are like: `requests`, changed by `kinds`."""
        changes = self.kinds.get(table, Kind())
        own = {name: value for name, value in vars(changes).items() if name != "share" and value is not None}
        return replace(self.requests, **own)  # type: ignore[type-var]

    def acts(self, role: str) -> bool:
        """Whether the agents of a role (`user`, `provider`) decide for themselves."""
        return self.devices.act if role == "user" else self.providers.act

    @property
    def acting(self) -> int:
        """How many users and providers there are, of the roles that decide for themselves."""
        return self.devices.count * self.devices.act + self.providers.count * self.providers.act

    def replace(self, overrides: Mapping[str, Any]) -> Scenario:
        """A copy with some fields changed.

        Args:
            overrides: Dotted field names and values, as `{"devices.count": 32}`; values may be YAML text.

        Raises:
            ScenarioError: for an unknown field or a value that does not fit, with the nearest valid name.
        """
        data = self.to_dict()
        for dotted, value in overrides.items():
            _set(data, str(dotted), parse_value(str(dotted), value) if isinstance(value, str) and value else value)
        return from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """The scenario as plain data."""
        return _plain(asdict(self))  # type: ignore[no-any-return, call-overload]

    def to_yaml(self) -> str:
        """The scenario as YAML."""
        return str(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    def hash(self) -> str:
        """SHA-256 of all that differs from the defaults (names for people aside), 16 hex digits.

        So a field that a later version adds does not change it.
        """
        return self._hash

    @cached_property
    def _hash(self) -> str:
        data = {name: value for name, value in self._departures() if name not in FOR_PEOPLE}
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def _departures(self) -> Iterator[tuple[str, Any]]:
        """Dotted names and plain values of the fields that differ from the defaults."""
        for name, _ in field_docs():
            value, default = self, _NOTHING
            for part in name.split("."):
                value, default = getattr(value, part), _default(type(value), part)
            if value != default:
                yield name, self.to_dict()[name] if name == "kinds" else _plain(value)


def parse_value(name: str, text: str) -> Any:
    """The value of a field, written as YAML.

    Raises:
        ScenarioError: naming the field.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ScenarioError(f"{name}: {text!r} is not valid YAML; put a text with : or brackets in quotes") from None


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
        raise ScenarioError(explain(error, _nearest)) from None


FOR_PEOPLE = ("title", "about", "source")
LEVELS = {
    "price": "price_levels",
    "speed": "speed_levels",
    "views": "view_levels",
    "power": "power_factors",
}
"""The levels that providers choose from: their default's field is `default_<name>`."""
_NOTHING = object()


def field_docs(kind: type = Scenario, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted names and types of all leaf fields, in order."""
    found: list[tuple[str, Any]] = []
    hints = get_type_hints(kind)
    for item in fields(kind):
        name = f"{prefix}{item.name}"
        inner = hints[item.name]
        found += field_docs(inner, f"{name}.") if is_dataclass(inner) and isinstance(inner, type) else [(name, inner)]
    return found


def _default(kind: type, name: str) -> Any:
    """The default of a field, `_NOTHING` if it has none."""
    field = next(item for item in fields(kind) if item.name == name)
    default = field.default if field.default is not MISSING else field.default_factory
    if isinstance(default, FieldInfo):
        return default.get_default(call_default_factory=True)
    return _NOTHING if default is MISSING else default


def _listed(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return names if isinstance(names, tuple) else (names,) if names else ()


def _check(ok: bool, name: str, value: object, fix: str) -> None:
    if not ok:
        raise ValueError(f"{name}: {value!r} {fix}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@cache
def _adapter() -> TypeAdapter[Scenario]:
    return TypeAdapter(Scenario)


def _nearest(name: str) -> str:
    known = [leaf for leaf, _ in field_docs()]
    sections = sorted({leaf.split(".")[0] for leaf in known})
    return "; " + did_you_mean(name, [*known, *sections], f"the sections are {', '.join(sections)}")


def _set(data: dict[str, Any], dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    node: Any = data
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    if isinstance(node, dict) and last in node:
        node[last] = value
    elif isinstance(node, list) and last.isdigit() and int(last) < len(node):
        node[int(last)] = value
    else:
        raise ScenarioError(f"{' '.join(dotted.split())}: unknown field{_nearest(dotted)}")
