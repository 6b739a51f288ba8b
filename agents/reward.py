"""How the agents of a training run are paid: each for itself, or all alike."""

from __future__ import annotations

from edge_experts.envs import Scenario

FIELD = "rewards.team"
REWARDS = {"private": 0.0, "team": 1.0}  # and the scenario's `rewards.team` that it stands for


def reward_of(scenario: Scenario | None) -> str | None:
    """A name of `REWARDS`, or the share of the others' outcome, or of the mean of all; `None` without a scenario."""
    if scenario is None:
        return None
    if scenario.rewards.others:
        return f"own outcome and {scenario.rewards.others:g} of the others'"
    share = scenario.rewards.team
    return next((name for name, team in REWARDS.items() if team == share), f"{share:g} team")
