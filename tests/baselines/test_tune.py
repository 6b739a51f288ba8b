"""The recorded search of settings: what it draws, what it keeps, how it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_experts.baselines.bench.cell import PRESETS
from edge_experts.baselines.bench.tune import Search, as_config, load_search, read_trials, search_settings
from edge_experts.baselines.cli import main


def quadratic(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Best at a rate of 0.001 and a discount of 0.8."""
    score = -abs(drawn.get("lr", 0.01) - 0.001) * 100 - abs(drawn.get("gamma", 0.0) - 0.8)
    return {"score": score, "scores": dict.fromkeys(load_search().envs, score), "steps": 1, "cpu_time_s": 0.1}


def test_a_search_begins_with_the_preset_and_finds_better(tmp_path: Path) -> None:
    search = replace(load_search(), trials=24)
    trials = search_settings("ppo", search, tmp_path / "ppo.jsonl", quadratic)
    assert len(trials) == 24 and trials[0]["config"] == {}
    space = search.space("ppo")
    for trial in trials[1:]:
        assert trial["config"].keys() == space.keys()
        for name, value in trial["config"].items():
            setting = space[name]
            assert value in setting.choices or setting.low <= value <= setting.high
            assert isinstance(value, int) == (name in ("num_epochs", "minibatch_size")), "as RLlib takes them"
    assert max(t["score"] for t in trials[12:]) > max(t["score"] for t in trials[:6])
    assert read_trials(tmp_path / "ppo.jsonl") == trials


def test_a_search_that_was_stopped_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    search_settings("ppo", replace(load_search(), trials=14), whole, quadratic)
    for trials in (3, 13, 14):
        search_settings("ppo", replace(load_search(), trials=trials), parts, quadratic)
        with parts.open("a") as torn:
            torn.write('{"config": {"lr": ')  # killed while it wrote
    assert read_trials(parts) == read_trials(whole)
    assert parts.read_bytes() == whole.read_bytes()


def test_records_of_something_else_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "ppo.jsonl"
    file.write_text("[]\n")
    with pytest.raises(ValueError, match=r"ppo.jsonl:1: is no trial of edge-experts tune"):
        read_trials(file)
    file.unlink()
    search_settings("ppo", replace(load_search(), trials=1), file, quadratic)
    with pytest.raises(ValueError, match="holds trials of another search"):
        search_settings("ppo", replace(load_search(), trials=2, envs=("edge_experts/netmoe-v1",)), file, quadratic)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("spaces: {ppo: {lr: {low: 1, high: 0.5}}}", "low 1.0 and high 0.5 must rise"),
        ("spaces: {ppo: {lr: {low: 0, high: 0.5, log: true}}}", "must rise from above 0"),
        ("spaces: {ppo: {lr: {low: 0.1}}}", "give choices, or low and high"),
        ("algorithms: {ppo: soft}", "algorithms.ppo: there is no space 'soft'"),
        ("trials: 0", "trials"),
        ("colour: red", "colour"),
    ],
)
def test_wrong_searches_are_one_line(
    change: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = {"envs": "[netmoe-v1]", "steps": "256", "trials": "1", "episodes": "2"}
    lines |= {"spaces": "{ppo: {lr: {low: 0.001, high: 0.002}}}", "algorithms": "{ppo: ppo}"}
    key, _, value = change.partition(": ")
    file = tmp_path / "search.yaml"
    file.write_text("".join(f"{k}: {v}\n" for k, v in {**lines, key: value}.items()))
    assert main(["tune", "--algo", "ppo", "--search", str(file), "--results", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_wrong_names_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--algo", "pppo"]) == 2
    assert "--algo: 'pppo' is not tuned here; did you mean 'ppo'?" in capsys.readouterr().err
    assert main(["tune", "--algo", "ppo", "--envs", "CartPole-v1"]) == 2
    assert "--envs: 'CartPole-v1' is not one of ours" in capsys.readouterr().err


def test_every_space_is_of_settings_that_its_algorithms_have() -> None:
    """And every algorithm that learns from experience is tuned by as many trials."""
    from edge_experts.agents.job import read_file, update_config

    search: Search = load_search()
    presets = {p.stem for p in PRESETS.glob("*.py")} - {"common", "__init__", "bc", "marwil", "generalist"}
    assert set(search.algorithms) == presets
    for algo in search.algorithms:
        config, _, _ = read_file(PRESETS / f"{algo}.py", "edge_experts/text-v1")
        first = {name: (s.choices or (s.low,))[0] for name, s in search.space(algo).items()}
        update_config(config, as_config(first, search.steps))
        config.validate()


def test_a_trial_trains_and_is_scored(
    tmp_path: Path, ray_here: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--envs", "edge_experts/netmoe-v1", "--trials", "2", "--steps", "4096", "--episodes", "8"]
    assert main(["tune", "--algo", "ppo", *small, "--results", "out"]) == 0
    first, second = (json.loads(line) for line in Path("out/ppo.jsonl").read_text().splitlines())
    assert first["config"] == {} and second["config"]["lr"] > 0 and first["steps"] >= 4096
    assert first["score"] != second["score"] and first["cpu_time_s"] > 0
    out = capsys.readouterr().out
    assert "the preset as it is" in out and "2 trials in out/ppo.jsonl" in out
