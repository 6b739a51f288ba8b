"""Play a policy over whole episodes and measure everything that is reported of it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_experts.envs import Scenario, World, load_scenario
from edge_experts.envs.api.policy import Policy, play_episodes
from edge_experts.envs.seeds import TEST
from edge_experts.envs.sim.spec import ROLES
from edge_experts.envs.sim.state import ENDINGS, LATE, NONE, ON_TIME, PROVIDER_TERMS, USER_TERMS

from ..heuristics.policies import make_policy
from ..heuristics.reference import score_of
from ..provenance import provenance
from .metrics import Interval, gini_index, jain_index, mean_interval, normalised_interval, worst_decile

ENDS = {"random": "random", "reference": "reference"}  # floor and reference
MAX_WORLDS = 64  # stepped together


@dataclass
class Record:
    """What was measured over n episodes; arrays have one entry an episode unless they say otherwise."""

    score: NDArray[np.float64]  # return of all acting agents together (without scripted users)
    user_return: NDArray[np.float64]  # of all users
    provider_return: NDArray[np.float64]  # of all providers
    jain: NDArray[np.float64]  # fairness among the users' returns
    gini: NDArray[np.float64]  # inequality among them
    worst: NDArray[np.float64]  # mean of the lowest tenth of them
    terms: dict[str, NDArray[np.float64]]  # each named reward term, summed over agents
    quality: NDArray[np.float64]  # of every request composed in time
    latency_s: NDArray[np.float64]  # of every request composed
    endings: dict[str, int]  # how requests ended
    placements: dict[str, int]  # parts by expert
    utilisation: dict[str, float]  # share of time each expert computed
    energy_j: NDArray[np.float64]
    hallucination: NDArray[np.float64]  # rate of every request composed in time
    able: NDArray[np.float64]  # share of present users that could serve themselves
    refused: int = 0
    invalid: int = 0
    wall_s: float = 0.0


def play(policy: str | Policy, scenario: Scenario, episodes: int, seed: int, progress: bool = False) -> Record:
    """Play whole episodes and measure them.

    Args:
        policy: A policy, or the name of one.
        scenario: Where.
        episodes: How many; the first `n` of a seed are the same whatever `episodes` is.
        seed: Key of the episodes, apart from all training seeds.
        progress: Show a bar.
    """
    if episodes < 1:
        raise ValueError(f"episodes: {episodes}, expected 1 or more")
    started = time.perf_counter()
    parts: list[Record] = []
    label = policy if isinstance(policy, str) else type(policy).__name__
    with tqdm(total=episodes, desc=f"evaluate {label}", unit="ep", disable=None if progress else True) as bar:
        for first in range(0, episodes, MAX_WORLDS):
            count = min(MAX_WORLDS, episodes - first)
            world = World(scenario, count, TEST.key(seed), first_world=first)
            player = make_policy(policy, world, seed=seed + first) if isinstance(policy, str) else policy
            parts.append(_play_batch(player, world))
            bar.update(count)
    record = _merge(parts)
    record.wall_s = time.perf_counter() - started
    return record


def end_scores(scenario: Scenario, episodes: int, seed: int, progress: bool = False) -> dict[str, float]:
    """Mean scores of `ENDS` on the same episodes: what scores are put between; see `play`."""
    return {name: float(play(policy, scenario, episodes, seed, progress).score.mean()) for name, policy in ENDS.items()}


def _play_batch(policy: Policy, world: World) -> Record:
    """One episode in every world."""
    B, scenario = world.n_worlds, world.scenario
    users, providers, clock = world.state.users, world.state.providers, world.state.clock
    returns = {role: np.zeros((B, world.sizes.count(role))) for role in ROLES}
    terms = {name: np.zeros(B) for name in (*USER_TERMS, *PROVIDER_TERMS)}
    endings, placements = np.zeros(len(ENDINGS), int), np.zeros(world.sizes.X, int)
    busy, slots, energy, lengths = np.zeros(world.sizes.E), 0, np.zeros(B), np.zeros(B)
    quality, latency, hallucination, able, refused, invalid = [], [], [], np.zeros(B), 0, 0
    score = np.zeros(B)
    for running in play_episodes(world, policy):
        score += score_of(world) * running
        for role in ROLES:
            returns[role] += world.records(role).reward * running[:, None]
        for name in USER_TERMS:
            terms[name] += users[name].sum(axis=1) * running
        for name in PROVIDER_TERMS:
            terms[name] += providers[name].sum(axis=1) * running
        mine = users[running]
        endings += np.bincount(mine.ended.ravel(), minlength=len(ENDINGS))
        quality.append(mine.quality[mine.ended == ON_TIME])
        hallucination.append(mine.hallucination[mine.ended == ON_TIME])
        able += able_users(world) * running
        latency.append(mine.latency_s[(mine.ended == ON_TIME) | (mine.ended == LATE)])
        placements += np.bincount(mine.placed[mine.placed >= 0].ravel(), minlength=len(placements))
        busy += world.state.experts.busy_s[running].sum(axis=0)
        energy += clock.energy_j * running
        refused, invalid = (
            refused + int(mine.refused.sum()),
            invalid + int(mine.invalid.sum() + providers.invalid[running].sum()),
        )
        slots += int(running.sum())
        lengths += running
    return Record(
        score=score,
        user_return=returns["user"].sum(axis=1),
        provider_return=returns["provider"].sum(axis=1),
        jain=np.array([jain_index(row) for row in returns["user"]]),
        gini=np.array([gini_index(row) for row in returns["user"]]),
        worst=np.array([worst_decile(row) for row in returns["user"]]),
        terms=terms,
        quality=np.concatenate(quality),
        latency_s=np.concatenate(latency),
        endings={name: int(n) for i, (name, n) in enumerate(zip(ENDINGS, endings, strict=True)) if i != NONE},
        placements={name: int(n) for name, n in zip(scenario.places, placements, strict=False)},
        utilisation={
            name: float(b) for name, b in zip(scenario.experts, busy / (slots * scenario.episode.slot_s), strict=True)
        },
        energy_j=energy,
        hallucination=np.concatenate(hallucination),
        able=able / np.maximum(1, lengths),
        refused=refused,
        invalid=invalid,
    )


def able_users(world: World) -> NDArray[np.float64]:
    """Share of the present users that have memory and energy for one of their local experts: (B,)."""
    users, here = world.state.users, world.live_users
    if not world.scenario.local_experts:
        return np.zeros(world.n_worlds)
    needed = world.params.machines.memory_gb[world.sizes.E :].min()
    able = here & (users.memory_gb >= needed) & (users.battery_j > 0.0)
    return np.asarray(able.sum(axis=1) / np.maximum(1, here.sum(axis=1)))


def _merge(parts: list[Record]) -> Record:
    def joined(name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(part, name) for part in parts])

    weights = [len(part.score) for part in parts]
    return Record(
        score=joined("score"),
        user_return=joined("user_return"),
        provider_return=joined("provider_return"),
        jain=joined("jain"),
        gini=joined("gini"),
        worst=joined("worst"),
        quality=joined("quality"),
        latency_s=joined("latency_s"),
        energy_j=joined("energy_j"),
        hallucination=joined("hallucination"),
        able=joined("able"),
        terms={name: np.concatenate([part.terms[name] for part in parts]) for name in parts[0].terms},
        endings={name: sum(part.endings[name] for part in parts) for name in parts[0].endings},
        placements={name: sum(part.placements[name] for part in parts) for name in parts[0].placements},
        utilisation={
            name: float(np.average([part.utilisation[name] for part in parts], weights=weights))
            for name in parts[0].utilisation
        },
        refused=sum(part.refused for part in parts),
        invalid=sum(part.invalid for part in parts),
    )


def evaluate(
    policies: Mapping[str, str | Policy] | Sequence[str],
    env: str | Path | Mapping[str, Any] | Scenario,
    episodes: int = 100,
    seed: int = 0,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Evaluate policies, their floor and their reference on the same episodes: a result for each, as plain data.

    Args:
        policies: Names of policies, or policies by the name that the result gives them.
        env: A shipped id, a scenario file, plain data, or a scenario.
        episodes: Number of episodes.
        seed: Key of the episodes.
        split: `train`, `heldout` or `all` prompts; the scenario's own by default.
        overrides: Dotted scenario fields to change.
        progress: Show a bar.

    Raises:
        ScenarioError: if the scenario is not valid.
        ValueError: if the policy is not known.
    """
    changes = {**(overrides or {}), **({"tables.split": split} if split else {})}
    scenario = load_scenario(env, changes)
    named = dict(policies) if isinstance(policies, Mapping) else {name: name for name in policies}
    records = {name: play(policy, scenario, episodes, seed, progress) for name, policy in {**ENDS, **named}.items()}
    floor, reference = (records[name] for name in ENDS)
    origin = provenance(scenario)
    return [_result(name, records[name], floor, reference, scenario, seed, origin) for name in named]


