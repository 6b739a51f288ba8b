"""What a profile is worth to all, to users and to providers, and how far it is from an equilibrium."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_experts.envs import Scenario, World
from edge_experts.envs.api.policy import play_episodes
from edge_experts.envs.seeds import REPORTED, TEST
from edge_experts.envs.sim.spec import ROLES

from ..evaluation.evaluate import play
from ..evaluation.exploit import as_json, exploit
from .game import earned_by_role, mean_price
from .profile import Profile, Side

PRICE_EPISODES = 16


def outcome(
    sides: Mapping[str, Side],
    scenario: Scenario,
    ends: Mapping[str, float],
    episodes: int,
    deviator_steps: int,
    starts: int,
    seed: int,
) -> dict[str, Any]:
    """Play a profile and let agents deviate from it.

    Args:
        sides: The profile.
        scenario: Where.
        ends: Welfare of `evaluate.ENDS` on the same episodes.
        episodes: That everything is measured on.
        deviator_steps: Environment steps of a deviator's training, from each start; 0: only deviations by rule.
        starts: Of deviators.
        seed: Of what the profile draws, and of deviators.

    Returns:
        `welfare` of all together, `welfare_of_reference` on the same episodes and their ratio `price_of_anarchy`
        (Koutsoupias and Papadimitriou, "Worst-case equilibria", STACS 1999), of a user `surplus` and of a provider
        `profit`, credits an episode; `price` in list prices; fairness among users; `deviations` by role, and
        `exploitability`, the largest gain of one as a share of what an agent of its role earns on average.
    """
    record = play(Profile(sides, seed), scenario, episodes, REPORTED)
    welfare = float(record.score.mean())
    found = exploit(
        functools.partial(_players, sides, seed), scenario, starts, episodes, deviator_steps, seed=seed, scripted=True
    )
    earned = dict(zip(ROLES, earned_by_role(record, scenario), strict=True))
    return {
        "welfare": welfare,
        "welfare_of_reference": ends["reference"],
        "welfare_of_random": ends["random"],
        "price_of_anarchy": ends["reference"] / welfare if welfare > 0 else None,
        "surplus": earned["user"],
        "profit": earned["provider"],
        "price": posted_price(sides, scenario, seed),
        "jain": float(record.jain.mean()),
        "gini": float(record.gini.mean()),
        "quality": float(record.quality.mean()) if len(record.quality) else None,
        "deviations": as_json(found),
        "exploitability": max(relative_gain(earned[role], d.gain.mean) for role, d in found.items()),
        "weights": {role: list(map(float, side.weights)) for role, side in sides.items()},
    }


def _players(sides: Mapping[str, Side], seed: int, world: World) -> Profile:
    return Profile(sides, seed)


def relative_gain(earned: float, gain: float) -> float:
    """A deviator's gain as a share of what its role earns on average; at least 0, as nobody must deviate."""
    return max(0.0, gain) / abs(earned) if earned else float("inf") if gain > 0 else 0.0


def posted_price(sides: Mapping[str, Side], scenario: Scenario, seed: int) -> float:
    """Mean posted price over slots, worlds and providers, in list prices."""
    world = World(scenario, PRICE_EPISODES, TEST.key(REPORTED))
    return float(np.nanmean([mean_price(world) for _ in play_episodes(world, Profile(sides, seed))]))
