"""Malformed scenarios, tables, actions, overrides and command lines: one clear line, exit code 2, nothing left."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pettingzoo import ParallelEnv

from edge_experts.agents.cli import main as rllib
from edge_experts.baselines.cli import main as edge_experts
from edge_experts.envs import EdgeEnv, ScenarioError, TableError, World, load_scenario
from edge_experts.envs.scenario import field_docs
from edge_experts.envs.tables import ExpertTable, QualityTable

# overrides of shipped scenarios: the fields that came with the whole suite
OVERRIDES: list[tuple[str, dict[str, Any], str]] = [
    ("text-v1", {"kinds.video.share": 2}, "kinds.video.share: unknown field"),
    ("text-v1", {"kinds": {"video": {"share": 1}}}, "kinds: 'video' is not one of tables.quality"),
    ("mixed-v1", {"kinds.video.share": 0}, "kinds.video.share: 0 is not valid.*greater than or equal to"),
    ("mixed-v1", {"kinds.video.colour": 1}, "kinds.video.colour: unknown field"),
    ("mixed-v1", {"kinds.video.value_low": 99.0}, "kinds.video.value_low: 99.0 must not exceed"),
    ("mixed-v1", {"tables.quality": []}, "tables.quality: .*name at least one table"),
    ("mixed-v1", {"tables.quality": ["text", "text", "video", "object3d"]}, "tables.quality: .*name each once"),
    ("mixed-v1", {"tables.quality": "text"}, "kinds: 'video' is not one of"),
    (
        "mixed-v1",
        {"tables.prompts": 200},
        "tables.prompts: 200 exceeds the 128 prompts of split 'train' of object3d.csv",
    ),
    (
        "mixed-v1",
        {"experts.0": "gema-7b"},
        "experts: 'gema-7b' has no scores in text.csv, video.csv, obj",
    ),
    ("text-v1", {"experts.99": "reka-core"}, "experts.99: unknown field"),
    ("text-v1", {"requests.rule": "poem"}, "requests.rule: 'poem' is not known"),
    ("text-v1", {"requests.temperature": 0}, "requests.temperature: 0"),
    ("text-v1", {"requests.strict_share": 2}, "requests.strict_share: 2"),
    ("text-v1", {"requests.max_hallucination": -1}, "requests.max_hallucination: -1"),
    ("networked-v1", {"requests.subtasks": 12}, "requests.subtasks: 12 exceeds the 8 experts.*requests.distinct"),
    ("networked-v1", {"mobility.model": "waypoint"}, "devices.at_home: True needs mobility.model = static"),
    ("networked-v1", {"radio.access": "serving"}, "devices.at_home: True needs .*radio.access = direct"),
    ("networked-v1", {"radio.range_m": 0}, "radio.range_m: 0"),
    ("vehicles-v1", {"radio.access": "both"}, "radio.access: 'both'.*'direct' or 'serving'"),
    ("vehicles-v1", {"radio.handover_s": -1}, "radio.handover_s: -1"),
    ("vehicles-v1", {"radio.min_snr_db": "low"}, "radio.min_snr_db: 'low'"),
    ("vehicles-v1", {"devices.scripted": 24}, "devices.scripted: 24 must be below devices.count = 24"),
    ("vehicles-v1", {"devices.scripted": -1}, "devices.scripted: -1"),
    ("compact-v1", {"devices.memory_gb": []}, "devices.memory_gb: .*at least one level"),
    ("compact-v1", {"devices.memory_gb": [0]}, "devices.memory_gb.0: 0"),
    ("compact-v1", {"devices.load_gb_per_s": 0}, "devices.load_gb_per_s: 0"),
    ("compact-v1", {"devices.local_expert": ["gemma-2b-it-q8_0"] * 2}, "devices.local_expert: .*name each one once"),
    (
        "compact-v1",
        {"devices.local_expert.0": "gemma-2b-it-q9"},
        "devices.local_expert: 'gemma-2b-it-q9' .*did you mean",
    ),
    ("object3d-v1", {"providers.view_levels": []}, "providers.view_levels: .*at least one level"),
    ("object3d-v1", {"providers.view_levels": [1.5]}, "providers.view_levels.0: 1.5"),
    ("object3d-v1", {"providers.default_views": 3}, "providers.default_views: 3 must be below 3"),
    ("object3d-v1", {"providers.default_power": 9}, "providers.default_power: 9 must be below 3"),
    ("object3d-v1", {"providers.view_angle_deg": 400}, "providers.view_angle_deg: 400"),
    ("object3d-v1", {"providers.power_factors": [0]}, "providers.power_factors.0: 0"),
    ("object3d-v1", {"providers.machines": []}, "providers.machines: .*at least one number"),
    ("text-v1", {"events.outage_expert": "kling"}, "events.outage_expert: 'kling' is not one of"),
    ("text-v1", {"events.outage_slots": 0}, "events.outage_slots: 0"),
    ("text-v1", {"events.price_factor": 0}, "events.price_factor: 0"),
    ("text-v1", {"events.price_slot": -3}, "events.price_slot: -3"),
    ("text-v1", {"radio.channel": "umy"}, "radio.channel: 'umy' is not known; did you mean 'umi'"),
    ("text-v1", {"title": "a: b: c"}, "title: 'a: b: c' is not valid YAML; put a text with : or brackets in quotes"),
]


@pytest.mark.parametrize(
    ("name", "overrides", "message"), OVERRIDES, ids=[f"{n}-{','.join(o)}" for n, o, _ in OVERRIDES]
)
def test_bad_overrides(name: str, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as error:
        World(name, overrides=overrides)
    assert "\n" not in str(error.value)


EXPERT_ROW = {
    "expert": "mine",
    "modality": "text",
    "unit": "token",
    "host_class": "edge",
    "reference_device": "card",
    **{name: "1" for name in ("parameters", "memory_gb", "seconds_per_unit", "power_w", "price_usd_per_unit")},
    **{
        f"{name}_source": "here"
        for name in ("parameters", "memory_gb", "seconds_per_unit", "power_w", "price_usd_per_unit")
    },
}
EXPERTS: dict[str, tuple[dict[str, str], str]] = {
    "host class": ({"host_class": "moon"}, "column 'host_class': value 'moon' is not one of edge, cloud, device"),
    "no time": ({"seconds_per_unit": "0"}, "column 'seconds_per_unit': value '0' is outside"),
    "no power": ({"power_w": ""}, "column 'power_w': value '' the cell is empty"),
    "negative": ({"price_usd_per_unit": "-1"}, "value '-1' is outside"),
    "base": ({"base": "nobody"}, "column 'base': value 'nobody' is not an uncompressed expert"),
    "factor": (
        {"quality_factor": "1.2", "quality_factor_source": "x"},
        "column 'quality_factor': value '1.2' is outside",
    ),
    "rate": ({"hallucination_rate": "7", "hallucination_rate_source": "x"}, "column 'hallucination_rate': value '7'"),
}


@pytest.mark.parametrize("case", EXPERTS)
def test_bad_tables_of_experts(case: str, tmp_path: Path) -> None:
    change, message = EXPERTS[case]
    row = {**EXPERT_ROW, **dict.fromkeys(("base", "quality_factor", "hallucination_rate"), "")}
    row |= dict.fromkeys(("quality_factor_source", "hallucination_rate_source"), "") | change
    file = tmp_path / "mine.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, row.keys())
        writer.writeheader()
        writer.writerow(row)
    with pytest.raises(TableError, match=message) as error:
        ExpertTable.load(file)
    assert "mine.csv, row 2" in str(error.value) and "\n" not in str(error.value)


ENV_CONFIG = '{"env_config": {"overide": 1}}'


class Unseen(ParallelEnv):  # type: ignore[misc]
    """Renders nothing."""

    metadata = {"render_modes": []}
    possible_agents = ["one"]


OUTSIDE = ["--env", "CartPole-v1"]
COMMANDS: dict[str, tuple[Callable[[list[str]], int], list[str], str]] = {
    "validate nothing": (edge_experts, ["validate", "nothing"], "env: 'nothing' is not known"),
    "validate a bad file": (edge_experts, ["validate", "bad.yaml"], "bad.yaml: devices.cuont: unknown field"),
    "validate no environment": (edge_experts, ["validate", "decimal:Decimal"], "is neither a PettingZoo parallel"),
    "evaluate outside, market policy": (
        edge_experts,
        ["evaluate", "myopic", *OUTSIDE],
        "'myopic' plays markets only",
    ),
    "evaluate outside, set": (
        edge_experts,
        ["evaluate", "random", *OUTSIDE, "--set", "a=1"],
        "--set: is for markets",
    ),
    "evaluate outside, split": (
        edge_experts,
        ["evaluate", "random", *OUTSIDE, "--split", "all"],
        "--split: is for markets",
    ),
    "play outside, save": (
        edge_experts,
        ["play", f"{__file__}:Unseen", "--policy", "random", "--save", "a.png"],
        "does not render as rgb_array (its render_modes are [])",
    ),
    "describe outside, set": (
        edge_experts,
        ["describe", "CartPole-v1", "--set", "a=1"],
        "--set: is for markets",
    ),
    "evaluate several fixed": (
        edge_experts,
        ["evaluate", "fixed:gen3,gpt-9", "--env", "mixed-v1"],
        "'gpt-9' is not an expert",
    ),
    "play no film": (edge_experts, ["play", "text-v1", "--save", "a.avi"], "must end in .png, .gif or .mp4"),
    "play no slots": (edge_experts, ["play", "text-v1", "--slots", "0"], "--slots: 0 must be 1 or more"),
    "play nowhere": (
        edge_experts,
        ["play", "text-v1", "--slots", "1", "--record", "no/such/place"],
        "there is no folder 'no/such'",
    ),
    "describe a twin": (edge_experts, ["describe", "text-heldout-outrage-v1"], "did you mean"),
    "calibrate nothing": (edge_experts, ["calibrate", "txt-v0"], "did you mean 'edge_experts/text-v1'"),
    "calibrate no episodes": (
        edge_experts,
        ["calibrate", "netmoe-v1", "--episodes", "0"],
        "--episodes: 0 must be 2 or more",
    ),
    "dashboard of nothing": (edge_experts, ["dashboard", "nowhere"], "there is no folder 'nowhere'"),
    "dashboard no page": (edge_experts, ["dashboard", ".", "--html", "a.txt"], "must end in .html"),
    "set brackets": (edge_experts, ["describe", "text-v1", "--set", "experts=[a"], "experts: '[a' is not valid YAML"),
    "train a twin's typo": (
        rllib,
        ["train", "--algo", "PPO", "--env", "edge_experts/txt-heldout-price-v0"],
        "did you mean",
    ),
    "train a constant": (rllib, ["train", "--algo", "PPO", "--env", "math:pi"], "is a float, not a class"),
    "train an unknown key": (
        rllib,
        [
            "train",
            "--algo",
            "DQN",
            "--env",
            "text-v1",
            "--config",
            '{"env_config": {"overide": 1}}',
            "--stop",
            '{"env_steps": 1}',
        ],
        "env_config.overide: unknown key; did you mean 'overrides'",
    ),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_bad_command_lines(
    case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("id: x/y-v0\nexperts: [reka-core]\nproviders: {count: 1}\ndevices: {cuont: 3}\n")
    command, arguments, message = COMMANDS[case]
    assert command(arguments) == 2
    shown = capsys.readouterr().err
    last = shown.strip().split("\n")[-1]
    assert message in last and "Traceback" not in shown, shown
    assert [p.name for p in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize("field", [name for name, _ in field_docs()])
def test_every_field_refuses_a_value_of_another_kind(field: str) -> None:
    wrong = 3 if field == "kinds" else {"a": "mapping"}
    with pytest.raises(ScenarioError, match=f"^{re.escape(field)}[.:]? ?"):
        load_scenario("text-v1", {field: wrong})


HEADER = "prompt,category,expert,quality,output_bits,work_units,n_ratings"

# anything at all ----------------------------------------------------------------------------------------------------

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 50) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from([name for name, _ in __import__("edge_experts.envs.scenario", fromlist=["x"]).field_docs()])
QUIET = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@given(field=FIELDS, value=JUNK, name=st.sampled_from(["mixed-v1", "compact-v1", "networked-v1"]))
@QUIET
def test_any_field_takes_a_value_or_says_no_in_one_line(field: str, value: Any, name: str) -> None:
    try:
        load_scenario(name, {field: value})
    except ScenarioError as error:
        assert str(error) and "\n" not in str(error)


@given(text=st.text(max_size=60) | st.binary(max_size=60))
@QUIET
def test_any_file_is_a_scenario_or_refused(text: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("any") / "any.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ScenarioError) as error:
        load_scenario(file)
    assert "any.yaml" in str(error.value) and "\n" not in str(error.value)


@given(seed=st.integers(0, 2**32), cuts=st.integers(1, 4))
@QUIET
def test_any_damage_to_a_table_is_found_or_harmless(
    seed: int, cuts: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = random.Random(seed)
    rows = [HEADER, *(f"{p},prose,{e},0.5,100,10,1" for p in range(4) for e in ("reka-core", "reka-edge"))]
    text = list("\n".join(rows))
    for _ in range(cuts):
        at = rng.randrange(len(text))
        text[at : at + rng.randrange(3)] = rng.choice(["", ",", "\n", "x", "-", "9", '"', "\x00", "é"])
    file = tmp_path_factory.mktemp("table") / "t.csv"
    file.write_text("".join(text), encoding="utf-8")
    try:
        table = QualityTable.load(file)
    except TableError as error:
        assert "t.csv" in str(error) and "\n" not in str(error)
    else:
        assert np.isfinite(table.quality).all() and ((table.quality >= 0) & (table.quality <= 1)).all()


@given(action=JUNK)
@QUIET
def test_any_action_is_played_or_refused(action: Any) -> None:
    env = _ENV
    seen, _ = env.reset(seed=1)
    actions: dict[str, Any] = {a: env.action_space(a).sample(seen[a]["action_mask"]) for a in env.agents}
    try:
        env.step({**actions, "user_0": action})
    except ValueError as error:
        assert "user" in str(error) and "\n" not in str(error)


_ENV = EdgeEnv("text-v1", {"episode.slots": 3, "devices.count": 2})


@given(
    arguments=st.lists(
        st.sampled_from(["describe", "text-v1", "--set", "devices.count=0", "--seed", "x", "list", "--env", ""]),
        max_size=5,
    )
)
@QUIET
def test_any_command_line_answers_without_a_traceback(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = edge_experts(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code in (0, 2) and "Traceback" not in capsys.readouterr().err


def test_a_message_names_the_scenario_file_or_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = "providers: {count: 1, memory_gb: 1}"
    Path("cell.yaml").write_text(f"id: x/y-v0\nexperts: [gemma-7b-it]\n{small}\nrequests: {{value_high: 2}}\n")
    play = ["evaluate", "random", "--env", "cell.yaml", "--episodes", "1"]
    for more, message in (
        ([], "edge-experts: cell.yaml: providers.memory_gb: 1.0 cannot hold"),
        (["--set", "devices.cuont=3"], "edge-experts: devices.cuont: unknown field"),
    ):
        assert edge_experts([*play, *more]) == 2
        assert capsys.readouterr().err.startswith(message)
