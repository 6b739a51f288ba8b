"""A training run's bar is seen in a terminal, and nowhere else."""

from __future__ import annotations

import os
import pty
import sys
from typing import Any

import pytest

from edge_experts.agents.launch.progress import Progress

ROWS: list[dict[str, Any]] = [
    {"training_iteration": 1, "env_steps": 4096, "episode_return_mean": 12.5, "normalised_score": None},
    {"training_iteration": 2, "env_steps": 8192, "episode_return_mean": 13.0, "normalised_score": 0.71},
]


def shown(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress({"env_steps": 8192.0}, []) as progress:
        for row in ROWS:
            progress.show(row)


def test_a_terminal_shows_steps_and_score(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        shown(terminal, monkeypatch)
        terminal.flush()
        text = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "\r" in text and "100%" in text and "8.19k/8.19k" in text
    assert "it=2, steps=8192, score=0.710" in text.rpartition("\r")[0] + text, "the last row"


def test_a_file_shows_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with (tmp_path / "log").open("w") as file:
        shown(file, monkeypatch)
    assert (tmp_path / "log").read_text() == ""
