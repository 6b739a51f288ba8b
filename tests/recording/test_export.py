"""What a recording leaves: a table, experts and a scenario that the market takes as they are."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from plans import CANARY, Run
from scripted import Script

from edge_experts.baselines.cli import main
from edge_experts.envs import ExpertTable, QualityTable, World, load_scenario


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def table(recorded: Path) -> QualityTable:
    return QualityTable.load(recorded / "table.csv", ExpertTable.load(recorded / "experts.csv"))


def test_the_table_holds_every_part_of_every_prompt_on_every_expert(table: QualityTable) -> None:
    assert table.experts == ("alpha", "beta") and table.categories == ("letter", "story")
    assert sorted(zip(table.prompts, table.part.tolist(), strict=True)) == sorted(  # type: ignore[union-attr]
        (str(prompt), part) for prompt in range(6) for part in range(2)
    )
    assert set(table.status.values()) - {"unstated"} == {"recorded"} and "mean of the judges one, two" in table.scale
    assert table.quality[:, 1].mean() > table.quality[:, 0].mean() + 0.1, "the scripted judges find beta better"


def test_figures_are_those_of_the_texts(recorded: Path) -> None:
    texts = [json.loads(line) for line in (recorded / "texts.jsonl").read_text().splitlines()]
    answers = {(t["prompt"], str(t["part"]), t["expert"]): t["text"] for t in texts if "expert" in t}
    for row in rows(recorded / "table.csv"):
        text = answers[row["prompt"], row["part"], row["expert"]]
        assert float(row["work_units"]) == len(text.split())
        assert float(row["output_bits"]) == 8 * len(text.encode())
        assert float(row["usd"]) > 0 and 0 < float(row["seconds"]) < 5 and row["n_ratings"] == "2"
        judged = [float(row[f"judge_{name}"]) for name in ("one", "two")]
        assert float(row["quality"]) == pytest.approx(np.mean(judged))


def test_experts_cost_and_take_what_their_answers_did(recorded: Path) -> None:
    table, experts = rows(recorded / "table.csv"), ExpertTable.load(recorded / "experts.csv")
    for name, expert in experts.experts.items():
        mine = [row for row in table if row["expert"] == name]
        words = sum(float(row["work_units"]) for row in mine)
        assert expert.price_usd_per_unit * words == pytest.approx(sum(float(row["usd"]) for row in mine), rel=1e-4)
        assert expert.seconds_per_unit * words == pytest.approx(sum(float(row["seconds"]) for row in mine), rel=1e-4)
        assert expert.unit == "word" and expert.is_cloud


def test_fusions_are_of_one_expert_of_the_gate_and_random(recorded: Path) -> None:
    fused, table = rows(recorded / "fused.csv"), rows(recorded / "table.csv")
    assert len(fused) == 6 * 4 and {row["how"] for row in fused} == {"gate", "single", "random"}
    score = {(row["prompt"], row["part"], row["expert"]): row for row in table}
    for row in fused:
        parts = [score[row["prompt"], str(i), row[f"expert_{i}"]] for i in range(2)]
        words = [float(part["work_units"]) for part in parts]
        mean = np.average([float(part["quality"]) for part in parts], weights=words)
        assert float(row["predicted"]) == pytest.approx(mean)
        assert int(row["changes"]) == (row["expert_0"] != row["expert_1"])
        if row["how"] == "gate":
            for i in range(2):
                gate = {name: float(score[row["prompt"], str(i), name]["gate"]) for name in ("alpha", "beta")}
                assert row[f"expert_{i}"] == max(gate, key=lambda name: gate[name])


def test_the_scenario_is_played_from_anywhere(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = load_scenario(recorded / "scenario.yaml")
    sidecar = yaml.safe_load((recorded / "table.yaml").read_text())
    assert scenario.requests.coherence == sidecar["coherence"]["factor"] and scenario.requests.subtasks == 2
    world = World(scenario, n_worlds=2, seed=1)
    world.reset()
    assert world.scenario.id == "recorded/market-v0"


def test_a_table_beside_a_scenario_is_meant_before_one_in_the_working_folder(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "table.csv").write_text("no table")
    monkeypatch.chdir(tmp_path)
    assert load_scenario(recorded / "scenario.yaml").tables.quality == str(recorded / "table.csv")
    assert load_scenario("text-v1").tables.quality == "text"


def test_texts_and_keys_stay_out_of_what_is_exported(record: Run, script: Script, plan: Path, capfd: Any) -> None:
    script.echo_key = True
    script.faults = lambda number, body: "500" if number in (2, 9) else ""
    assert record() == 0
    script.faults = lambda number, body: "401"
    assert main(["record", str(plan), "--save", str(plan.parent / "other")]) == 2
    assert script.keys == {CANARY}
    told = "".join(capfd.readouterr())
    assert "judges" in told or "gate: HTTP 401: the key in EDGE_KEY is not taken" in told
    files = [file for file in plan.parent.rglob("*") if file.is_file()]
    assert len(files) > 8 and CANARY not in told
    for file in files:
        assert CANARY.encode() not in file.read_bytes(), file
        if file.parent.name == "out" and not file.name.startswith("calls.sqlite"):
            assert b"writes about" not in file.read_bytes(), file
    assert b"writes about" in (plan.parent / "out" / "calls.sqlite").read_bytes()


def test_what_cannot_be_scored_is_left_out_and_said(record: Run, script: Script, plan: Path) -> None:
    script.faults = lambda number, body: (
        "json" if body["model"] == "beta" and "first half of task number 2" in body["messages"][0]["content"] else ""
    )
    assert record() == 0
    out = plan.parent / "out"
    left_out = yaml.safe_load((out / "table.yaml").read_text())["left_out"]
    assert left_out == [{"prompt": "2", "part": 0, "why": "expert 'beta' gave no usable answer"}]
    table = QualityTable.load(out / "table.csv", ExpertTable.load(out / "experts.csv"))
    assert len(table.prompts) == 7
    assert not [row for row in rows(out / "fused.csv") if row["prompt"] == "2"]
    asked = len(script.seen)
    assert record("--resume") == 0 and len(script.seen) == asked, "what is marked is not asked again"


def test_the_dashboard_shows_judges_and_fusions(recorded: Path, tmp_path: Path) -> None:
    assert main(["dashboard", str(recorded), "--html", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text("utf-8")
    for told in ("Recording market", "Krippendorff", "coherence factor", "Points for padding", "1 changes of expert"):
        assert told in text, told


def test_a_table_may_be_parquet(record: Run, plan: Path) -> None:
    out = plan.parent / "out"
    assert record() == 0
    before = QualityTable.load(out / "table.csv", ExpertTable.load(out / "experts.csv"))
    plan.write_text(f"format: parquet\n{plan.read_text()}")
    assert record("--resume") == 0 and not (out / "table.csv").exists(), "one table, with the sidecar's checksum"
    after = QualityTable.load(out / "table.parquet", ExpertTable.load(out / "experts.csv"))
    for name in ("quality", "output_bits", "work_units", "part", "n_ratings"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    assert np.array_equal(before.dimensions["gate"], after.dimensions["gate"])
    assert before.prompts == after.prompts and before.measured["usd"].tolist() == after.measured["usd"].tolist()
    world = World(out / "scenario.yaml")
    assert world.tables[0].path.name == "table.parquet"
