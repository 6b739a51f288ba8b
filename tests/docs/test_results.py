"""What docs/ says was found is what was measured, of the scenarios and presets as they are now."""

from __future__ import annotations

import json
import re

import numpy as np
from pages import ROOT, said

from edge_experts.baselines.bench.protocol import load_benchmark, select_cells
from edge_experts.baselines.evaluation.metrics import mean_interval
from edge_experts.baselines.leaderboard.data import CONTROL, MIXTURE, Leaderboard
from edge_experts.baselines.leaderboard.tables import mixture_table
from edge_experts.configs.train.common import budget
from edge_experts.envs import heldout_ids, load_scenario, shipped_ids

REFERENCES = json.loads((ROOT / "results" / "references.json").read_text("utf-8"))
KINDS = ("stock", "batched")


def test_what_is_said_of_the_mixture_is_what_was_measured(board: Leaderboard) -> None:
    """Its difference from the control: the interval of one environment excludes zero, those of the others do not."""
    lines = [line for line in mixture_table(board).split("\n") if "| MoE-PPO |" in line]
    found = {line.split(" | ")[0].strip("| "): re.findall(r"[+-][\d.]+", line.split(" | ")[3]) for line in lines}
    mean, low, high = (float(x) for x in found["text-v1"])
    assert f"{-mean:.3f} [{-high:.3f}, {-low:.3f}] less on `text-v1`" in said("results.md") and high < 0
    for name in ("netmoe-v1", "mixed-v1"):
        assert float(found[name][1]) < 0 < float(found[name][2])
    remedies = [name for name in load_benchmark().algorithms if name.startswith("moe_") and name != MIXTURE]
    assert (
        len(remedies) == 4 and "Four remedies" in said("results.md") and "none beats the control" in said("results.md")
    )
    for env in board.envs:
        assert all(board.runs(env, name).mean() < board.runs(env, CONTROL).mean() for name in remedies)
        for name in (MIXTURE, *remedies):
            for result in board.cells[env][name]:
                assert not any(router["dead_branches"] for router in result["router"].values())
    for result in board.cells["edge_experts/mixed-v1"]["moe_laplace"]:
        router = result["router"]["user"]
        assert router["mutual_information_nats"]["modality"] > 0.99 * router["label_entropy_nats"]["modality"]
    curves = {
        name: np.mean(
            [[p["normalised_score"] for p in r["curve"]] for r in board.cells["edge_experts/text-v1"][name]], 0
        )
        for name in (MIXTURE, CONTROL)
    }
    third = len(curves[MIXTURE]) // 3
    assert (curves[CONTROL] > curves[MIXTURE])[third:].all()


def test_what_is_said_of_deviators_is_what_was_measured(board: Leaderboard) -> None:
    assert "more than doubles its return" in said("results.md")
    found = [
        deviations["provider"]
        for policy, deviations in board.games["exploit_mixed-v0"]["deviations"].items()
        if "checkpoint" in policy
    ]
    assert len(found) >= 3
    for deviation in found:
        assert deviation["gain"]["low"] > 0 and deviation["gain"]["mean"] > deviation["before"]


def test_results_are_of_the_scenarios_and_presets_as_they_are_now(board: Leaderboard) -> None:
    benchmark = load_benchmark()
    for env, by_name in board.cells.items():
        for name, runs in by_name.items():
            entry = benchmark.algorithms[name]
            for result in runs:
                assert result["provenance"]["scenario_hash"] == load_scenario(env).hash()
                assert (result["preset"], result["config"]) == (entry.preset, entry.config), name
                assert budget(env) <= result["env_steps"] < 1.05 * budget(env), name
                assert not result["provenance"]["commit"].endswith("-dirty")
                assert set(result["heldout"]) == set(heldout_ids(env))


def test_no_result_of_the_benchmark_is_missing() -> None:
    cells = select_cells(load_benchmark())
    assert not [cell for cell in cells if not cell.result(ROOT / "results" / "bench").exists()]
    seeds = {
        name: sum(cell.name == name and "text" in cell.env for cell in cells) for name in load_benchmark().algorithms
    }
    assert all(seeds[name] == 5 for name in (MIXTURE, CONTROL, "ppo")) and min(seeds.values()) == 3


def test_runners_learn_alike_as_the_results_say() -> None:
    """Ten seeds of each runner at equal steps, and the difference with its interval."""
    results = json.loads((ROOT / "results" / "netmoe-v0_runner_parity.json").read_text())
    scores = {kind: [r["normalised_score"]["mean"] for r in results if f"/{kind}_" in r["policy"]] for kind in KINDS}
    assert [len(values) for values in scores.values()] == [10, 10]
    less = [b - s for b, s in zip(scores["batched"], scores["stock"], strict=True)]
    text = said("results.md")
    for interval in (*(mean_interval(values) for values in scores.values()), mean_interval(less)):
        assert str(interval) in text


def test_every_scenario_and_twin_has_floor_best_heuristic_and_bound() -> None:
    for name in (*shipped_ids(), *heldout_ids()):
        entry = REFERENCES[load_scenario(name).hash()]
        assert entry["env"] == name and entry["random"] < entry["best_heuristic"]["score"], name
        assert entry["random"] < entry["reference"] and entry["episodes"] >= 50
    assert len(REFERENCES) == len(shipped_ids()) + len(heldout_ids())


def test_games_are_worth_learning_as_the_references_say() -> None:
    for name in shipped_ids():
        scores = REFERENCES[load_scenario(name).hash()]["normalised"]
        assert max(score for policy, score in scores.items() if policy.startswith("fixed:")) <= 0.5, name
        if name != "edge_experts/netmoe-v1":  # alone in its world, a user cannot herd
            assert scores["myopic"] <= 0.6 and scores["coordinated"] >= 0.8, name
