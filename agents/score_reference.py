"""Normalised scores, and the stored floor and reference of shipped scenarios that training shows them with."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from edge_experts.envs import Scenario

FILE = "references.json"


@cache
def stored_references() -> dict[str, Any]:
    """All of them, by the scenario's hash."""
    text = resources.files("edge_experts.results").joinpath(FILE).read_text("utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def normalised_score(score: Any, floor: Any, bound: Any) -> Any:
    """`(score - floor) / (bound - floor)` of mean returns over the same episodes; arrays are taken entry by entry."""
    return (score - floor) / (bound - floor)


def stored_score(scenario: Scenario, score: float) -> float | None:
    """Normalised score of a mean episode score; `None` for a scenario without references.

    References belong to a scenario's hash: a scenario with a changed field has none.
    """
    # mixing rewards does not change their sum; credit for the others' outcome multiplies it
    rewards = scenario.rewards
    entry = stored_references().get(scenario.replace({"rewards.team": 0.0, "rewards.others": 0.0}).hash())
    if entry is None:
        return None
    if rewards.others:
        score /= 1.0 + rewards.others * (scenario.acting - 1)
    return float(normalised_score(score, entry["random"], entry["reference"]))
