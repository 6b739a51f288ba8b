"""How much there is to learn in a scenario: every heuristic between the floor and the bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_experts.envs import Scenario, load_scenario

from .evaluation import evaluate
from .policies import POLICIES

SEED = 0


def calibrate(env: str | Path | Scenario, episodes: int) -> list[dict[str, Any]]:
    """Results of all heuristics and of every fixed choice, each with the same floor and bound.

    Args:
        env: A shipped id, a scenario file or a scenario.
        episodes: Episodes of each policy.
    """
    scenario = load_scenario(env)
    fixed = [f"fixed:{expert}" for expert in scenario.experts] + (
        ["fixed:local"] if scenario.devices.local_expert else []
    )
    return evaluate([*POLICIES, *fixed], scenario, episodes, SEED, progress=True)


def reference_of(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Floor and bound of a scenario by its hash, as `rllib train` reads them."""
    first = results[0]
    return {
        first["provenance"]["scenario_hash"]: {
            "env": first["env"],
            "split": first["split"],
            "episodes": first["episodes"],
            "random": first["floor"]["score"]["mean"],
            "clairvoyant": first["bound"]["score"]["mean"],
        }
    }
