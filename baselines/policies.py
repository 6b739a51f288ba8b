"""Policies that need no training, by name: floors, heuristics and the upper bound."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs.world import World

from .planning import plan_clairvoyant, plan_coordinated, plan_myopic

Ints = NDArray[np.int64]
Actions = tuple[Ints | None, Ints | None]

SWEEPS = 4  # of local improvement; more changed the mean welfare of text-v0 by less than its standard error
CONGESTION = 0.02  # credits per second of backlog left behind; chosen on text-v0's training prompts, see README


class Policy(Protocol):
    """Plays every agent of a `World`."""

    def act(self, world: World) -> Actions:
        """Actions for `World.step`: (B, U, 2) for devices and (B, P, 4) for providers; `None` is the default."""
        ...


class RandomPolicy:
    """Uniformly random legal actions of both roles."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def act(self, world: World) -> Actions:
        """Draw every part of every action among its legal choices."""
        return world.sample_actions(self._rng)


class Ranking:
    """Places each segment on the legal expert of the highest score; providers keep their defaults."""

    def __init__(self, score: Callable[[World], NDArray[np.float64]]) -> None:
        self._score = score

    def act(self, world: World) -> Actions:
        """Highest score among the legal experts, at full power.

        Where there is none it waits, or takes the first legal expert if waiting is not legal.
        """
        E, masks = world.sizes.E, world.views.device_masks
        scores = np.where(masks[..., : E + 1] == 1, self._score(world), -np.inf)
        otherwise = np.where(masks[..., E + 1] == 1, E + 1, masks[..., : E + 1].argmax(axis=-1))
        return place(world, np.where(np.isfinite(scores).any(axis=-1), scores.argmax(axis=-1), otherwise)), None


class Planner:
    """Computes a plan for every world with a compiled function; providers keep their defaults."""

    def __init__(self, plan: Callable[..., None], *options: Any) -> None:
        self._plan, self._options = plan, options

    def act(self, world: World) -> Actions:
        """Plan every slot afresh."""
        plans = np.empty((world.n_worlds, world.sizes.U), np.int64)
        scratch = np.empty(world.sizes.E + world.sizes.P)
        self._plan(world.state, world.constants, world.figures, plans, scratch, *self._options)
        return place(world, plans), None


class Enumeration:
    """Exact upper bound where the future of a request can be enumerated: all choices until its deadline are tried.

    Each candidate is played in a copy of the world that shares its future randomness, so the best one is what nobody can
    beat. The number of candidates is (E + 2) to the power of the deadline in slots, times the power levels.
    """

    def __init__(self) -> None:
        self._plans: Ints | None = None

    def act(self, world: World) -> Actions:
        """Find the best sequence at the start of an episode, then play it."""
        if (world.state.clock.slot == 0).all():
            self._plans = np.stack([self._search(world, b) for b in range(world.n_worlds)])
        assert self._plans is not None, "an episode must be played from its start"
        return self._plans[np.arange(world.n_worlds), world.state.clock.slot][:, None, :], None

    def _search(self, world: World, b: int) -> Ints:
        single = [range(n) for n in (world.sizes.E + 2, world.sizes.H)]
        steps = np.array(list(product(*single)))
        sequences = np.array(list(product(range(len(steps)), repeat=world.scenario.episode.slots)))
        copies = world.fork(np.full(len(sequences), b))
        total, running = np.zeros(len(sequences)), np.ones(len(sequences), bool)
        for slot in range(world.scenario.episode.slots):
            copies.step(steps[sequences[:, slot]][:, None, :])
            total += np.where(running, copies.state.devices.reward[:, 0], 0.0)
            running &= ~copies.state.clock.over
        best: Ints = steps[sequences[total.argmax()]]
        return best


def place(world: World, experts: Ints) -> Ints:
    """Device actions that use these experts at full power: (B, U, 2) from (B, U)."""
    power = np.where(experts <= world.sizes.E, world.sizes.H - 1, 0)
    return np.stack([experts, power], axis=-1)


def _with_local(world: World, scores: NDArray[np.float64], local: float) -> NDArray[np.float64]:
    B, U, E = world.n_worlds, world.sizes.U, world.sizes.E
    return np.concatenate([np.broadcast_to(scores, (B, U, E)), np.full((B, U, 1), local)], axis=-1)


