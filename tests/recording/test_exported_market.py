"""A market that was exported is one as any other; `rllib train` on it is run by the page that describes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_experts.baselines.cli import main


def test_validate_finds_no_fault_in_what_is_exported(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    code = main(["validate", str(recorded / "scenario.yaml")])
    told = capsys.readouterr().out
    assert code == 0 and "| fault" not in told and "of the range from random to the reference" in told, told
