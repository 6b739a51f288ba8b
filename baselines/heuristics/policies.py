"""Policies that need no training, by name: the floor, heuristics and the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import World
from edge_experts.envs.api.policy import Actions, Policy
from edge_experts.envs.io.suggestions import did_you_mean

from .plan_kernels import plan_coordinated, plan_myopic
from .plan_policy import Ints, Planner, place, time_price
from .reference import make_reference
from .steered import Steered

PRICED_PRICE = 0.2  # of backlog, in terms of `time_price`; a compromise between the scenarios, on training episodes
COORDINATED_PRICE = 0.25  # of backlog, in terms of `time_price`; between 0.1 and 0.5 made no clear difference


class RandomPolicy:
    """Uniformly random legal actions of both roles."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def act(self, world: World) -> Actions:
        """Draw every part of every action among its legal choices."""
        return world.sample_actions(self._rng)


class Ranking:
    """Places each part on the legal expert of the highest score; providers keep their defaults."""

    def __init__(self, score: Callable[[World], NDArray[np.float64]]) -> None:
        self._score = score

    def act(self, world: World) -> Actions:
        """Highest score among the legal experts, at full power; the J highest where so many are asked at once.

        Where there is none it waits, or takes the first legal expert if waiting is not legal.
        """
        X, masks = world.sizes.X, world.views.user_masks
        scores = np.where(masks[..., :X] == 1, self._score(world), -np.inf)
        ranked = np.argsort(-scores, axis=-1, kind="stable")[..., : world.sizes.J]
        experts = np.where(np.isfinite(np.take_along_axis(scores, ranked, -1)), ranked, X)
        forced = (experts[..., 0] == X) & (masks[..., X] == 0)
        experts[..., 0] = np.where(forced, masks[..., :X].argmax(axis=-1), experts[..., 0])
        return place(world, experts), None


def _with_local(world: World, scores: NDArray[np.float64], local: float) -> NDArray[np.float64]:
    B, U, E = world.n_worlds, world.sizes.U, world.sizes.E
    return np.concatenate([np.broadcast_to(scores, (B, U, E)), np.full((B, U, world.sizes.X - E), local)], axis=-1)