def _result(
    name: str, record: Record, floor: Record, bound: Record, scenario: Scenario, seed: int, origin: dict[str, Any]
) -> dict[str, Any]:
    return {
        "policy": name,
        "env": scenario.id,
        "episodes": len(record.score),
        "seed": seed,
        "split": scenario.tables.split,
        **summarise(record, scenario),
        "normalised_score": _plain(
            normalised_interval(record.score.tolist(), floor.score.tolist(), bound.score.tolist())
        ),
        "welfare_ratio": float(record.score.mean() / bound.score.mean()),
        "floor": {"policy": "random", "score": _plain(mean_interval(floor.score))},
        "reference": {"policy": "reference", "score": _plain(mean_interval(bound.score))},
        "per_episode": {
            "score": record.score.tolist(),
            "user_return": record.user_return.tolist(),
            "provider_return": record.provider_return.tolist(),
        },
        "wall_s": record.wall_s,
        "provenance": origin,
    }


def summarise(record: Record, scenario: Scenario) -> dict[str, Any]:
    """The measures of a record by name, in natural units."""
    episodes, ended = len(record.score), max(1, sum(record.endings.values()))
    p50, p95, p99 = np.percentile(record.latency_s, [50, 95, 99]).tolist() if len(record.latency_s) else [None] * 3
    return {
        "score": _plain(mean_interval(record.score)),
        "returns": {
            "user": _plain(mean_interval(record.user_return / scenario.devices.count)),
            "provider": _plain(mean_interval(record.provider_return / scenario.providers.count)),
        },
        "welfare": _plain(mean_interval(record.user_return + record.provider_return)),
        "jain_index": float(record.jain.mean()),
        "gini_index": float(record.gini.mean()),
        "worst_decile": float(record.worst.mean()),
        "terms": {name: float(values.mean()) for name, values in record.terms.items()},
        "quality": float(record.quality.mean()) if len(record.quality) else None,
        "latency_s": {"p50": p50, "p95": p95, "p99": p99},
        "deadline_miss_rate": (record.endings["late"] + record.endings["expired"]) / ended,
        "requests": {name: count / episodes for name, count in record.endings.items()},
        "refusals": record.refused / episodes,
        "invalid_actions": record.invalid / episodes,
        "energy_j": float(record.energy_j.mean()),
        "hallucination_rate": float(record.hallucination.mean()) if len(record.hallucination) else None,
        "accessibility": float(record.able.mean()),
        "local_share": sum(record.placements[name] for name in scenario.places[len(scenario.experts) :])
        / max(1, sum(record.placements.values())),
        "payments": -float(record.terms["payment"].mean()),
        "placements": {name: count / episodes for name, count in record.placements.items()},
        "utilisation": record.utilisation,
    }


def _plain(interval: Interval) -> dict[str, float | None]:
    ends = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {name: value if math.isfinite(value) else None for name, value in ends.items()}
