"""What `validate` checks of a scenario besides: the world behind the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_experts.envs import World, load_scenario
from edge_experts.envs.sim.state import DROPPED, EXPIRED, LATE, ON_TIME
from edge_experts.envs.tables import ExpertTable

from ..evaluation.evaluate import evaluate
from .context import Fault

SLOTS = 60
EPISODES = 8
LATE_SHARE = 0.99  # of the prompts: an expert that is late on so many is of no use


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


def check_quality(market: Any) -> str:
    """A composed request is worth something between nothing and all: the quality rule stays within [0, 1]."""
    world, rng, low, high, composed = World(market, 8, seed=6), np.random.default_rng(0), 1.0, 0.0, 0
    world.reset()
    for _ in range(max(SLOTS, world.scenario.requests.deadline_slots * 8)):
        world.step(*world.sample_actions(rng))
        users = world.state.users
        worth = users.quality[np.isin(users.ended, (ON_TIME, LATE))]
        if len(worth):
            low, high, composed = min(low, worth.min()), max(high, worth.max()), composed + len(worth)
        if not np.isfinite(worth).all() or low < 0.0 or high > 1.0 + 1e-9:
            wrong = next(value for value in worth if not 0.0 <= value <= 1.0 + 1e-9)
            rules = {name: world.scenario.kind(name).rule for name in world.scenario.quality_tables}
            named = ", ".join(f"'{rule}'" for rule in sorted(set(rules.values())))
            raise Fault(f"requests.rule: {named} gave a request the quality {wrong:g}; it must stay within [0, 1]")
    if not composed:
        raise Warning(
            "no request was composed under random choices: raise requests.deadline_slots, or the load is high"
        )
    return f"{composed} requests of quality {low:.2f} to {high:.2f}"


def check_experts(market: Any) -> str:
    """Every expert can be loaded, and be on time."""
    world = World(market, 1, seed=7)
    world.reset()
    scenario, machines = world.scenario, world.params.machines
    limit_s = max(scenario.kind(name).deadline_slots for name in scenario.quality_tables) * scenario.episode.slot_s
    fastest = max(scenario.providers.speed_levels) if scenario.providers.act else _default_speed(world)
    known, found = ExpertTable.load(scenario.tables.experts), []
    for e, name in enumerate(scenario.experts):
        if not world.state.experts.loaded[0, e] and not scenario.providers.act:
            found.append(
                f"'{name}' is never loaded: providers do not act, and at the start provider {e % world.sizes.P} holds "
                f"other experts in its {scenario.providers.memory_gb:g} GB, '{name}' needs {known[name].memory_gb:g}: "
                "raise providers.memory_gb, or list it earlier"
            )
        served = world.params.serves[world.params.kind][:, e]
        took_s = world.params.scores.work[served, e] * machines.seconds_per_unit[e] / fastest
        if served.any() and (late := float((took_s > limit_s).mean())) >= LATE_SHARE:
            found.append(
                f"'{name}' misses the deadline of {late:.0%} of the prompts: it computes a part in "
                f"{float(np.median(took_s)):.1f} s, and a request has {limit_s:g} s: lower its seconds_per_unit or "
                "work_units, or raise requests.deadline_slots"
            )
    if found:
        raise Warning("; ".join(found))
    return f"{len(scenario.experts)} can be loaded and be on time"


def _default_speed(world: World) -> float:
    return float(world.params.speed_levels[world.scenario.providers.default_speed])


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
    "quality": check_quality,
    "experts": check_experts,
    "worth learning": check_worth,
}
