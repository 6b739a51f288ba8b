"""Where scenarios come from: shipped ids and their held-out twins, YAML files, and those that users register."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from .heldout import NAMESPACE, changes_of, shifts, twin_ids
from .io.strict_yaml import read_config, read_yaml, shortened
from .io.suggestions import did_you_mean
from .scenario import Scenario, ScenarioError, from_dict, parse_value


def load_scenario(
    source: Scenario | str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> Scenario:
    """Find and validate a scenario.

    Args:
        source: A shipped id (`"edge_experts/text-v1"` or `"text-v1"`; a held-out twin is
            `"edge_experts/text-heldout-outage-v1"`), an id of your own, a YAML file, plain data, or a scenario.
        overrides: Dotted field names and values.

    Raises:
        ScenarioError: naming the field, the value and the fix.
    """
    if isinstance(source, Scenario):
        scenario = source
    elif isinstance(source, Mapping):
        scenario = from_dict(dict(source))
    elif str(source) in _registered:
        scenario = _registered[str(source)]
    elif str(source).endswith((".yaml", ".yml")):
        scenario = _read_file(Path(source))
    else:
        scenario = _read_shipped(str(source))
    if overrides is not None and not isinstance(overrides, Mapping):
        raise ScenarioError(f"overrides: {shortened(overrides)} is no mapping of fields, as {{'devices.count': 32}}")
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
        changes[name] = parse_value(name, value)
    return changes


@cache
def _shipped() -> tuple[str, ...]:
    folder = resources.files(f"{NAMESPACE}.configs.scenarios")
    names = (file.name for file in folder.iterdir())
    return tuple(sorted(f"{NAMESPACE}/{name.removesuffix('.yaml')}" for name in names if name.endswith(".yaml")))


def shipped_ids() -> list[str]:
    """The ids of the scenarios that come with the package, without their held-out twins."""
    return list(_shipped())


_registered: dict[str, Scenario] = {}


def register_scenario(id: str, scenario: Scenario) -> None:
    """Make a scenario of your own known under an id; `edge_experts.envs.register` does it, and checks the id."""
    _registered[id] = replace(scenario, id=id)  # type: ignore[type-var]


def registered_scenarios() -> dict[str, Scenario]:
    """The scenarios registered by users."""
    return dict(_registered)


def heldout_ids(base: str | None = None) -> list[str]:
    """The ids of the held-out twins of one shipped scenario, or of all."""
    return [name for name, (of, _) in twin_ids(shipped_ids()).items() if base is None or of == _full_name(base)]


def _read_file(path: Path) -> Scenario:
    if not path.is_file():
        raise ScenarioError(f"scenario: there is no file '{path}'")
    data = read_yaml(path, ScenarioError)
    try:
        return _with_tables_beside(path, from_dict(data))
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def _with_tables_beside(path: Path, scenario: Scenario) -> Scenario:
    """A scenario whose tables are the files beside it, where files of their names lie there."""

    def found(name: str) -> str:
        beside = path.parent / name
        return str(beside) if beside.suffix and beside.is_file() else name

    data = scenario.to_dict()
    tables = data["tables"]
    quality = tables["quality"]
    tables["experts"] = found(tables["experts"])
    tables["quality"] = found(quality) if isinstance(quality, str) else [found(name) for name in quality]
    data["kinds"] = {found(name): kind for name, kind in data["kinds"].items()}
    return from_dict(data)


def _full_name(name: str) -> str:
    return name if "/" in name else f"{NAMESPACE}/{name}"


def _read_shipped(name: str) -> Scenario:
    full, twins = _full_name(name), twin_ids(shipped_ids())
    if full in twins:
        base, shift = twins[full]
        scenario, what = _read_shipped(base), shifts()[shift]["title"]
        changes = changes_of(base.split("/")[1].rpartition("-")[0], shift)
        shifted, title = scenario.replace(changes), f"{scenario.title}; {what}"
        return replace(shifted, id=full, title=title)  # type: ignore[type-var]
    known = shipped_ids()
    if full not in known:
        newer = [other for other in (*known, *twins) if other.rpartition("-v")[0] == full.rpartition("-v")[0]]
        if newer:
            raise ScenarioError(
                f"scenario: '{name}' is of another version: take {newer[0]} (CHANGELOG.md says what changed; scores of "
                f"two versions cannot be compared)"
            )
        hint = did_you_mean(full, [*known, *twins, *_registered], f"known: {', '.join(known)}")
        raise ScenarioError(f"scenario: '{name}' is not known; {hint} (a file must end in .yaml)")
    return from_dict(read_config(f"scenarios/{full.split('/')[1]}.yaml"))
