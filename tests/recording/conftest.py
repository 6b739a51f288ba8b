from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted import Script, serving
from tenacity import wait_fixed

from edge_experts.baselines.cli import main
from edge_experts.recording.calls import client

PLAN = """\
prompts: prompts.jsonl
parts: 2                # sub-prompts of a prompt
replicas: 1             # answers of each expert to each sub-prompt
fusions: 4              # assignments a prompt that are fused and judged
gate: {base_url: "http://127.0.0.1:8000/v1", model: gate, key_env: EDGE_KEY}
experts:
  - {name: alpha, base_url: "http://127.0.0.1:8000/v1", model: alpha, key_env: EDGE_KEY, usd_in: 0.1, usd_out: 0.2, rpm: 600}   # dollars a million tokens
  - {name: beta, base_url: "http://127.0.0.1:8000/v1", model: beta, key_env: EDGE_KEY, usd_in: 1.0, usd_out: 2.0, rpm: 600}
fuser: {base_url: "http://127.0.0.1:8000/v1", model: fuser, key_env: EDGE_KEY}
judges:
  - {name: one, base_url: "http://127.0.0.1:8000/v1", model: judge-1, key_env: EDGE_KEY}
  - {name: two, base_url: "http://127.0.0.1:8000/v1", model: judge-2, key_env: EDGE_KEY}
"""  # noqa: E501
CANARY = "sk-canary-7f3b1c"
Run = Callable[..., int]


def write_plan(folder: Path, port: int, prompts: int) -> Path:
    """The plan of the documentation, with so many prompts, at a port."""
    rows = [{"id": i, "category": ("letter", "story")[i % 2], "text": f"task number {i}"} for i in range(prompts)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "plan.yaml").write_text(PLAN.replace(":8000/", f":{port}/"))
    return folder / "plan.yaml"


@pytest.fixture
def script() -> Script:
    """What the endpoint does; to be changed."""
    return Script()


@pytest.fixture
def plan(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plan with four prompts, whose endpoints are the scripted one; nobody waits long before asking again."""
    monkeypatch.setenv("EDGE_KEY", CANARY)
    monkeypatch.setattr(client, "BACKOFF", wait_fixed(0.01))
    with serving(script) as port:
        path = write_plan(tmp_path, port, prompts=4)
        path.write_text(path.read_text().replace("fusions: 4 ", "fusions: 4\nprobes: 2 "))
        yield path


@pytest.fixture
def record(plan: Path) -> Run:
    """Run the command on the plan."""

    def run(*options: str) -> int:
        return main(["record", str(plan), "--save", str(plan.parent / "out"), *options])

    return run


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole recording of six prompts, with its texts."""
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch, serving(Script()) as port:
        patch.setenv("EDGE_KEY", CANARY)
        plan = write_plan(folder, port, prompts=6)
        assert main(["record", str(plan), "--save", str(folder / "market"), "--keep-text"]) == 0
    return folder / "market"
