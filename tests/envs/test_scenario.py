"""Scenarios: strict YAML, overrides, and one clear error for each kind of bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_experts.envs import ScenarioError, World, load_scenario, shipped_ids
from edge_experts.envs.scenario import from_dict


@pytest.mark.parametrize("name", shipped_ids())
def test_shipped_scenarios_round_trip(name: str, tmp_path: Path) -> None:
    scenario = load_scenario(name)
    assert scenario.id == name and scenario.title
    file = tmp_path / "mine.yaml"
    file.write_text(scenario.to_yaml())
    again = load_scenario(file)
    assert again == scenario and again.hash() == scenario.hash()
    assert load_scenario(name.split("/")[1]) == scenario
    assert World(file).reset().users.tobytes() == World(name).reset().users.tobytes()


def test_overrides_take_plain_values_and_text() -> None:
    scenario = load_scenario(
        "text-v1", {"devices.count": 32, "rewards.team": "0.5", "devices.power_levels_w": "[0.1, 0.2]"}
    )
    assert (scenario.devices.count, scenario.rewards.team, scenario.devices.power_levels_w) == (32, 0.5, (0.1, 0.2))
    assert scenario.hash() != load_scenario("text-v1").hash()
    assert load_scenario("text-v1", {"title": "x"}).hash() == load_scenario("text-v1").hash()
    with pytest.raises(AttributeError):
        scenario.devices.count = 3  # type: ignore[misc]


BAD = [
    ({"devices.cuont": 3}, "devices.cuont: unknown field; did you mean 'devices.count'"),
    ({"devices": 3}, "devices: 3 is not valid"),
    ({"devices.count.x": 1}, "devices.count.x: unknown field"),
    ({"": 1}, ": unknown field"),
    ({"devices.count": 0}, "devices.count: 0 .*greater than or equal to 1"),
    ({"devices.count": 2.5}, "devices.count: 2.5"),
    ({"devices.count": "many"}, "devices.count: 'many'.*integer"),
    ({"devices.count": None}, "devices.count: None"),
    ({"devices.churn": 1.5}, "devices.churn: 1.5.*less than or equal to 1"),
    ({"devices.power_levels_w": []}, "devices.power_levels_w: .*at least one level"),
    ({"devices.power_levels_w": [0.1, -1]}, "devices.power_levels_w.1: -1"),
    ({"devices.act": False, "providers.act": False}, "devices.act: False somebody must act"),
    ({"devices.local_expert": ""}, "devices.local_budget_units: 200.0 needs devices.local_expert"),
    ({"devices.local_expert": "gpt-9"}, "devices.local_expert: 'gpt-9' has no scores|unknown expert 'gpt-9'"),
    ({"episode.slot_s": 0}, "episode.slot_s: 0"),
    ({"episode.slots": -1}, "episode.slots: -1"),
    ({"experts": []}, "experts: .*at least one expert"),
    ({"experts": "gemma"}, "experts: 'gemma'"),
    ({"experts": ["reka-core", "reka-core"], "providers.count": 1}, "experts: .*each once"),
    (
        {"experts": ["reka-core", "gpt-9"], "providers.count": 1},
        "experts: 'gpt-9' has no scores|unknown expert 'gpt-9'",
    ),
    ({"experts": ["reka-core", "kling"], "providers.count": 1}, "experts: 'kling' has no scores in text.csv"),
    ({"gate.skill": -0.1}, "gate.skill: -0.1"),
    ({"mobility.model": "fly"}, "mobility.model: 'fly' is not known; known: static, waypoint, highway"),
    ({"arrivals.process": "poison"}, "arrivals.process: 'poison' is not known; did you mean 'poisson'"),
    ({"arrivals.rate_per_s": ".nan"}, "arrivals.rate_per_s: nan"),
    ({"arrivals.rate_per_s": ".inf"}, "arrivals.rate_per_s: inf"),
    ({"providers.count": 9}, "providers.count: 9 must not exceed the number of experts, 8"),
    ({"providers.default_price": 5}, "providers.default_price: 5 must be below 5"),
    ({"providers.speed_levels": [1.0]}, "providers.default_speed: 1 must be below 1"),
    ({"providers.default_bandwidth": 3}, "providers.default_bandwidth: 3"),
    ({"providers.memory_gb": 10}, "providers.memory_gb: 10.0 cannot hold 'gemma-7b-it', which needs 17 GB"),
    ({"requests.value_low": 9}, "requests.value_low: 9.0 must not exceed requests.value_high = 8.0"),
    ({"tables.split": "test"}, "tables.split: 'test'"),
    ({"tables.prompts": 5000}, "tables.prompts: 5000 exceeds the 811 prompts of split 'train'"),
    ({"tables.quality": "txet"}, "txet: there is no such file"),
]


@pytest.mark.parametrize(("overrides", "message"), BAD, ids=[",".join(o) or "empty" for o, _ in BAD])
def test_bad_overrides_name_field_value_and_fix(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        World("text-v1", overrides=overrides)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "not valid YAML"),
        ("- a\n- b", "a scenario is a mapping"),
        ("", "a scenario is a mapping"),
        ("id: x", "experts: is required"),
        ("id: x\nexperts: [reka-core]\ncolour: red", "colour: unknown field"),
        (
            "id: x\nexperts: [reka-core]\nproviders: {count: 1}\ndevices: {cuont: 3}",
            "devices.cuont: unknown field; did you mean 'devices.count'",
        ),
        ("experts: [reka-core]", "id: is required"),
    ],
)
def test_bad_files_name_the_file(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ScenarioError, match=message) as error:
        load_scenario(file)
    assert "bad.yaml" in str(error.value) and "\n" not in str(error.value)


def test_unknown_ids_and_missing_files() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'edge_experts/text-v1'"):
        load_scenario("txt-v0")
    with pytest.raises(ScenarioError, match="there is no file 'none.yaml'"):
        load_scenario("none.yaml")


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 50) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(section=st.sampled_from(sorted(load_scenario("text-v1").to_dict())), value=json_like)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_value_is_accepted_or_refused_with_one_line(section: str, value: Any) -> None:
    data = load_scenario("text-v1").to_dict()
    data[section] = value
    try:
        scenario = from_dict(data)
    except ScenarioError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert from_dict(yaml.safe_load(scenario.to_yaml())) == scenario
