"""A plan, prompts or a folder that is not valid is refused in one line, before anybody is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from plans import Run
from scripted import Script

from edge_experts.baselines.cli import main
from edge_experts.recording.calls.store import Store


def plan_with(before: str, after: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "plan.yaml").read_text()
        assert before in text
        (folder / "plan.yaml").write_text(text.replace(before, after))

    return change


def prompts_of(*lines: str, name: str = "prompts.jsonl") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text("\n".join(lines))
        plan_with("prompts.jsonl", name)(folder)

    return change


def row(**fields: object) -> str:
    return json.dumps({"id": "a", "category": "x", "text": "write", **fields})


def two_of_one_category_held_out(folder: Path) -> None:
    rows = [row(id=f"p{i}", category="common" if i else "rare") for i in range(5)]
    import numpy as np

    from edge_experts.envs.tables.quality_table import is_heldout

    held = int(np.flatnonzero(is_heldout("text", [f"p{i}" for i in range(5)]))[0])
    rows = [row(id=f"p{i}", category="rare" if i == held else "common") for i in range(5)]
    prompts_of(*rows)(folder)


def another_plan(folder: Path) -> None:
    Store(folder / "out", "another").close()


def no_store(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "calls.sqlite").write_bytes(b"not a database, whatever its name says " * 40)


BAD = {
    "key": (lambda f: plan_with("key_env: EDGE_KEY", "key_env: NO_SUCH_KEY")(f), "gate.key_env: 'NO_SUCH_KEY' is not"),
    "twice": (plan_with("name: beta", "name: alpha"), "experts: 'alpha' is named twice"),
    "unknown": (plan_with("fusions:", "fusion:"), "fusion: unknown field; did you mean 'fusions'?"),
    "missing": (plan_with("gate: {", "fuser2: {"), "gate: is required"),
    "value": (plan_with("parts: 2", "parts: 0"), "parts: 0 is not valid"),
    "clear": (plan_with("http://127.0.0.1", "http://example.org"), "use https"),
    "secret": (plan_with("http://127", "http://me:pass@127"), "holds credentials"),
    "fuser": (plan_with("fuser: {", "#fuser: {"), "fusions: 4 need a fuser"),
    "yaml": (plan_with("experts:", "experts: ["), "is not valid YAML"),
    "no prompts": (plan_with("prompts.jsonl", "none.jsonl"), "prompts: there is no file"),
    "ending": (prompts_of("x", name="prompts.txt"), "must end in .jsonl or .csv"),
    "empty": (prompts_of(""), "holds no prompts"),
    "json": (prompts_of(row(), "{"), "line 2: is not valid JSON"),
    "category": (prompts_of(row(category=None)), "line 1: category: None is missing"),
    "csv": (prompts_of("id,category,text", "1,x,write", "2,,write", name="p.csv"), "line 3: category: '' is missing"),
    "same id": (prompts_of(row(), row()), "id 'a' stands there 2 times"),
    "held out": (two_of_one_category_held_out, "category 'rare': all of its prompts are in the held-out fifth"),
    "anchors": (plan_with("parts: 2", "parts: 2\nanchors: none.csv"), "anchors: there is no file 'none.csv'"),
    "there": (lambda f: another_plan(f), "holds a recording: go on with --resume"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_line_and_no_call(
    name: str, record: Run, script: Script, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, told = BAD[name]
    change(plan.parent)
    assert record() == 2
    err = capsys.readouterr().err.strip()
    assert "\n" not in err and told in err, err
    assert not script.seen and (name == "there" or not (plan.parent / "out").exists())


@pytest.mark.parametrize(
    ("change", "told"), [(another_plan, "is of another plan"), (no_store, "is not a store of calls")]
)
def test_a_store_of_something_else_is_left_alone(
    change: Callable[[Path], None],
    told: str,
    record: Run,
    script: Script,
    plan: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(plan.parent)
    before = (plan.parent / "out" / "calls.sqlite").read_bytes()
    assert record("--resume") == 2
    assert told in capsys.readouterr().err and not script.seen
    assert (plan.parent / "out" / "calls.sqlite").read_bytes() == before


def test_two_recordings_do_not_share_a_folder(record: Run, script: Script, plan: Path, capsys: object) -> None:
    store = Store(plan.parent / "out", "any")
    assert record("--resume") == 2 and not script.seen
    store.close()


@pytest.mark.parametrize("budget", ["0", "-1", "much"])
def test_a_budget_is_positive(budget: str, record: Run, script: Script) -> None:
    assert record(f"--budget-usd={budget}") == 2 and not script.seen


def test_a_dry_run_asks_nobody_and_counts_what_a_run_asks(
    record: Run, script: Script, plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "EDGE_KEY"
    monkeypatch.delenv(key)
    assert record("--dry-run") == 0
    lines = capsys.readouterr().out.split("\n")
    told = {line.split("|")[1].strip(): int(line.split("|")[3].replace(",", "")) for line in lines[2:] if "|" in line}
    assert not script.seen and not (plan.parent / "out").exists()
    monkeypatch.setenv(key, "any")
    assert record() == 0
    assert told["all"] == len(script.seen) == sum(told.values()) / 2
    for role, model in (("gate", "gate"), ("experts.beta", "beta"), ("fuser", "fuser"), ("judges.one", "judge-1")):
        assert told[role] == sum(body["model"] == model for body in script.seen)


def test_prompts_may_be_csv(record: Run, script: Script, plan: Path) -> None:
    lines = ["id,category,text,note", *(f'{i},{"xy"[i % 2]},"write, please\n{i}",' for i in range(4))]
    prompts_of(*lines, name="prompts.csv")(plan.parent)
    assert main(["record", str(plan), "--save", str(plan.parent / "out"), "--dry-run"]) == 0
