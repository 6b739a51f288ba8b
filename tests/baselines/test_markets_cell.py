"""The benchmark on several markets at once: one policy, a score for each market, no row of the leaderboard."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_experts.agents.checkpoints.metadata import checkpoints_of
from edge_experts.agents.job import Job
from edge_experts.agents.market_names import markets_of
from edge_experts.baselines.bench import sequence_cell
from edge_experts.baselines.bench.cell import run_cell
from edge_experts.baselines.bench.protocol import Benchmark, Cell, Task, load_benchmark, select_cells
from edge_experts.baselines.bench.scheduler import _write_references
from edge_experts.baselines.bench.sequence_cell import forgetting
from edge_experts.baselines.leaderboard.data import Leaderboard
from edge_experts.baselines.pages.markets_tables import left_out_block, markets_block, sequence_block
from edge_experts.envs import load_scenario, shipped_ids

RUNS, RESULTS = Path("runs"), Path("results")
MARKET = """
id: me/{name}-v0
experts: [gemma-7b-it, reka-flash]
providers: {{count: 2}}
devices: {{count: {users}}}
episode: {{slots: 6}}
"""
PROTOCOL = """
envs: [one.yaml]
seeds: 1
episodes: 4
algorithms:
  mixture: {preset: moe_ppo, title: a mixture, config: {
    num_envs_per_env_runner: 8, train_batch_size_per_learner: 96, minibatch_size: 48, hidden: [8, 8]}}
"""


@pytest.fixture
def benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    """Two small markets, a short protocol, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    for name, users in (("one", 2), ("two", 4)):
        Path(f"{name}.yaml").write_text(MARKET.format(name=name, users=users))
    Path("bench.yaml").write_text(PROTOCOL)
    return replace(load_benchmark(Path("bench.yaml")), steps=192)


def _run_cell(benchmark: Benchmark, cell: Cell) -> dict[str, Any]:
    references = _write_references(set(), benchmark, RUNS, {"one.yaml", "two.yaml"})
    run_cell(Task(cell=cell, benchmark=benchmark, runs=RUNS, results=RESULTS, references=references))
    found: dict[str, Any] = json.loads(cell.result(RESULTS).read_text())
    return found


def test_one_policy_is_scored_on_every_market(benchmark: Benchmark, ray_here: Any) -> None:
    (cell,) = select_cells(benchmark, envs=["one.yaml,two.yaml"])
    assert cell.result(RESULTS) == RESULTS / "markets" / "one-v0_two-v0" / "mixture" / "seed_0.json"
    found = _run_cell(benchmark, cell)
    assert set(found["scores"]) == {"one.yaml", "two.yaml"} == set(found["provenance"]) and found["heldout"] == {}
    assert found["normalised_score"] == pytest.approx(sum(found["scores"].values()) / 2)
    assert 0 < found["active_parameters"] < found["parameters"] and found["env_steps"] >= 192
    assert (
        found["command"].startswith("rllib train file configs/train/moe_ppo.py")
        and "--env one.yaml,two.yaml" in (found["command"])
    )
    with pytest.raises(ValueError, match="there are no results"):
        Leaderboard.load(RESULTS, {})


def test_weights_go_from_market_to_market(benchmark: Benchmark, ray_here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (cell,) = select_cells(benchmark, envs=["one.yaml > two.yaml"])
    assert cell.result(RESULTS) == RESULTS / "sequences" / "one-v0_then_two-v0" / "mixture" / "seed_0.json"
    whole = sequence_cell.train_on

    def killed(job: Job, folder: Path, steps: int) -> None:
        if folder.name == "stage_1":
            raise KeyboardInterrupt
        whole(job, folder, steps)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sequence_cell, "train_on", killed)
        _run_cell(benchmark, cell)
    (first,) = checkpoints_of(cell.folder(RUNS) / "stage_0")
    written = (first / "manifest.json").stat().st_mtime_ns
    found = _run_cell(benchmark, cell)
    assert (first / "manifest.json").stat().st_mtime_ns == written  # what was done is not done again
    assert [row["env"] for row in found["rows"]] == found["stages"] == ["one.yaml", "two.yaml"]
    assert [row["env_steps"] for row in found["rows"]] == [96, 96] and found["env_steps"] == 192
    one, two = (row["scores"] for row in found["rows"])
    assert set(one) == set(two) == {"one.yaml", "two.yaml"}
    assert found["forgetting"] == pytest.approx(one["one.yaml"] - two["one.yaml"])
    assert found["normalised_score"] == pytest.approx(sum(two.values()) / 2)
    assert "--restore" not in found["commands"][0] and f"--restore {first}" in found["commands"][1]


def test_forgetting_is_the_fall_from_the_best_score_so_far() -> None:
    scores = [{"a": 0.5, "b": 0.1, "c": 0.0}, {"a": 0.7, "b": 0.6, "c": 0.2}, {"a": 0.4, "b": 0.65, "c": 0.9}]
    assert forgetting(scores, last="c") == pytest.approx(((0.7 - 0.4) + (0.6 - 0.65)) / 2)
    assert forgetting([{"a": 0.5}], last="a") == 0.0


