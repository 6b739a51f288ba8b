"""The README's code, commands and tables, as written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_experts.baselines.bench.protocol import load_benchmark, select_cells
from edge_experts.baselines.evaluation.metrics import mean_interval
from edge_experts.baselines.heuristics.policies import POLICIES
from edge_experts.baselines.leaderboard.data import CONTROL, MIXTURE, Leaderboard
from edge_experts.baselines.leaderboard.page import digest, page, presets, with_block
from edge_experts.baselines.leaderboard.tables import mixture_table, short_table
from edge_experts.baselines.pages.scenario_pages import all_pages, learnability_table
from edge_experts.baselines.speed.measure import Measurement, speed_table
from edge_experts.configs.train.common import budget
from edge_experts.envs import heldout_ids, load_scenario, shipped_ids

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCES = json.loads((ROOT / "results" / "references.json").read_text())


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split("\n")[0][:40])
def test_python_blocks_run(code: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=240)


@pytest.mark.parametrize("commands", blocks("bash"), ids=lambda text: text.split("\n")[0][:40])
def test_commands_run_as_written(commands: str, tmp_path: Path) -> None:
    """In an empty folder that holds the scenario from the README and the shipped configurations."""
    (tmp_path / "mine.yaml").write_text(blocks("yaml")[0])
    (tmp_path / "my_algo.py").write_text(next(code for code in blocks("python") if code.startswith("# my_algo.py")))
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands.strip().split("\n"):
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PATH": path},
        )
        assert done.returncode == 0, f"{command}\n{done.stderr[-2000:]}"


def test_the_blocks_are_found() -> None:
    assert len(blocks("python")) == 6 and len(blocks("bash")) == 3 and len(blocks("yaml")) == 1


def test_the_examples_are_short() -> None:
    assert len(blocks("yaml")[0].strip().split("\n")) <= 10
    algorithm = next(code for code in blocks("python") if code.startswith("# my_algo.py"))
    assert len([line for line in algorithm.split("\n") if line.strip()]) <= 10


def test_every_policy_is_listed_with_its_description() -> None:
    for name, (_, text) in POLICIES.items():
        assert f"| `{name}` | {text} |" in TEXT


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    return Leaderboard.load(ROOT / "results" / "bench", REFERENCES)


def test_the_leaderboard_is_that_of_the_results(board: Leaderboard) -> None:
    """Made again with `make report`."""
    assert (ROOT / "results" / "leaderboard.md").read_text("utf-8") == page(board)
    assert with_block(TEXT, short_table(board)) == TEXT
    for path, text in presets(board, ROOT / "configs" / "train").items():
        assert path.read_text("utf-8") == text, path.name


def test_the_figures_are_drawn_from_the_results(board: Leaderboard) -> None:
    from PIL import Image

    names = set(re.findall(r"images/(bench_[\w-]+\.png)", page(board)))
    assert len(names) >= 2 + len(board.envs)
    for name in names:
        with Image.open(ROOT / "results" / "images" / name) as picture:
            assert picture.info["Results"] == digest(board), name


def test_what_is_said_of_the_mixture_is_what_was_measured(board: Leaderboard) -> None:
    """Its difference from the control on every environment: the interval of one excludes zero, those of the others do not."""
    lines = [line for line in mixture_table(board).split("\n") if "| MoE-PPO |" in line]
    found = {line.split(" | ")[0].strip("| "): re.findall(r"[+-][\d.]+", line.split(" | ")[3]) for line in lines}
    mean, low, high = (float(x) for x in found["text-v0"])
    assert f"{-mean:.3f} [{-high:.3f}, {-low:.3f}] less on `text-v0`" in TEXT and high < 0
    for name in ("netmoe-v0", "mixed-v0"):
        assert float(found[name][1]) < 0 < float(found[name][2])
    remedies = [name for name in load_benchmark().algorithms if name.startswith("moe_") and name != MIXTURE]
    assert len(remedies) == 4 and "Four remedies" in TEXT and "none beats the control" in TEXT
    for env in board.envs:
        assert all(board.runs(env, name).mean() < board.runs(env, CONTROL).mean() for name in remedies)
        for name in (MIXTURE, *remedies):
            for result in board.cells[env][name]:
                assert not any(router["dead_branches"] for router in result["router"].values())
    for result in board.cells["edge_experts/mixed-v0"]["moe_laplace"]:
        router = result["router"]["device"]
        assert router["mutual_information_nats"]["modality"] > 0.99 * router["label_entropy_nats"]["modality"]
    curves = {
        name: np.mean(
            [[p["normalised_score"] for p in r["curve"]] for r in board.cells["edge_experts/text-v0"][name]], 0
        )
        for name in (MIXTURE, CONTROL)
    }
    third = len(curves[MIXTURE]) // 3
    assert (curves[CONTROL] > curves[MIXTURE])[third:].all()


def test_what_is_said_of_deviators_is_what_was_measured(board: Leaderboard) -> None:
    assert "more than\ndoubles its return" in TEXT
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


def test_make_targets_and_files_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("console")), re.MULTILINE):
        assert f"\n{target}:" in makefile
    for link in re.findall(r"\]\(([\w/.]+)\)", TEXT):
        assert (ROOT / link).exists(), link


def test_runners_learn_alike_as_the_results_say() -> None:
    """Ten seeds of each runner at equal steps, and the difference with its interval."""
    results = json.loads((ROOT / "results" / "netmoe-v0_runner_parity.json").read_text())
    scores = {kind: [r["normalised_score"]["mean"] for r in results if f"/{kind}_" in r["policy"]] for kind in KINDS}
    assert [len(values) for values in scores.values()] == [10, 10]
    less = [b - s for b, s in zip(scores["batched"], scores["stock"], strict=True)]
    text = (ROOT / "results" / "README.md").read_text()
    for interval in (*(mean_interval(values) for values in scores.values()), mean_interval(less)):
        assert str(interval) in text
    assert str(mean_interval(less)) in TEXT


KINDS = ("stock", "batched")


def test_the_tables_of_what_heuristics_reach_are_those_of_the_references() -> None:
    for line in learnability_table(REFERENCES).split("\n"):
        assert line in TEXT, line


def test_every_scenario_and_twin_has_floor_best_heuristic_and_bound() -> None:
    for name in (*shipped_ids(), *heldout_ids()):
        entry = REFERENCES[load_scenario(name).hash()]
        assert entry["env"] == name and entry["random"] < entry["best_heuristic"]["score"], name
        assert entry["random"] < entry["clairvoyant"] and entry["episodes"] >= 50
    assert len(REFERENCES) == len(shipped_ids()) + len(heldout_ids())


def test_games_are_worth_learning_as_the_references_say() -> None:
    for name in shipped_ids():
        scores = REFERENCES[load_scenario(name).hash()]["normalised"]
        assert max(score for policy, score in scores.items() if policy.startswith("fixed:")) <= 0.5, name
        if name != "edge_experts/netmoe-v0":  # alone in its world, a device cannot herd
            assert scores["myopic"] <= 0.6 and scores["coordinated"] >= 0.8, name


def test_the_pages_of_the_scenarios_are_up_to_date() -> None:
    """Made again with `python -m edge_experts.baselines.pages.scenario_pages`."""
    assert (ROOT / "configs" / "scenarios" / "README.md").read_text("utf-8") == all_pages(REFERENCES)
    for name in shipped_ids():
        assert (ROOT / "results" / "images" / f"{name.split('/')[1]}.png").read_bytes()[:4] == b"\x89PNG"


def test_speed_tables_are_those_of_the_measurements() -> None:
    data = [
        json.loads((ROOT / "results" / "speed" / f"{name}.json").read_text()) for name in ("engine", "training", "grid")
    ]
    rows = [Measurement(**row) for part in data for row in part["measurements"]]
    page = (ROOT / "results" / "speed" / "README.md").read_text()
    for line in speed_table(rows).split("\n"):
        assert line in page, line
    shown = [line for line in TEXT.split("\n") if line in speed_table(rows).split("\n")]
    assert len(shown) >= 12  # the README's own table is a part of it
    for name in ("mobile-env", "mpe2", "lbforaging", "rware", "vmas", "stock runner", "bare loop"):
        assert any(name in line for line in shown), name
