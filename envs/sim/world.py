"""`World`: B worlds of one scenario, stepped together. The one source of truth of the simulation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..display import views_html, views_line, world_html, world_line
from ..physics.handle import Handle
from ..physics.jit import bind
from ..scenario import Scenario
from ..scenarios import load_scenario
from ..tables import QualityTable
from .constants import build_constants
from .kernel.counterfactual import weigh_choices
from .kernel.observations import Board, new_board
from .kernel.step import first_wrong, observe_worlds, reset_worlds, step_worlds
from .params import load_params
from .plugins import pointers
from .spec import ROLES, Sizes, action_parts, action_sizes, observation_size
from .state import PRESENT, Params, Worlds, allocate, arrays

AGENTS_A_THREAD = 2048  # below this a second thread costs more than it saves


class Views(NamedTuple):
    """What all agents of B worlds see. Views of the world's own buffers: copy what you keep beyond the next step."""

    users: NDArray[np.float32]  # (B, U, D)
    user_masks: NDArray[np.int8]  # (B, U, M): parts of the action side by side, 1 = legal
    providers: NDArray[np.float32]  # (B, P, D')
    provider_masks: NDArray[np.int8]  # (B, P, M')

    def __repr__(self) -> str:
        return views_line(self)

    def _repr_html_(self) -> str:
        return views_html(self)

    def of(self, role: str) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Observations and masks of a role."""
        return (self.users, self.user_masks) if role == "user" else (self.providers, self.provider_masks)

    def joined(self) -> NDArray[np.float32]:
        """The global state of every world, (B, S): the observations of all providers, then of all users."""
        B = len(self.users)
        return np.concatenate([self.providers.reshape(B, -1), self.users.reshape(B, -1)], axis=1)


class Shard(NamedTuple):
    """Worlds that one thread steps, and its scratch."""

    first: int
    last: int
    board: Board


class World:
    """B independent worlds of one scenario, as arrays.

    Same seed, same bytes: world `i` evolves identically whatever the number of worlds beside it.

    Args:
        scenario: A shipped id, a YAML file, plain data, or a `Scenario`.
        n_worlds: B.
        seed: Key of the random stream, 0 <= seed < 2**63.
        overrides: Dotted scenario fields to change, as `{"devices.count": 32}`.
        first_world: Identity of world 0 in the random stream; workers that share a seed take disjoint ranges.
        threads: At most this many step the worlds together; few worlds are stepped by one. The bytes are the same.

    Attributes:
        scenario: The validated scenario.
        tables: The quality tables in use.
        sizes: Sizes of observations and actions.
        state: Record arrays of the current state and of what happened in the last slot (see `state.Worlds`).
        views: What the agents see now.
        final_views: What they saw last, in worlds whose episode has just ended (`state.clock.over`).

    Raises:
        ScenarioError: if the scenario is not valid.
        TableError: if a table is not valid.
        ValueError: for a seed or a number of worlds out of range.

    Example:
        >>> world = World("edge_experts/text-v1", n_worlds=2, seed=7)
        >>> views = world.reset()
        >>> views.users.shape[:2]
        (2, 16)
        >>> views = world.step(*world.sample_actions(np.random.default_rng(0)))
        >>> world.state.users.reward.shape
        (2, 16)
    """

    tables: tuple[QualityTable, ...]
    params: Params
    n_worlds: int
    threads: int
    seed: int

    def __init__(
        self,
        scenario: Scenario | str | Path | Mapping[str, Any],
        n_worlds: int = 1,
        seed: int = 0,
        overrides: Mapping[str, Any] | None = None,
        first_world: int = 0,
        threads: int = 1,
    ) -> None:
        _check_range("n_worlds", n_worlds, 1, 2**31)
        _check_range("threads", threads, 1, 2**10)
        _check_range("seed", seed, 0, 2**63)
        self.scenario: Scenario = load_scenario(scenario, overrides)
        self.params, self.tables = load_params(self.scenario)
        self.n_worlds, self.threads = n_worlds, threads
        self._prepare(seed, np.arange(first_world, first_world + n_worlds))
        self.reset()

    def __repr__(self) -> str:
        return world_line(self)

    def _repr_html_(self) -> str:
        return world_html(self)

    def _prepare(self, seed: int, identities: NDArray[np.int64]) -> None:
        self.seed = seed
        self.constants: Any = build_constants(self.scenario, seed, self.params)
        self.sizes: Sizes = Sizes.of(self.constants, self.params)
        self.state: Worlds = allocate(identities, self.constants, self.params)
        self.views: Views = self._allocate_views()
        self.final_views: Views = self._allocate_views()
        c, B = self.constants, self.n_worlds
        wait, keep = (
            [*[c.X] * c.J, 0],
            [c.default_price, c.default_speed, c.default_bandwidth, 0, c.default_views, c.default_power],
        )
        self._defaults = {"user": np.full((B, c.U, c.J + 1), wait), "provider": np.full((B, c.P, 6), keep)}
        self._limits = {role: np.array(action_sizes(role, self.sizes)) for role in ROLES}
        self._shards = self._share_out()
        self._bind()

    def _bind(self) -> None:
        """Fetch the machine code for this world's arrays."""
        users, providers = (self._defaults[role] for role in ROLES)
        shared, views = (self.state, self.constants, self.params), (self.views, self.final_views)
        self._handles = [Handle(*shared, shard.board, *views) for shard in self._shards]
        self._step = bind(step_worlds, 0, 1, self._handles[0], users, providers)
        self._reset = bind(reset_worlds, 0, 1, self._handles[0])
        self._first_wrong = bind(first_wrong, users, self._limits["user"])
        self._weigh: Any = None  # compiled when first asked for

    def __getstate__(self) -> dict[str, Any]:
        kept = {
            name: value
            for name, value in vars(self).items()
            if name not in ("_handles", "_step", "_reset", "_first_wrong", "_weigh")
        }
        return {**kept, "params": self.params._replace(models=None)}  # machine code does not travel

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.params = self.params._replace(models=pointers(self.scenario))
        self._bind()

    def _share_out(self) -> list[Shard]:
        """Equal shares of the worlds for as many threads as have enough to do."""
        agents = self.n_worlds * int(self.constants.U + self.constants.P)
        shares = max(1, min(self.threads, self.n_worlds, agents // AGENTS_A_THREAD))
        edges = np.linspace(0, self.n_worlds, shares + 1).astype(int).tolist()
        return [Shard(a, b, new_board(self.constants, self.params)) for a, b in pairwise(edges)]

    def _allocate_views(self) -> Views:
        arrays: list[Any] = []
        for role in ROLES:
            shape = (self.n_worlds, self.sizes.count(role))
            arrays.append(np.zeros((*shape, observation_size(role, self.sizes)), np.float32))
            arrays.append(np.zeros((*shape, sum(action_sizes(role, self.sizes))), np.int8))
        return Views(*arrays)

    def reset(self, seed: int | None = None, episode: int = 0) -> Views:
        """Begin an episode in every world.

        Args:
            seed: A new key for the random stream; the present one by default.
            episode: Number of the episode within the stream; the same number gives the same episode again.
        """
        _check_range("episode", episode, 0, 2**31)
        if seed is not None:
            _check_range("seed", seed, 0, 2**63)
            self.seed = seed
            self.constants.seed = seed
        self.state.clock.episode[:] = episode
        self._reset(0, self.n_worlds, self._handles[0])
        return self.views

    def step(self, user_actions: ArrayLike | None = None, provider_actions: ArrayLike | None = None) -> Views:
        """Advance every world by one slot; worlds whose episode ends begin the next one at once.

        Args:
            user_actions: (B, U, J + 1) integers, expert (J of them where `requests.dispatch` is parallel) and power
                level; `None`: everybody waits.
            provider_actions: (B, P, 6) integers, price, speed, bandwidth policy, load, views and transmit power;
                `None`: the defaults.

        Returns:
            The new observations. Rewards and all that happened stand in `state`, whose record arrays also hold the
            outcome of the last slot: `state.users.reward`, `state.providers.reward`, `state.clock.over`.

        Raises:
            ValueError: for an action of the wrong shape or out of range (a masked one is legal input: it means *wait*
                or *keep*, and is counted in `invalid`).
        """
        users, providers = self._checked("user", user_actions), self._checked("provider", provider_actions)
        if self.constants.scripted:
            users = users.copy()  # the kernel writes the scripted users' actions there

        (first, *rest), (handle, *handles) = self._shards, self._handles
        others = [
            _pool().submit(self._step, shard.first, shard.last, other, users, providers)
            for shard, other in zip(rest, handles, strict=True)
        ]
        self._step(first.first, first.last, handle, users, providers)
        for other in others:
            other.result()
        return self.views

    def externalities(
        self, user_actions: ArrayLike | None = None, provider_actions: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """What every user's choice would do to all other agents in this slot, in credits: (B, U).

        Their outcome less what it would be if the user waited, everything else being equal. Payments between agents are
        left out, as they only move from one to another. The state stays as it is: ask before `step`.

        Args:
            user_actions: As `step` takes them.
            provider_actions: As `step` takes them.
        """
        users, providers = self._checked("user", user_actions), self._checked("provider", provider_actions)
        trial = allocate(np.zeros(1, np.int64), self.constants, self.params)
        found = np.zeros(users.shape[:2])
        arguments = (self.state, trial, self.constants, self.params, users, providers, users[0].copy(), found)
        if self._weigh is None:
            self._weigh = bind(weigh_choices, *arguments)
        self._weigh(*arguments)
        return found

    def outcomes(self, role: str) -> NDArray[np.float64]:
        """What each agent of a role got in the last slot, payments between agents left out: (B, n), credits.

        Those of all agents sum to the welfare that scores are made of.
        """
        records, acts = self.records(role), self.scenario.providers.act
        if role == "provider":
            costs: NDArray[np.float64] = records.electricity + records.loading_cost + records.late_cost
            return costs if acts else np.zeros_like(costs)
        got: NDArray[np.float64] = records.earned + records.energy + records.latency
        got = got if acts else got + records.payment
        return np.where(np.arange(self.sizes.U) < self.sizes.agents("user"), got, 0.0)

    def observe(self) -> Views:
        """Observe the present state anew: call it after changing `state` by hand."""
        observe_worlds(self._handles[0])
        return self.views

    def _checked(self, role: str, actions: ArrayLike | None) -> NDArray[np.int64]:
        expected, limits = self._defaults[role], self._limits[role]
        if actions is None:
            return expected
        given = np.asarray(actions)
        if given.shape != expected.shape or given.dtype.kind not in "iu":
            raise ValueError(
                f"{role} actions: {given.dtype} array of shape {given.shape}, "
                f"expected integers of shape {expected.shape}"
            )
        checked = np.ascontiguousarray(given, dtype=np.int64)
        wrong = self._first_wrong(checked, limits)
        if wrong >= 0:
            world, agent, part = np.unravel_index(wrong, given.shape)
            raise ValueError(
                f"{role} actions: {action_parts(role, self.sizes)[part][0]} = {given[world, agent, part]} of {role} "
                f"{agent} in world {world}, expected 0..{limits[part] - 1}"
            )
        return checked

    def sample_actions(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Uniformly random legal actions of all users and providers."""
        return (
            sample_masked(rng, self.views.user_masks, action_sizes("user", self.sizes)),
            sample_masked(rng, self.views.provider_masks, action_sizes("provider", self.sizes)),
        )

    def default_actions(self, role: str) -> NDArray[np.int64]:
        """What a role does when nobody tells it: users wait, providers keep their defaults. (B, agents, parts)."""
        return self._defaults[role].copy()

    def records(self, role: str) -> Any:
        """State and last outcome of all users or providers: (B, n) records, `state.USER` or `state.PROVIDER`."""
        return self.state.users if role == "user" else self.state.providers

    def agents(self, role: str) -> list[str]:
        """Names of the agents of a role, as `user_0`; none where the role does not act."""
        return [f"{role}_{i}" for i in range(self.sizes.agents(role))] if self.scenario.acts(role) else []

    def present(self, role: str) -> NDArray[np.bool_]:
        """Which agents of a role are there now: (B, n) bool; scripted users are no agents."""
        there = np.zeros((self.n_worlds, self.sizes.count(role)), np.bool_)
        there[:, : self.sizes.agents(role)] = True
        return there & self.live_users if role == "user" else there

    @property
    def live_users(self) -> NDArray[np.bool_]:
        """Which users are there now, scripted ones too: (B, U) bool."""
        return np.asarray(self.state.users.presence == PRESENT)

    @property
    def hosts(self) -> NDArray[np.int64]:
        """(E,): the provider of every hosted expert."""
        return np.arange(self.sizes.E) % self.sizes.P

    def fork(self, worlds: ArrayLike) -> World:
        """Independent copies of some worlds, in their present state and with their own future randomness.

        A copy that is played the same actions lives the same life: use it to look ahead, or to ask what another action
        would have done.

        Args:
            worlds: Indices; an index may be repeated.
        """
        rows = np.asarray(worlds)
        is_listed = rows.dtype.kind in "iu" and rows.ndim == 1 and len(rows) > 0
        if not is_listed or rows.min() < 0 or rows.max() >= self.n_worlds:
            raise ValueError(f"worlds: {worlds!r}, expected a list of indices in 0..{self.n_worlds - 1}")
        copy = World.__new__(World)
        copy.scenario, copy.params, copy.tables = self.scenario, self.params, self.tables
        rows = rows.astype(np.int64)
        copy.n_worlds, copy.threads = len(rows), self.threads
        copy._prepare(self.seed, self.state.clock.world[rows])
        for mine, other in [(copy.state, self.state), (copy.views, self.views), (copy.final_views, self.final_views)]:
            for target, source in zip(arrays(mine), arrays(other), strict=True):
                target[...] = source[rows]
        return copy


@cache  # a child process begins without threads
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="edge-experts-world")


os.register_at_fork(after_in_child=_pool.cache_clear)


def sample_masked(rng: np.random.Generator, masks: NDArray[np.int8], sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Draw each part of an action uniformly among its legal choices.

    Args:
        rng: Source of randomness.
        masks: (..., sum(sizes)), parts side by side.
        sizes: Choices per part.

    Returns:
        (..., len(sizes)) int64.
    """
    parts = np.split(masks, np.cumsum(sizes)[:-1], axis=-1)
    draws = [np.where(part == 1, rng.random(part.shape), -1.0).argmax(axis=-1) for part in parts]
    return np.stack(draws, axis=-1)


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value < high:
        raise ValueError(f"{name}: {value!r}, expected an integer with {low} <= {name} < {high}")
