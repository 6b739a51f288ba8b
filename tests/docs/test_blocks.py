"""The code and the commands of README.md and docs/, as written: those of a page in its order, in one folder."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import PAGES, README, ROOT, blocks

from edge_experts.agents.cli import main as rllib
from edge_experts.baselines.cli import main as edge_experts

COMMANDS = {"rllib": rllib, "edge-experts": edge_experts}


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, with nothing but the shipped configurations; what is imported from there is forgotten."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name, module in sys.modules.items() if _is_from(module, tmp_path)]:
        del sys.modules[name]


def _is_from(module: Any, folder: Path) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(f"{folder}{os.sep}")


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of language models that are scripted, in place of those at the address that a page shows."""
    scripted = runpy.run_path(str(ROOT / "tests" / "recording" / "scripted.py"))
    monkeypatch.setenv("EDGE_KEY", "any")
    with scripted["serving"](scripted["Script"]()) as port:
        yield port


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a terminal, in this process: starting one for each would import Ray anew."""
    program, *words = shlex.split(command)
    if program == "python":
        monkeypatch.setattr(sys, "argv", words)
        runpy.run_path(words[0], run_name="__main__")
        return
    assert COMMANDS[program](words) == 0, command


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_page_does_what_it_shows(
    page: Path, empty_folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    commands = "".join(text for language, text, _ in blocks(page) if language == "bash")
    if re.search("--num-env-runners [1-9]", commands):
        request.getfixturevalue("no_ray")  # sampling processes begin in the folder where Ray was started
    elif "rllib train" in commands:
        request.getfixturevalue("ray_here")
    port = request.getfixturevalue("models") if "edge-experts record" in commands else 8000
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for language, text, name in blocks(page):
        if name:
            (empty_folder / name).write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
        elif language == "python":
            exec(compile(text, str(page), "exec"), namespace)
        else:
            assert language == "bash", f"{page}: a block of YAML begins with '# NAME.yaml'"
            for command in text.strip().split("\n"):
                run(command, monkeypatch)


def test_the_front_page_shows_a_loop_a_training_and_a_scenario_in_few_lines() -> None:
    by_language = {language: text.strip().split("\n") for language, text, _ in blocks(README)}
    shown = "\n".join(text for _, text, _ in blocks(README))
    assert "pettingzoo.make(" in shown and "rllib train " in shown
    assert len([line for line in by_language["python"] if line]) <= 10 and len(by_language["yaml"]) <= 10