def _by_host(world: World, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank experts by a score (B, U, P) of their host, and by the gate among those of one host."""
    hosts = np.arange(world.sizes.E) % world.sizes.P
    rank = score.argsort(axis=-1).argsort(axis=-1)[..., hosts]
    return _with_local(world, rank + 0.5 * world.state.gate[..., :-1], -1.0)


def _nearest(world: World) -> NDArray[np.float64]:
    devices, providers = world.state.devices, world.state.providers
    dx, dy = (devices[axis][:, :, None] - providers[axis][:, None, :] for axis in ("x_m", "y_m"))
    return _by_host(world, -np.hypot(dx, dy))


def _best_snr(world: World) -> NDArray[np.float64]:
    return _by_host(world, np.asarray(world.state.links.gain_db))


def _cheapest(world: World) -> NDArray[np.float64]:
    # free as it is of payment, the local expert comes last: it costs battery
    price = world.figures.price_levels[world.state.providers.price][:, np.arange(world.sizes.E) % world.sizes.P]
    work = world.figures.priors.work[_category(world), :-1]
    return _with_local(world, -(price * world.figures.machines.price[:-1])[:, None, :] * work, -np.inf)


def _best_prior(world: World) -> NDArray[np.float64]:
    return np.asarray(world.figures.priors.quality[_category(world)])


def _shortest_queue(world: World) -> NDArray[np.float64]:
    seconds = world.figures.machines.seconds_per_unit[:-1]
    speed = world.figures.speed_levels[world.state.providers.speed][:, np.arange(world.sizes.E) % world.sizes.P]
    work = world.state.experts.backlog[:, None, :] + world.figures.priors.work[_category(world), :-1]
    return _with_local(world, -work * (seconds / speed)[:, None, :], -np.inf)


def _category(world: World) -> Ints:
    category: Ints = world.figures.category[world.state.devices.prompt]
    return category


def _work_spread(world: World) -> NDArray[np.float64]:
    """Training-split standard deviation of a segment's work, by category and expert: (G, E+1)."""
    table = world.table
    variance = table.prior(table.work_units**2) - table.prior(table.work_units) ** 2
    return np.sqrt(variance) / world.scenario.requests.subtasks


def _fixed(expert: int) -> Callable[[World], NDArray[np.float64]]:
    def score(world: World) -> NDArray[np.float64]:
        scores = np.full((world.n_worlds, world.sizes.U, world.sizes.E + 1), -np.inf)
        scores[..., expert] = 1.0
        return scores

    return score


POLICIES: dict[str, tuple[Callable[[World, int], Policy], str]] = {
    "random": (lambda world, seed: RandomPolicy(seed), "uniformly random legal actions of both roles"),
    "nearest": (lambda world, seed: Ranking(_nearest), "the nearest provider, its expert of the best gate reading"),
    "best_snr": (
        lambda world, seed: Ranking(_best_snr),
        "the provider of the strongest link, its expert of the best gate reading",
    ),
    "cheapest": (lambda world, seed: Ranking(_cheapest), "the expert of the lowest quote"),
    "best_prior": (
        lambda world, seed: Ranking(_best_prior),
        "the expert of the highest mean quality in the request's category",
    ),
    "shortest_queue": (lambda world, seed: Ranking(_shortest_queue), "the expert that would be done first"),
    "myopic": (
        lambda world, seed: Planner(plan_myopic, _work_spread(world)),
        "the best expected private reward, as if nobody else chose",
    ),
    "coordinated": (
        lambda world, seed: Planner(plan_coordinated, _work_spread(world)),
        "the same knowledge, devices placed one after another",
    ),
    "clairvoyant": (
        lambda world, seed: Enumeration() if is_enumerable(world) else Planner(plan_clairvoyant, SWEEPS, CONGESTION),
        "upper bound: knows recorded quality and channels",
    ),
}


def make_policy(name: str, world: World, seed: int = 0) -> Policy:
    """The policy of a name, for the worlds it will play.

    Args:
        name: One of `POLICIES`, or `fixed:EXPERT`.
        world: Where it will be played; decides which upper bound `clairvoyant` is.
        seed: Key of `random`'s choices.

    Raises:
        ValueError: if there is no such policy, with the nearest name.
    """
    if name.startswith("fixed:"):
        expert = name.removeprefix("fixed:")
        names = [*world.scenario.experts, "local"]
        if expert not in names:
            raise ValueError(
                f"policy: '{expert}' is not an expert of {world.scenario.id}; choose from {', '.join(names)}"
            )
        return Ranking(_fixed(names.index(expert)))
    if name not in POLICIES:
        near = get_close_matches(name, POLICIES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(POLICIES)}, fixed:EXPERT"
        raise ValueError(f"policy: '{name}' is not known; {hint}")
    return POLICIES[name][0](world, seed)


def is_enumerable(world: World) -> bool:
    """Whether one device's whole episode has few enough choices to be tried exhaustively."""
    choices = float((world.sizes.E + 2) * world.sizes.H) ** world.scenario.episode.slots
    return world.sizes.U == 1 and not world.scenario.providers.act and choices <= 1e5
