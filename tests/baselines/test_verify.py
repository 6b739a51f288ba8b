"""Results are played again, told apart from those of other versions, and judge how long further ones will take."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_experts.baselines.bench.cell import run_cell
from edge_experts.baselines.bench.forecast import duration, forecast, steps_of
from edge_experts.baselines.bench.protocol import Task, load_benchmark, select_cells
from edge_experts.baselines.bench.scheduler import _write_references
from edge_experts.baselines.bench.verify import verify
from edge_experts.baselines.cli import main
from edge_experts.baselines.leaderboard.stale import origins, why_stale
from edge_experts.baselines.provenance import provenance
from edge_experts.envs import load_scenario

PROTOCOL = """
envs: [small.yaml]
seeds: 1
episodes: 4
curve_points: 1
curve_episodes: 2
algorithms:
  mine: {preset: moe_ppo, config: {
    num_envs_per_env_runner: 8, train_batch_size_per_learner: 64, minibatch_size: 32, hidden: [8, 8]}}
"""
MARKET = """
id: me/small-v0
experts: [gemma-7b-it, reka-flash]
providers: {count: 2}
devices: {count: 3}
episode: {slots: 6}
"""
OUTSIDE = """
import numpy as np


def idle(observations, masks):
    return {"user": np.stack([m.argmax(-1) for m in np.split(masks["user"], [-4], axis=-1)], axis=-1)}
"""
RESULT = Path("results") / "bench" / "small" / "mine" / "seed_0.json"
CHECKPOINT = "runs/bench/small/mine/seed_0/checkpoint_000001"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, end_of_ray: None) -> Path:
    """A folder in which one small cell has been run."""
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        Path("small.yaml").write_text(MARKET)
        Path("bench.yaml").write_text(PROTOCOL)
        Path("mine.py").write_text(OUTSIDE)
        benchmark = replace(load_benchmark(Path("bench.yaml")), steps=64)
        for cell in select_cells(benchmark, outside=["mine.py:idle"]):
            references = _write_references({"small.yaml"}, benchmark, Path("runs"))
            results = Path("results") / "bench"
            run_cell(
                Task(cell=cell, benchmark=benchmark, runs=Path("runs/bench"), results=results, references=references)
            )
    return folder


@pytest.fixture
def workplace(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def changed(name: str, **more: Any) -> str:
    """A copy of the result with other fields."""
    path = Path(f"{name}.json")
    path.write_text(json.dumps({**json.loads(RESULT.read_text()), **more}))
    return str(path)


def test_a_result_agrees_with_what_its_policy_does(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(RESULT)]) == 0
    told = capsys.readouterr().out
    assert "all " in told and "weights_sha256" in told and "differs" not in told
    assert main(["export", CHECKPOINT, "--save", "exported"]) == 0
    assert main(["verify", str(RESULT), "--policy", "exported"]) == 0
    compared = {c.name: c for c in verify(RESULT)}
    assert {"weights_sha256", "episodes", "normalised_score", "measures.gini_index"} <= set(compared)
    outside = "results/bench/small/mine.idle/seed_0.json"
    assert main(["verify", outside, "--policy", "mine.py:idle"]) == 0


def test_what_differs_is_named(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = json.loads(RESULT.read_text())["normalised_score"]
    told = changed("better", normalised_score=score + 1e-12, weights_sha256="0" * 64)
    assert main(["verify", told, "--policy", CHECKPOINT]) == 1
    assert "2 of " in (said := capsys.readouterr().out) and "differ: weights_sha256, normalised_score" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.json"], "nowhere.json"),
        (["results/bench/small/mine.idle/seed_0.json"], "give it, as --policy file.py:name"),
        (["{old}", "--policy", CHECKPOINT], "provenance.versions: it is of version 0.0.1"),
        (["{copy}"], "say what to play, as --policy DIR"),
    ],
)
def test_what_cannot_be_verified_is_one_line(
    words: list[str], said: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(RESULT.read_text())["provenance"]
    old = changed("old", provenance={**told, "versions": {"edge-experts": "0.0.1"}})
    assert main(["verify", *(word.format(old=old, copy=changed("copy")) for word in words)]) == 2
    err = capsys.readouterr().err.strip()
    assert said in err and "\n" not in err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"scenario_hash": "0"}, "'0' is of another small.yaml"),
        ({"tables": {}}, "is another today"),
        ({"versions": {}}, "of version None"),
    ],
)
def test_results_of_other_versions_are_told(change: dict[str, Any], said: str | None, workplace: Path) -> None:
    told = {**provenance(load_scenario("small.yaml")), **change}
    found = why_stale({"env": "small.yaml", "provenance": told})
    assert found is None if said is None else said in str(found)


def test_where_results_come_from_is_one_line() -> None:
    told = [
        {"versions": {"edge-experts": v}, "commit": c} for v, c in (("1.0", "b" * 40), ("1.0", "a" * 40 + "-dirty"))
    ]
    results = [{"provenance": each} for each in [*told, {"versions": {}, "commit": None}]]
    assert origins(results) == "Results of version 1.0 (aaaaaaa with changes, bbbbbbb), version unknown."


def test_the_report_refuses_them_or_names_them(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = workplace / "other" / "small" / "mine"
    folder.mkdir(parents=True)
    told = json.loads(RESULT.read_text())
    told["provenance"]["versions"] = {"edge-experts": "0.0.1"}
    (folder / "seed_0.json").write_text(json.dumps(told))
    asked = ["report", "--results", "other", "--save", "page"]
    assert main(asked) == 2
    assert "1 of 1 results are not of this version, as small/mine/seed_0.json: " in capsys.readouterr().err
    assert not Path("page").exists()
    assert main([*asked, "--stale"]) == 0
    page = Path("page/leaderboard.md").read_text()
    assert "Results of version 0.0.1" in page and "- small/mine/seed_0: provenance.versions" in page


def test_how_long_it_takes_is_said_before_it_begins(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = load_benchmark(Path("bench.yaml"))
    cells = select_cells(benchmark, envs=["small.yaml"], seeds=3)
    assert (
        forecast(cells, benchmark, [tmp_path], 2) == "3 runs to do; there is no result yet to say how long that takes"
    )
    steps = steps_of(cells[0], benchmark)
    for name, rate in (("mine", 1.2), ("other", 40.0)):
        result = {"name": name, "env": "small.yaml", "env_steps": 10, "cpu_time_s": 10 * rate * 1000 / steps}
        (tmp_path / name).mkdir()
        (tmp_path / name / "seed_0.json").write_text(json.dumps(result))
    (tmp_path / "seed_9.json").write_text("{")
    told = forecast(cells, benchmark, [tmp_path], 2)
    assert told == "3 runs to do: about 30 min, 2 at a time (1 h 00 min of processor time, judged by 2 results)"
    assert steps_of(replace(cells[0], env="netmoe-v1>mixed-v1"), benchmark) == 500_000
    assert (duration(5), duration(3600 * 2 + 60 * 5)) == ("a minute", "2 h 05 min")
    assert main(["bench", "--benchmark", "bench.yaml", "--seeds", "2", "--steps", "64", "--list"]) == 0
    assert "1 run to do: about a minute, 1 at a time (a minute of processor time, judged by 1 results)" in (
        capsys.readouterr().out
    )