def _by_host(world: World, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank experts by a score (B, U, P) of their host, and by the gate among those of one host."""
    hosts = world.hosts
    rank = score.argsort(axis=-1).argsort(axis=-1)[..., hosts]
    return _with_local(world, rank + 0.5 * world.state.gate[..., : world.sizes.E], -1.0)


def _nearest(world: World) -> NDArray[np.float64]:
    users, providers = world.state.users, world.state.providers
    dx, dy = (users[axis][:, :, None] - providers[axis][:, None, :] for axis in ("x_m", "y_m"))
    return _by_host(world, -np.hypot(dx, dy))


def _best_snr(world: World) -> NDArray[np.float64]:
    return _by_host(world, np.asarray(world.state.links.gain_db))


def _cheapest(world: World) -> NDArray[np.float64]:
    # free as it is of payment, the local expert comes last: it costs battery
    price = world.params.price_levels[world.state.providers.price][:, world.hosts]
    work = _expected(world, "billed")
    return _with_local(world, -(price * world.params.machines.price[: world.sizes.E])[:, None, :] * work, -np.inf)


def _local(world: World) -> NDArray[np.float64]:
    scores = np.array(world.state.gate)
    scores[..., : world.sizes.E] = -np.inf
    return scores


def _best_prior(world: World) -> NDArray[np.float64]:
    return np.asarray(world.params.priors.quality[_category(world)])


def _shortest_queue(world: World) -> NDArray[np.float64]:
    seconds = world.params.machines.seconds_per_unit[: world.sizes.E]
    speed = world.params.speed_levels[world.state.providers.speed][:, world.hosts]
    work = world.state.experts.backlog[:, None, :] + _expected(world, "work")
    return _with_local(world, -work * (seconds / speed)[:, None, :], -np.inf)


def _expected(world: World, name: str) -> NDArray[np.float64]:
    """What users expect of each hosted expert's answer, `work` or `billed`: (B, U, E), as `rules.expected_work`."""
    params, E = world.params, world.sizes.E
    if world.constants.length_known:
        return np.asarray(params.scores[name][world.state.users.prompt, :E])
    return np.asarray(params.priors[name][_category(world), :E])


def _category(world: World) -> Ints:
    category: Ints = world.params.category[world.state.users.prompt]
    return category


def _fixed(places: list[int]) -> Callable[[World], NDArray[np.float64]]:
    def score(world: World) -> NDArray[np.float64]:
        scores = np.full((world.n_worlds, world.sizes.U, world.sizes.X), -np.inf)
        for rank, choice in enumerate(places):
            scores[..., choice] = -rank
        return scores

    return score


class Entry(NamedTuple):
    """A policy by name.

    Attributes:
        make: Makes it for a world, with a key for what it draws.
        meaning: What it does.
        knows: What it knows that agents do not, or that it knows no more.
    """

    make: Callable[[World, int], Policy]
    meaning: str
    knows: str


OWN, TURN, WORLD, HINDSIGHT = "own view", "own view, choices before it", "whole world", "hindsight"
STEERED = ", training episodes"


def _priced(world: World) -> Policy:
    return Planner(plan_myopic, PRICED_PRICE * time_price(world))


def _coordinated(world: World) -> Policy:
    return Planner(plan_coordinated, COORDINATED_PRICE * time_price(world), False)


POLICIES: dict[str, Entry] = {
    "random": Entry(lambda world, seed: RandomPolicy(seed), "uniformly random legal actions of both roles", OWN),
    "local": Entry(lambda world, seed: Ranking(_local), "the local expert of the best gate reading, or waits", OWN),
    "nearest": Entry(
        lambda world, seed: Ranking(_nearest), "the nearest provider, its expert of the best gate reading", WORLD
    ),
    "best_snr": Entry(
        lambda world, seed: Ranking(_best_snr),
        "the provider of the strongest link, its expert of the best gate reading",
        OWN,
    ),
    "cheapest": Entry(lambda world, seed: Ranking(_cheapest), "the expert of the lowest quote", OWN),
    "best_prior": Entry(
        lambda world, seed: Ranking(_best_prior), "the expert of the highest mean quality in the part's category", OWN
    ),
    "shortest_queue": Entry(lambda world, seed: Ranking(_shortest_queue), "the expert that would be done first", OWN),
    "myopic": Entry(
        lambda world, seed: Planner(plan_myopic, 0.0),
        "the best expected private reward, as if nobody else chose",
        OWN,
    ),
    "priced": Entry(
        lambda world, seed: _priced(world),
        "myopic with a price on the backlog that it leaves behind",
        OWN,
    ),
    "single": Entry(
        lambda world, seed: Planner(plan_coordinated, COORDINATED_PRICE * time_price(world), True),
        "coordinated, with one expert for all parts of a request",
        TURN,
    ),
    "coordinated": Entry(
        lambda world, seed: _coordinated(world),
        "the best expected welfare, users placed one after another, with a price on backlog",
        TURN,
    ),
    "priced_steered": Entry(
        lambda world, seed: Steered(_priced, world),
        "priced, beside providers whose settings were searched on training episodes",
        OWN + STEERED,
    ),
    "coordinated_steered": Entry(
        lambda world, seed: Steered(_coordinated, world),
        "coordinated, beside providers whose settings were searched on training episodes",
        TURN + STEERED,
    ),
    "reference": Entry(
        lambda world, seed: make_reference(world),
        "the best of many ways to play an episode, knowing recorded quality, channels and the future",
        HINDSIGHT,
    ),
}


def make_policy(name: str, world: World, seed: int = 0) -> Policy:
    """The policy of a name, for the worlds it will play.

    Args:
        name: One of `POLICIES`, or `fixed:EXPERT`, or `fixed:EXPERT,EXPERT...`: the first of them that is legal.
        world: Where it will be played; decides whether the `reference` is exact.
        seed: Key of `random`'s choices.

    Raises:
        ValueError: if there is no such policy, with the nearest name.
    """
    if name.startswith("fixed:"):
        names = world.scenario.places
        for expert in name.removeprefix("fixed:").split(","):
            if expert not in names:
                raise ValueError(
                    f"policy: '{expert}' is not an expert of {world.scenario.id}; choose from {', '.join(names)}"
                )
        return Ranking(_fixed([names.index(expert) for expert in name.removeprefix("fixed:").split(",")]))
    if name not in POLICIES:
        hint = did_you_mean(name, POLICIES, f"known: {', '.join(POLICIES)}, fixed:EXPERT")
        raise ValueError(f"policy: '{name}' is not known; {hint}")
    return POLICIES[name].make(world, seed)
