from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from plans import CANARY, Run, write_plan
from scripted import Script, serving
from tenacity import wait_fixed

from edge_experts.baselines.cli import main
from edge_experts.recording.calls import client


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
