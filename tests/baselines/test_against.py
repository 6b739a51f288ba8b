"""Versions in turns: another one is built into a folder of its own and measured beside this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_experts.baselines.cli import main
from edge_experts.baselines.speed.against import CASES, AgainstError, built, compare, here, ratio_table, version_of
from edge_experts.baselines.speed.probe import resolved

FAKE = '''
import time
from types import SimpleNamespace

def shipped_ids():
    return ["edge_experts/text-v0", "edge_experts/other-v3"]

class World:
    """A thousandth of a second of work a slot."""
    def __init__(self, name, n_worlds, seed):
        assert name == "edge_experts/text-v0"
    def reset(self):
        pass
    def sample_actions(self, rng):
        return ()
    def step(self):
        begun = time.process_time()
        while time.process_time() - begun < 0.001:
            pass

class EdgeEnv:
    def __init__(self, name):
        self.possible_agents = self.agents = ["user_0"]
'''
PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "edge-experts"
version = "0.0.7"
[tool.setuptools]
packages = ["edge_experts"]
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("other")
    (folder / "edge_experts").mkdir()
    (folder / "edge_experts" / "__init__.py").write_text("")
    (folder / "edge_experts" / "envs.py").write_text(FAKE)
    (folder / "pyproject.toml").write_text(PROJECT)
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"], ["tag", "v7"]):
        subprocess.run([*git, *words], check=True)
    (folder / "edge_experts" / "envs.py").write_text("raise RuntimeError('not of that revision')")
    return folder


def test_two_versions_in_turns(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    with built("v7") as site:
        assert version_of(site) == "0.0.7" and version_of(here()) != "0.0.7"
        (found,) = compare(site, 3, 0.02, cases=["World, 1 world"])
        kept = site
    assert not kept.exists()
    assert 500 < found.theirs < 1100, "one agent, a thousandth of a second a slot"
    assert found.ratio > 20 and found.low <= found.ratio <= found.high
    shown = ratio_table([found], "mine", "v7")
    assert "World, 1 world" in shown and f"{found.low:.2f} to {found.high:.2f}" in shown


def test_this_version_is_as_fast_as_itself() -> None:
    (found,) = compare(here(), 3, 0.05, cases=["World, 1 world"])
    assert 0.4 < found.ratio < 2.5


def test_a_wheel_is_taken_too(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    with built("v7") as site:
        (site / "edge_experts" / "envs.py").write_text(FAKE.replace("edge_experts/text-v0", "edge_experts/words-v0"))
        with pytest.raises(AgainstError, match="has no scenario like 'edge_experts/text-v1'; it has .*words-v0"):
            compare(site, 1, 0.01, cases=["World, 1 world"])
        (site / "edge_experts" / "envs.py").write_text("raise RuntimeError('broken')")
        with pytest.raises(AgainstError, match="cannot be measured: RuntimeError: broken"):
            compare(site, 1, 0.01, cases=["World, 1 world"])
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(repository), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*command, str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with built(str(wheel)) as site:
        assert version_of(site) == "0.0.7"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("nothing", "--against: 'nothing' is neither a wheel nor a revision of the repository here: "),
        ("no.whl", "--against: there is no wheel 'no.whl'"),
        ("bad.whl", "--against: 'bad.whl' cannot be built: "),
        ("--help", "--against: "),
    ],
)
def test_versions_that_are_none(
    other: str, said: str, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(repository)
    (repository / "bad.whl").write_text("no archive")
    assert main(["speed", f"--against={other}"]) == 2
    assert said in capsys.readouterr().err


def test_the_newest_version_of_a_scenario_is_played() -> None:
    assert resolved("x/text-v1", ["x/text-v0", "x/words-v3"]) == "x/text-v0"
    assert resolved("x/text-v0", ["x/text-v9", "x/text-v10"]) == "x/text-v10"
    assert resolved("x/text-v1", ["x/text-v1", "x/text-v2"]) == "x/text-v1"
    assert set(CASES.values()) == {1, 1024, 8192, 0}
