"""Within the bounds of its fields a scenario plays: whatever they are set to, rewards and observations stay finite."""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import annotated_types
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_experts.envs import Scenario, ScenarioError, World, load_scenario
from edge_experts.envs.schema import LEAST, MOST

ENVS = ["edge_experts/mixed-v1", "edge_experts/vehicles-v1", "edge_experts/text-v1", "edge_experts/specialists-v1"]
MANY = 3  # levels, where a field lists some
# Of these the bounds are about memory and time, not about numbers: worlds as large as that are not made here.
LARGE = {"devices.count": 64, "requests.subtasks": 16, "devices.scripted": 15, "providers.count": 4}


def numbers(hint: Any) -> tuple[type, float, float] | None:
    """Type and bounds of a field that is a number, may be one, or is a list of them."""
    if get_origin(hint) is Annotated:
        base, *meta = get_args(hint)
        found: list[Any] = [part for m in meta for part in (getattr(m, "metadata", None) or [m])]
        ends = [getattr(m, "ge", getattr(m, "gt", None)) for m in found], [getattr(m, "le", None) for m in found]
        low, high = (next((value for value in values if value is not None), None) for values in ends)
        open_at = next((m.gt for m in found if isinstance(m, annotated_types.Gt)), None)
        if base in (int, float):
            assert low is not None and high is not None, "a number without bounds"
            return base, 1e-6 if open_at == low else low, high
        hint = base
    if get_origin(hint) in (Union, types.UnionType, tuple):
        return next((found for arg in get_args(hint) if arg is not Ellipsis and (found := numbers(arg))), None)
    assert hint not in (int, float), "a number without bounds"
    return None


def leaves(kind: type = Scenario, prefix: str = "") -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(kind, include_extras=True)
    for item in fields(kind):  # type: ignore[arg-type]
        name, hint = f"{prefix}{item.name}", hints[item.name]
        if is_dataclass(hint):
            yield from leaves(hint, f"{name}.")  # type: ignore[arg-type]
        else:
            yield name, hint


HINTS = dict(leaves())
NUMBERS = {
    name: found for name, hint in HINTS.items() if name not in ("kinds", "devices.taste") and (found := numbers(hint))
}
NUMBERS["devices.taste"] = (float, LEAST, MOST)  # a number or a word


def value_of(name: str, value: float) -> Any:
    kind = NUMBERS[name][0]
    value = kind(min(value, LARGE.get(name, value)))
    return [value] * MANY if "tuple" in str(HINTS[name]) else value


def play(scenario: Scenario, slots: int = 20) -> None:
    world, rng = World(scenario, 2, seed=3), np.random.default_rng(0)
    for _ in range(slots):
        world.step(*world.sample_actions(rng))
        for role in ("user", "provider"):
            if scenario.acts(role):
                assert np.isfinite(world.views.of(role)[0]).all(), f"observations of a {role}"
            assert np.isfinite(world.records(role).reward).all(), f"rewards of a {role}"


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_every_field_at_its_bounds(name: str) -> None:
    _, low, high = NUMBERS[name]
    played = 0
    for env in ENVS:
        for value in (low, high):
            try:
                play(load_scenario(env, {name: value_of(name, value)}))
                played += 1
            except ScenarioError:
                pass  # it does not go with the others
    assert played
    beyond = [low - max(1, abs(low)), high * 2 + 1] if NUMBERS[name][0] is int else [-abs(low) * 2 - 1, high * 2 + 1]
    for value in beyond:
        with pytest.raises(ScenarioError, match=f"{name}[.0-9]*: "):
            load_scenario(ENVS[0], {name: [value] if "tuple" in str(HINTS[name]) else value})


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data())
def test_any_fields_at_their_bounds_together(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(NUMBERS)), min_size=2, max_size=8, unique=True))
    changes = {name: value_of(name, data.draw(st.sampled_from(NUMBERS[name][1:]))) for name in names}
    with suppress(ScenarioError):  # they may not go together
        play(load_scenario(data.draw(st.sampled_from(ENVS)), changes), 8)
