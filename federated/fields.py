"""Strict settings from plain data: frozen dataclasses, dotted changes, and one line for whatever is wrong."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from edge_experts.envs.io.strict_yaml import explain
from edge_experts.envs.io.suggestions import did_you_mean

T = TypeVar("T")


def build(kind: type[T], data: Mapping[str, Any], changes: Mapping[str, Any]) -> T:
    """Settings of a kind.

    Args:
        kind: A strict dataclass.
        data: Its fields, nested as it is.
        changes: Dotted fields and their values, as `{"split.concentration": 0.3}`.

    Raises:
        ValueError: naming the field, the value and the fix.
    """
    wanted = copy.deepcopy(dict(data))
    for name, value in changes.items():
        _set(wanted, name, value, kind)
    try:
        return TypeAdapter(kind).validate_python(wanted)
    except ValidationError as error:
        raise ValueError(explain(error, lambda name: "; " + did_you_mean(name, names(kind)))) from None


def names(kind: type, prefix: str = "") -> list[str]:
    """Dotted names of all fields of a kind."""
    hints, found = get_type_hints(kind), []
    for item in fields(kind):
        inner = hints[item.name]
        found += names(inner, f"{prefix}{item.name}.") if is_dataclass(inner) else [prefix + item.name]  # type: ignore[arg-type]
    return found


def check(ok: bool, name: str, value: object, fix: str) -> None:
    """Refuse a value of a field.

    Raises:
        ValueError: unless it is ok.
    """
    if not ok:
        raise ValueError(f"{name}: {value!r} {fix}")


def _set(data: dict[str, Any], dotted: str, value: Any, kind: type) -> None:
    *path, last = dotted.split(".")
    for part in path:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ValueError(f"{dotted}: {part} holds no fields; {did_you_mean(dotted, names(kind))}")
    data[last] = value
