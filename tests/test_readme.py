"""The README's code, commands and tables, as written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_experts.baselines.pages import all_pages, learnability_table
from edge_experts.baselines.policies import POLICIES
from edge_experts.baselines.speed import Measurement, speed_table
from edge_experts.baselines.statistics import mean_interval
from edge_experts.envs import heldout_ids, load_scenario, shipped_ids
from edge_experts.envs.scenario import from_dict

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split("\n")[0][:40])
def test_python_blocks_run(code: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=240)


@pytest.mark.parametrize("commands", blocks("bash"), ids=lambda text: text.split("\n")[0][:40])
def test_commands_run_as_written(commands: str, tmp_path: Path) -> None:
    """In an empty folder that holds the scenario from the README and the shipped configurations."""
    (tmp_path / "mine.yaml").write_text(blocks("yaml")[0])
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
    assert len(blocks("python")) == 5 and len(blocks("bash")) == 2 and len(blocks("yaml")) == 1


def test_the_scenario_is_ten_lines_at_most() -> None:
    assert len(blocks("yaml")[0].strip().split("\n")) <= 10


def test_every_policy_is_listed_with_its_description() -> None:
    for name, (_, text) in POLICIES.items():
        assert f"| `{name}` | {text} |" in TEXT


@pytest.mark.parametrize("name", ["netmoe-v0_moe_ppo", "text-v0_moe_ppo", "text-v0_dense_ppo"])
def test_trained_scores_are_those_of_the_results(name: str) -> None:
    results = json.loads((ROOT / "results" / f"{name}.json").read_text())
    interval = mean_interval([result["normalised_score"]["mean"] for result in results])
    assert str(interval) in TEXT
    assert len(results) >= (5 if name.startswith("netmoe") else 3)
    for result in results:  # of the scenario as it is now
        scenario = load_scenario(result["env"], {"tables.split": result["split"]})
        assert from_dict(result["provenance"]["scenario"]).hash() == scenario.hash()
    assert f"`{name}.json`" in (ROOT / "results" / "README.md").read_text()


def test_heuristic_scores_are_those_of_the_results() -> None:
    for result in json.loads((ROOT / "results" / "text-v0_heuristics.json").read_text())[1:]:
        score = result["normalised_score"]
        assert f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]" in TEXT, result["policy"]


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
REFERENCES = json.loads((ROOT / "results" / "references.json").read_text())


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
    """Made again with `python -m edge_experts.baselines.pages`."""
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
