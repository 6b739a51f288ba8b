"""What branches add at each concentration: read from the benchmark's results, by seed, as a table and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_experts.baselines.bench.protocol import load_benchmark, select_cells
from edge_experts.envs import load_scenario
from edge_experts.envs.io.strict_yaml import read_yaml
from edge_experts.envs.tables.reading import TABLES_DIR
from edge_experts.federated.report.mixtures import CONTROLS, MIXTURE, differences, mixtures, mixtures_table
from edge_experts.federated.report.pictures import draw_law

ROOT = Path(__file__).parents[2]
LAW = load_benchmark(ROOT / "configs" / "law.yaml")


def write(folder: Path, env: str, name: str, seed: int, score: float, table: str) -> None:
    file = folder / env / name / f"seed_{seed}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    scenario = {"tables": {"quality": table}}
    found: dict[str, Any] = {"name": name, "seed": seed, "normalised_score": score, "env_steps": 10}
    file.write_text(json.dumps({**found, "provenance": {"scenario": scenario}}))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for seed in range(2):
        for name, score in ((MIXTURE, 0.9 + 0.1 * seed), ("dense_ppo", 0.8), ("dense_work", 0.95)):
            write(tmp_path, "a", name, seed, score, "digits_iid")
            write(tmp_path, "b", name, seed, score - 0.1, "digits_dirichlet01")
    write(tmp_path, "c", MIXTURE, 0, 0.5, "digits_dirichlet03")
    return tmp_path


def test_the_protocol_trains_the_mixture_and_its_controls_on_every_table_that_ships() -> None:
    assert set(LAW.algorithms) == {MIXTURE, *CONTROLS}
    tables = [load_scenario(env).tables.quality for env in LAW.envs]
    found = [read_yaml(TABLES_DIR / f"{table}.yaml")["plan"]["split"]["concentration"] for table in tables]
    assert found == [0.1, 0.3, None]
    assert len(select_cells(LAW)) == len(LAW.envs) * 3 * LAW.seeds and LAW.steps


def test_differences_are_of_the_same_seeds_and_concentrations(results: Path) -> None:
    rows = mixtures(results)
    assert [row["concentration"] for row in rows] == [0.1] * 6 + [0.3] + [None] * 6
    assert differences(rows, "dense_ppo") == {0.1: pytest.approx([0.1, 0.2]), None: pytest.approx([0.1, 0.2])}
    lines = mixtures_table(rows).splitlines()
    assert lines[2].startswith("| 0.1 | 0.850 ± 0.635 | +0.150 ± 0.635 | +0.000 ± 0.635 | 2 |")
    assert lines[3] == "| 0.3 | 0.500 ± 0.000 | - | - | 1 |" and lines[4].startswith("| IID | 0.950")


def test_the_picture_has_both_panels(results: Path, tmp_path: Path) -> None:
    law = [
        {"concentration": value, "seed": 0, "single": 0.4, "category": 0.5, "gate": 0.6, "oracle": 0.7}
        for value in (0.1, 0.3, None)
    ]
    draw_law(law, tmp_path / "one.png")
    draw_law(law, tmp_path / "both.png", mixtures(results))
    from matplotlib.image import imread

    one, both = (imread(tmp_path / f"{name}.png").shape for name in ("one", "both"))
    assert both[0] == one[0] and both[1] == 2 * one[1]


def test_a_result_on_another_market_is_refused(results: Path) -> None:
    write(results, "d", MIXTURE, 0, 0.5, "text")
    with pytest.raises(ValueError, match=r"'text' is no table of `edge-experts federate --table`"):
        mixtures(results)


def test_stored_results_are_of_the_protocol_from_a_clean_commit() -> None:
    files = sorted((ROOT / "results" / "mixture").glob("*/*/seed_*.json"))
    assert files
    for file in files:
        found = json.loads(file.read_text("utf-8"))
        entry = LAW.algorithms[found["name"]]
        assert found["env"] in LAW.envs and (found["preset"], found["config"]) == (entry.preset, entry.config)
        assert found["env_steps"] >= (LAW.steps or 0) and not found["provenance"]["commit"].endswith("-dirty")
        assert found["provenance"]["scenario_hash"] == load_scenario(found["env"]).hash()
