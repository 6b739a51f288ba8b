"""What `validate` checks of a scenario besides: the world behind the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_experts.envs import World, load_scenario
from edge_experts.envs.sim.state import DROPPED, EXPIRED, LATE, ON_TIME

from ..evaluation.evaluate import evaluate
from .context import Fault

SLOTS = 60
EPISODES = 8


def check_batch(market: Any) -> str:
    """One world is the same world among many, to the last bit."""
    many, alone = World(market, 8, seed=3), World(market, 1, seed=3, first_world=5)
    rng = np.random.default_rng(0)
    many.reset(), alone.reset()
    for slot in range(SLOTS):
        users, providers = many.sample_actions(rng)
        many.step(users, providers)
        alone.step(users[5:6], providers[5:6])
        if many.state.users[5].tobytes() != alone.state.users[0].tobytes():
            raise Fault(
                f"slot {slot}: world 5 of 8 differs from the same world alone: a model from outside keeps state"
            )
    return f"{SLOTS} slots"


def check_requests(market: Any) -> str:
    """Requests that came are done, dropped or open; shares of a band stay at one."""
    world, rng = World(market, 8, seed=4), np.random.default_rng(0)
    world.reset()
    came, ended = world.state.users.open.sum(axis=1).astype(int), np.zeros(8, int)
    for slot in range(min(SLOTS, world.scenario.episode.slots - 1)):
        world.step(*world.sample_actions(rng))
        if world.state.clock.over.any():
            break
        users = world.state.users
        came += users.arrived.sum(axis=1)
        ended += np.isin(users.ended, (ON_TIME, LATE, EXPIRED, DROPPED)).sum(axis=1)
        if (came != ended + users.open.sum(axis=1)).any() or world.state.share.max() > 1 + 1e-9:
            raise Fault(f"slot {slot}: requests are lost, or a band is shared beyond its width")
    return f"{int(came.sum())} requests"


def check_payments(market: Any) -> str:
    """What users pay, providers get."""
    world, rng, moved = World(market, 8, seed=5), np.random.default_rng(0), 0.0
    world.reset()
    for slot in range(SLOTS):
        world.step(*world.sample_actions(rng))
        paid, got = world.state.users.payment.sum(axis=1), world.state.providers.revenue.sum(axis=1)
        moved += float(got.sum())
        if not np.allclose(paid + got, 0.0, atol=1e-6):
            raise Fault(f"slot {slot}: payments and revenues sum to {float((paid + got).max()):g}")
    return f"{moved:,.0f} credits changed hands"


def check_worth(market: Any) -> str:
    """The game is worth learning: fixed choices lose, herding loses, coordination pays."""
    scenario = load_scenario(market)
    names = [f"fixed:{name}" for name in scenario.places] if len(scenario.quality_tables) == 1 else []
    results = evaluate(["myopic", "coordinated", *names], scenario, EPISODES)
    scores = {result["policy"]: result["normalised_score"]["mean"] for result in results}
    fixed = max((scores[name] for name in names), default=None)
    text = f"myopic {scores['myopic']:.2f}, coordinated {scores['coordinated']:.2f}"
    text += f", best fixed {fixed:.2f}" if fixed is not None else ""
    text += f" of the range from random to the reference, over {EPISODES} episodes"
    if results[0]["reference"]["score"]["mean"] <= results[0]["floor"]["score"]["mean"]:
        raise Warning(f"{text}: random is as good as the reference: check values, prices and deadlines")
    if scores["myopic"] > 0.9 and scores["coordinated"] > 0.9:
        raise Warning(
            f"{text}: choosing for oneself is as good as coordination; raise arrivals.rate_per_s if that is not meant"
        )
    if max(scores.values()) < 0.1:
        raise Warning(f"{text}: no heuristic gets anywhere: the load may be too high for the experts")
    return text


MARKET_CHECKS: dict[str, Callable[[Any], str]] = {
    "worlds apart": check_batch,
    "requests": check_requests,
    "conservation": check_payments,  # instead of that of infos, which not everybody who pays has
    "worth learning": check_worth,
}
