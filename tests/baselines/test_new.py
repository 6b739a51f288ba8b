"""Templates of `edge-experts new`: sound as they are written, and never written over anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from edge_experts.baselines.cli import main
from edge_experts.baselines.validation.interface import CHECKS
from edge_experts.baselines.validation.market import MARKET_CHECKS
from edge_experts.baselines.validation.runner import FAULT, run_checks
from edge_experts.envs import EdgeEnv, QualityTable, load_scenario


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("kind", "file"), [("table", "mine_scenario.yaml"), ("scenario", "mine.yaml")])
def test_a_new_market_has_no_fault(kind: str, file: str) -> None:
    assert main(["new", kind, "mine"]) == 0
    text = Path(file).read_text()
    assert "NAME" not in text.replace("NAME.yaml", "") and text.count("#") > 2
    assert load_scenario(file).id == "me/mine-v0"
    slow = {"worth learning", "observations vary", "actions matter", "library API", "speed"}
    checks = {name: check for name, check in CHECKS.items() if name not in slow}
    checks |= {name: lambda _, c=check: c(file) for name, check in MARKET_CHECKS.items() if name not in slow}
    found = run_checks(lambda: EdgeEnv(file), checks)
    assert len(found) > 12 and not [finding for finding in found if finding.verdict == FAULT], found


def test_a_new_table_says_what_it_holds() -> None:
    assert main(["new", "table", "mine"]) == 0
    table, shipped = QualityTable.load("mine.csv"), QualityTable.load("text")
    assert len(table.prompts) == 80 and table.status["quality"] == "recorded"
    row = next(i for i, prompt in enumerate(shipped.prompts) if (prompt, shipped.category[i]) == (table.prompts[0], 0))
    assert table.quality[0].tolist() == shipped.select(table.experts).quality[row].tolist(), "recorded figures"
    columns = Path("mine.csv").read_text().splitlines()[0].split(",")
    assert set(yaml.safe_load(Path("mine.yaml").read_text())["status"]) < set(columns)


def test_a_new_environment_has_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "env", "second-price"]) == 0
    assert "next: edge-experts validate second-price.py:SecondPrice" in capsys.readouterr().out
    assert main(["validate", "second-price.py:SecondPrice"]) == 0
    assert "0 warnings, 0 faults" in capsys.readouterr().out


def test_nothing_is_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine_experts.csv").write_text("mine")
    assert main(["new", "table", "mine"]) == 2
    assert "NAME: mine_experts.csv is there already, and is left alone" in capsys.readouterr().err
    assert [file.name for file in Path().iterdir()] == ["mine_experts.csv"]
    assert Path("mine_experts.csv").read_text() == "mine"
    for name in ("../up", "1st", "a b", ""):
        assert main(["new", "env", name]) == 2
        assert "must begin with a letter" in capsys.readouterr().err
