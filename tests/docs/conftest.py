from __future__ import annotations

import json

import pytest
from pages import ROOT

from edge_experts.baselines.leaderboard.data import Leaderboard


@pytest.fixture(scope="session")
def board() -> Leaderboard:
    """All results of the benchmark."""
    references = json.loads((ROOT / "results" / "references.json").read_text("utf-8"))
    return Leaderboard.load(ROOT / "results" / "bench", references)