def test_a_market_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'CartPole-v1' of 'CartPole-v1,netmoe-v1' is none of our markets"):
        select_cells(load_benchmark(), ["ppo"], ["CartPole-v1,netmoe-v1"])


def test_what_cannot_follow_is_refused() -> None:
    with pytest.raises(ValueError, match="'CartPole-v1' of 'netmoe-v1>CartPole-v1' is none of our markets"):
        select_cells(load_benchmark(), ["ppo"], ["netmoe-v1>CartPole-v1"])


def _run(title: str, scores: tuple[float, float], seed: int) -> dict[str, Any]:
    return {
        "title": title,
        "seed": seed,
        "scores": {"edge_experts/a-v1": scores[0], "edge_experts/b-v1": scores[1]},
        "normalised_score": sum(scores) / 2,
        "heldout": {"edge_experts/a-heldout-v1": scores[0] - 0.1},
        "env_steps": 1000,
        "cpu_time_s": 10.0,
    }


@pytest.mark.parametrize(("gain", "said"), [(0.2, "beats both"), (0.0, "does not beat both"), (-0.2, "does not beat")])
def test_the_page_says_whether_a_mixture_pays(gain: float, said: str, tmp_path: Path) -> None:
    for name, title, base in (("moe_ppo", "MoE", gain), ("dense_ppo", "equal", 0.0), ("dense_work", "work", 0.01)):
        (tmp_path / name).mkdir()
        for seed in range(3):
            run = _run(title, (0.5 + base + 0.01 * seed, 0.7 + base), seed)
            (tmp_path / name / f"seed_{seed}.json").write_text(json.dumps(run))
    page = markets_block(tmp_path)
    assert said in page and f"MoE has {gain:+.3f} [" in page and f"and {gain - 0.01:+.3f} [" in page
    assert f"| MoE | 3 | {0.605 + gain:.3f} | {0.6 + gain:.3f} to {0.61 + gain:.3f} | {0.41 + gain:.3f} |" in page
    assert markets_block(tmp_path / "moe_ppo") == ""


@pytest.mark.parametrize("kept", [0.3, 0.0])
def test_the_page_says_what_was_forgotten(kept: float, tmp_path: Path) -> None:
    for name, title, gain in (("moe_ppo", "MoE", kept), ("dense_ppo", "equal", 0.0), ("dense_work", "work", 0.0)):
        (tmp_path / name).mkdir()
        for seed in range(3):
            rows = [{"scores": {"x/a-v1": 0.9, "x/b-v1": 0.2}}, {"scores": {"x/a-v1": 0.5 + gain, "x/b-v1": 0.8}}]
            run = {"title": title, "stages": ["x/a-v1", "x/b-v1"], "rows": rows, "forgetting": 0.4 - gain}
            run |= {"normalised_score": (1.3 + gain) / 2, "env_steps": 7, "cpu_time_s": 10.0}
            (tmp_path / name / f"seed_{seed}.json").write_text(json.dumps(run))
    page = sequence_block(tmp_path)
    row = f"| MoE | 3 | {0.65 + kept / 2:.3f} | {0.4 - kept:.3f} | 0.90, {0.5 + kept:.2f} | 0.80, 0.80 | 10 |"
    assert row in page and page.count("the mixture beats both") == (2 if kept else 0)
    assert sequence_block(tmp_path / "none") == ""


def test_a_market_is_left_out_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    markets = markets_of("all-text-v1")
    assert "edge_experts/text-v1" not in markets and set(markets) == set(shipped_ids()) - {"edge_experts/text-v1"}
    with pytest.raises(ValueError, match="leaves out 'txt-v1', which is none of compact-v1"):
        markets_of("all-txt-v1")
    monkeypatch.chdir(tmp_path)
    Path("all-mine.yaml").write_text(MARKET.format(name="mine", users=2))
    assert markets_of("all-mine.yaml") == ()  # a file of one's own is a market, whatever it is called
    assert markets_of("all-mine.yaml,text-v1") == ("all-mine.yaml", "text-v1")
    (cell,) = select_cells(load_benchmark(), ["ppo"], ["all-text-v1"], seeds=1)
    assert cell.result(RESULTS) == RESULTS / "markets" / "all-text-v1" / "ppo" / "seed_0.json"


def test_what_was_left_out_stands_beside_who_was_trained_there(tmp_path: Path) -> None:
    market = "edge_experts/text-v1"
    for place, run in {
        "markets/all-text-v1/ppo": {"title": "PPO", "unseen": {market: 0.6}},
        "markets/all/ppo": {"title": "PPO", "scores": {market: 0.7}},
        "text-v1/ppo": {"title": "PPO", "normalised_score": 0.8},
    }.items():
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "seed_0.json").write_text(json.dumps(run))
    references = {load_scenario(market).hash(): {"normalised": {"myopic": 0.5, "coordinated": 0.9}}}
    page = left_out_block(tmp_path / "markets", tmp_path, references)
    assert "| text-v1 | PPO | 1 | 0.60 | 0.70 | 0.80 | 0.50 | 0.90 |" in page
    assert left_out_block(tmp_path / "none", tmp_path, references) == ""
