"""Every script in examples/ runs, with small settings."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, said

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
SMALL = {
    "ppo_single_file": ["--iterations", "2", "--worlds", "2"],
    "agilerl_ippo": ["--iterations", "1"],
    "stable_baselines3_masked": ["--steps", "256"],
    "torchrl_rollout": ["--slots", "5"],
    "own_table_and_scenario": ["--episodes", "2"],
}
ALONE = ("torchrl_rollout", "benchmarl_task")  # importing TorchRL changes how a process starts others
APART = ("agilerl", "benchmarl", "pufferlib", "tianshou")  # these ask for other versions of what is installed here


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_runs(script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if (library := script.stem.partition("_")[0]) in APART:
        pytest.importorskip(library)
    words = [str(script), *SMALL.get(script.stem, [])]
    if script.stem in ALONE:
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-1500:]
        shown = done.stdout
    else:
        monkeypatch.setattr(sys, "argv", words)
        runpy.run_path(words[0], run_name="__main__")
        shown = capsys.readouterr().out
    assert shown.strip() and "nan" not in shown


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_says_what_it_shows_and_needs_and_is_short(script: Path) -> None:
    text = script.read_text("utf-8")
    told = ast.get_docstring(ast.parse(text)) or ""
    assert "\nShows " in told and "Needs " in " ".join(told.split()) and f"python examples/{script.name}" in told
    assert text.count("\n") <= 130 and f"`{script.name}`" in said("using.md")
