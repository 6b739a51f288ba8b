"""No two runs write into one folder."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from edge_experts.agents.errors import SetupError
from edge_experts.agents.launch.folder import held


def hold(
    folder: Path, resume: bool, taken: multiprocessing.Queue[str], done: multiprocessing.synchronize.Event
) -> None:
    with held(folder, resume) as mine:
        taken.put(mine.name)
        done.wait(60)


def test_runs_of_one_name_at_the_same_time_are_numbered(tmp_path: Path) -> None:
    base = tmp_path / "runs" / "mine"
    context = multiprocessing.get_context("fork")
    taken, done = context.Queue(), context.Event()
    others = [context.Process(target=hold, args=(base, False, taken, done)) for _ in range(4)]
    for other in others:
        other.start()
    names = {taken.get(timeout=60) for _ in others}
    assert names == {"mine", "mine-2", "mine-3", "mine-4"}
    with pytest.raises(SetupError, match="another process is training in '.*mine-3': wait for it, or start anew"):
        held(base.with_name("mine-3"), True).__enter__()
    done.set()
    for other in others:
        other.join(60)
    with held(base, True) as mine:
        assert mine == base


def test_a_run_that_is_killed_frees_its_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    taken, done = context.Queue(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "mine", False, taken, done))
    other.start()
    assert taken.get(timeout=60) == "mine"
    assert other.pid is not None
    os.kill(other.pid, signal.SIGKILL)
    other.join(60)
    with held(tmp_path / "mine", True) as mine:
        assert mine.name == "mine"
