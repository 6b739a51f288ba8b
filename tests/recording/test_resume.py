"""A recording that is killed, runs out of money, or is asked for twice: nothing is paid twice and nothing is lost."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from plans import CANARY, Run, write_plan
from scripted import Script, serving

from edge_experts.baselines.cli import main

# imports once, then forks: a child records and is killed at a random moment after it opens its store, and what was in
# flight is written down
PARENT = """
import json, os, random, signal, sqlite3, sys, time
from edge_experts.baselines.cli import main
from edge_experts.recording import run
from edge_experts.recording.calls import client
client._trusted()
plan, folder, seed, times = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
moments, flying = random.Random(seed), []
for _ in range(times):
    ready, begun = os.pipe()
    child = os.fork()
    if not child:
        send = run.Store.send
        run.Store.send = lambda *words: os.write(begun, b"x") and send(*words)
        os._exit(main(["record", plan, "--save", folder, "--resume"]))
    os.close(begun)
    os.read(ready, 1)  # the first call is about to be sent, or nothing was left to do
    os.close(ready)
    time.sleep(moments.uniform(0.0, 0.2))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if os.path.exists(f"{folder}/calls.sqlite"):
        with sqlite3.connect(f"{folder}/calls.sqlite") as db:
            try:
                flying += [key for (key,) in db.execute("SELECT key FROM calls WHERE status = 'sent'")]
            except sqlite3.OperationalError:  # killed before there was a table
                pass
print(json.dumps(flying))
"""


def checksum(model: str, messages: object) -> str:
    return hashlib.sha256(json.dumps([model, messages], sort_keys=True).encode()).hexdigest()


def test_killed_at_twenty_moments_it_asks_again_only_what_was_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_KEY", CANARY)
    script, folder = Script(delay_s=0.05), tmp_path / "out"
    with serving(script) as port:
        plan = write_plan(tmp_path, port, prompts=10)
        text = plan.read_text().replace(", usd_in: 0.1", "").replace(", usd_in: 1.0", "")
        plan.write_text(text.replace("model: ", "parallel: 1, usd_in: 1, model: ") + "probes: 0\n")
        command = [sys.executable, "-c", PARENT, str(plan), str(folder), "7", "20"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        flying = Counter(json.loads(done.stdout.strip().split("\n")[-1]))
        killed = len(script.seen)
        assert main(["record", str(plan), "--save", str(folder), "--resume"]) == 0
    with sqlite3.connect(folder / "calls.sqlite") as db:
        columns = "key, status, model, request, usd, usd_lost"
        calls = db.execute(f"SELECT {columns} FROM calls").fetchall()
    asked = Counter(checksum(body["model"], body["messages"]) for body in script.seen)
    assert {status for _, status, *_ in calls} == {"answered"} and len(calls) == len(asked)
    assert flying and 0 < killed < len(script.seen), "it was killed in the middle of its work"
    for key, _, model, request, _, lost in calls:
        times = asked[checksum(model, json.loads(request)["messages"])]
        assert 1 <= times <= 1 + flying[key], "asked again without having been in flight"
        assert (lost > 0) == (flying[key] > 0), "what was in flight may have been paid"


def test_a_budget_is_never_exceeded_and_a_larger_one_goes_on(
    record: Run, script: Script, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spent = 0.0
    budget = 0.0023  # a call to beta may cost 0.0021, and costs 0.00007
    assert record("--budget-usd", str(budget)) == 2
    told = capsys.readouterr().err.strip().split("\n")[-1]
    assert told.startswith("edge-experts: --budget-usd: 0.0023 stops here: 0.00") and "go on with --resume" in told
    for body in script.seen:
        rates = {"alpha": (0.1, 0.2), "beta": (1.0, 2.0)}.get(body["model"], (0.0, 0.0))
        spent += (len(body["messages"][0]["content"]) // 4 * rates[0] + len(script.reply(body)) // 4 * rates[1]) / 1e6
    assert 0 < spent <= budget and {body["model"] for body in script.seen} >= {"gate", "beta"}
    assert not (plan.parent / "out" / "table.csv").exists()
    assert record("--resume", "--budget-usd", "1") == 0
    bodies = Counter(json.dumps(body) for body in script.seen if body["model"] in ("gate", "alpha", "beta"))
    assert set(bodies.values()) == {1}
    with sqlite3.connect(plan.parent / "out" / "calls.sqlite") as db:
        by_prompt = dict(db.execute("SELECT prompt, sum(usd) FROM spent GROUP BY prompt"))
    assert set(by_prompt) == {"0", "1", "2", "3"} and all(usd > 0 for usd in by_prompt.values())


def test_a_whole_recording_is_written_again_without_a_call(record: Run, script: Script, plan: Path) -> None:
    assert record() == 0
    out, asked = plan.parent / "out", len(script.seen)
    before = {name: (out / name).read_bytes() for name in ("table.csv", "judges.json", "fused.csv", "scenario.yaml")}
    plan.write_text(plan.read_text().replace("rpm: 600", "rpm: 60, timeout_s: 9"))  # limits may change
    assert record("--resume") == 0 and len(script.seen) == asked
    assert {name: (out / name).read_bytes() for name in before} == before
