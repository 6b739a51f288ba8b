"""The benchmark on several markets at once: one policy, a score for each market, no row of the leaderboard."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_experts.baselines.bench.cell import run_cell
from edge_experts.baselines.bench.protocol import Task, load_benchmark, select_cells
from edge_experts.baselines.bench.scheduler import _write_references
from edge_experts.baselines.leaderboard.data import Leaderboard
from edge_experts.baselines.pages.markets_tables import markets_block

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


def test_one_policy_is_scored_on_every_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_here: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name, users in (("one", 2), ("two", 4)):
        Path(f"{name}.yaml").write_text(MARKET.format(name=name, users=users))
    Path("bench.yaml").write_text(PROTOCOL)
    benchmark = load_benchmark(Path("bench.yaml"))
    (cell,) = select_cells(benchmark, envs=["one.yaml,two.yaml"])
    runs, results = Path("runs"), Path("results")
    assert cell.result(results) == results / "markets" / "one-v0_two-v0" / "mixture" / "seed_0.json"
    references = _write_references(set(), benchmark, runs, {"one.yaml", "two.yaml"})
    short = replace(benchmark, steps=96)
    run_cell(Task(cell=cell, benchmark=short, runs=runs, results=results, references=references))
    found = json.loads(cell.result(results).read_text())
    assert set(found["scores"]) == {"one.yaml", "two.yaml"} == set(found["provenance"]) and found["heldout"] == {}
    assert found["normalised_score"] == pytest.approx(sum(found["scores"].values()) / 2)
    assert 0 < found["active_parameters"] < found["parameters"] and found["env_steps"] >= 96
    assert (
        found["command"].startswith("rllib train file configs/train/moe_ppo.py")
        and "--env one.yaml,two.yaml" in (found["command"])
    )
    with pytest.raises(ValueError, match="there are no results"):
        Leaderboard.load(results, {})


def test_a_market_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'CartPole-v1' of 'CartPole-v1,netmoe-v1' is none of our markets"):
        select_cells(load_benchmark(), ["ppo"], ["CartPole-v1,netmoe-v1"])


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
