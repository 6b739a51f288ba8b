"""All agents of one role in many worlds as one batch: plain arrays (`AgentBatch`) and a Gymnasium `VectorEnv`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from ..scenario import Scenario, ScenarioError
from ..sim.spec import ROLES
from ..sim.world import World
from .policy import GateFollowers, Policy
from .spaces import RoleSpaces


class AgentBatch:
    """The agents of one role in B worlds as N = B x agents rows of arrays that are filled in place.

    The form that PufferLib's native environments have, and that a TorchRL or plain torch loop reads without a copy:
    `torch.from_numpy(batch.observations)` made once shows every later step. World b's agent i is row `b * agents + i`.
    Where an episode ends, the next one begins at once; what was seen last is in `final_observations`.

    Args:
        scenario: A shipped id, a YAML file, plain data, or a `Scenario`.
        n_worlds: B.
        role: `"user"` or `"provider"`.
        seed: Key of the random stream.
        overrides: Dotted scenario fields to change.
        partners: Who plays the other role; by default users wait and providers keep their defaults.
        threads: At most this many step the worlds together.
        agent: Only one seat of every world, as `user_0`, so that N is B; all others are played by `partners`, by
            default `GateFollowers`.

    Attributes:
        world: The `World` behind it.
        num_agents: N.
        single_observation_space: Box of one row.
        single_action_space: Discrete or MultiDiscrete of one row.
        observations: (N, D) float32, a view of the world's own buffer.
        action_masks: (N, M) int8, parts of the action side by side, 1 = legal.
        rewards: (N,) float32, credits.
        terminals: (N,) bool: the agent left, or the episode really ended.
        truncations: (N,) bool: the episode was cut.
        masks: (N,) bool: the agent is there. Rows of absent agents are zero and their actions are ignored, as are
            those of users that follow the scenario's script.
        final_observations: (N, D) float32, valid where `terminals` or `truncations`.
        final_action_masks: (N, M) int8, likewise.

    Raises:
        ScenarioError: if the scenario is not valid or the role does not act in it.
        TableError: if a table is not valid.

    Example:
        >>> batch = AgentBatch("edge_experts/text-v1", n_worlds=4)
        >>> observations, infos = batch.reset(seed=7)
        >>> observations.shape
        (64, 69)
        >>> observations, rewards, terminals, truncations, infos =
        batch.step(batch.sample_actions(np.random.default_rng(0)))
    """

    agent: str | None
    num_agents: int
    partners: Policy | GateFollowers | None
    role: str
    observations: NDArray[Any]
    masks: NDArray[np.bool_]
    terminals: NDArray[np.bool_]
    truncations: NDArray[np.bool_]

    def __init__(
        self,
        scenario: Scenario | str | Path | Mapping[str, Any],
        n_worlds: int = 1,
        role: str = "user",
        seed: int = 0,
        overrides: Mapping[str, Any] | None = None,
        partners: Policy | None = None,
        threads: int = 1,
        agent: str | None = None,
    ) -> None:
        if role not in ROLES:
            raise ValueError(f"role: {role!r} is not one of {', '.join(ROLES)}")
        self.world: World = World(scenario, n_worlds, seed, overrides, threads=threads)
        if agent is not None:
            role, partners = _role_of(agent, self.world), partners or GateFollowers()
        self.role, self.agent, self.partners = role, agent, partners
        if not self.world.scenario.acts(role):
            raise ScenarioError(f"role: '{role}' does not act in {self.world.scenario.id}; take the other one")
        self.spaces: RoleSpaces = RoleSpaces(role, self.world.sizes)
        self.single_observation_space: gymnasium.Space[Any] = self.spaces.observation["observation"]
        self.single_action_space: gymnasium.Space[Any] = self.spaces.action
        seats = self.world.sizes.count(role)
        first = 0 if agent is None else int(agent.rpartition("_")[2])
        self.agents_per_world: int = seats if agent is None else 1
        self._seats: slice = slice(first, first + self.agents_per_world)
        N = self.num_agents = n_worlds * self.agents_per_world
        observations, masks = self.world.views.of(role)
        self.observations, self._world_masks = self._rows(observations), self._rows(masks)
        self._record = self._rows(np.asarray(self.world.records(role)))
        self.action_masks: NDArray[np.int8] = np.zeros((N, len(self.spaces.mask_columns)), np.int8)
        self.rewards: NDArray[np.float32] = np.zeros(N, np.float32)
        self.terminals, self.truncations, self.masks = (np.zeros(N, np.bool_) for _ in range(3))
        self.final_observations: NDArray[Any] = np.zeros_like(self.observations)
        self.final_action_masks: NDArray[np.int8] = np.zeros_like(self.action_masks)

    def reset(self, seed: int | None = None) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
        """Begin an episode in every world: the first of a seed if it is given, else the next."""
        episode = 0 if seed is not None else int(self.world.state.clock.episode.max()) + 1
        self.world.reset(seed=seed, episode=episode)
        self.rewards[:], self.terminals[:], self.truncations[:] = 0.0, False, False
        self._look()
        return self.observations, []

    def step(
        self, actions: ArrayLike
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], list[dict[str, Any]]]:
        """Play one slot.

        Args:
            actions: (N, parts) integers, or (N,) where an action has one part.

        Returns:
            Observations, rewards, terminals, truncations and infos: the attributes, filled anew, and an empty list.

        Raises:
            ValueError: for actions of the wrong shape or out of range.
        """
        given = np.asarray(actions)
        shape = (self.num_agents, *self.spaces.shape)
        if given.shape != shape or given.dtype.kind not in "iu":
            raise ValueError(f"actions: {given.dtype} array of shape {given.shape}, expected integers of shape {shape}")
        mine = self.spaces.to_world(given).reshape(self.world.n_worlds, self.agents_per_world, -1)
        users, providers = self.partners.act(self.world) if self.partners is not None else (None, None)
        if self.agent is not None:
            scripted = users if self.role == "user" else providers
            role_actions = self.world.default_actions(self.role) if scripted is None else np.array(scripted)
            role_actions[:, self._seats], mine = mine, role_actions
        self.world.step(*((mine, providers) if self.role == "user" else (users, mine)))
        self.rewards[:] = self._record["reward"]
        self.terminals[:], self.truncations[:] = self._record["terminated"], self._record["truncated"]
        ended = self.terminals | self.truncations
        if ended.any():
            over = np.repeat(self.world.state.clock.over, self.agents_per_world)
            columns = self.spaces.mask_columns
            last, masks = (self._rows(view)[ended] for view in self.world.final_views.of(self.role))
            now, here = over[ended, None], self._world_masks[ended]
            self.final_observations[ended] = np.where(now, last, self.observations[ended])
            self.final_action_masks[ended] = np.where(now, masks, here)[:, columns]
        self._look()
        return self.observations, self.rewards, self.terminals, self.truncations, []

    def _look(self) -> None:
        np.take(self._world_masks, self.spaces.mask_columns, axis=1, out=self.action_masks)
        self.masks[:] = self._rows(self.world.present(self.role))

    def _rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """A view of the rows of this batch's agents, (N, ...), of what a role has in every world, (B, n, ...)."""
        together = values.reshape(-1, *values.shape[2:])
        return together if self.agent is None else values[:, self._seats].squeeze(1)

    def sample_actions(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Uniformly random legal actions: (N, parts) or (N,)."""
        drawn = dict(zip(ROLES, self.world.sample_actions(rng), strict=True))[self.role]
        return self.spaces.from_world(self._rows(drawn))

    def close(self) -> None:
        """Nothing to release."""


def _role_of(agent: str, world: World) -> str:
    known = [name for role in ROLES for name in world.agents(role)]
    if agent not in known:
        raise ScenarioError(f"agent: '{agent}' is not one of {', '.join(known)}")
    return agent.rpartition("_")[0]


class MarketVectorEnv(VectorEnv):  # type: ignore[type-arg]
    """The agents of one role in many worlds as a Gymnasium vector environment, one sub-environment an agent.

    Spaces, rewards and episode ends are those of `EdgeEnv`. Episodes begin anew in the step in which they end
    (`AutoresetMode.SAME_STEP`): `infos["final_obs"]` holds what was seen last. `infos["present"]` tells which agents
    are there; the rows of the others are idle until the next episode of their world.

    Args:
        scenario: A shipped id, a YAML file, plain data, or a `Scenario`.
        num_envs: Number of agents: a multiple of those of the role in one world; with `agent`, of worlds.
        role: `"user"` or `"provider"`.
        agent: Only this seat of every world, as `user_0`; all others are played by `partners`, as in `AgentBatch`.
        overrides: Dotted scenario fields to change.
        partners: Who plays the other role, as in `AgentBatch`.
        copy: Whether to return copies; without, arrays are the world's own buffers and change in the next step.
        threads: At most this many step the worlds together.

    Raises:
        ScenarioError: if the scenario is not valid, the role does not act in it, or `num_envs` does not fit it.

    Version history:
        v0: first version.
    """

    copy: bool
    num_envs: int
    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        scenario: Scenario | str | Path | Mapping[str, Any] = "edge_experts/netmoe-v1",
        num_envs: int = 1,
        role: str = "user",
        overrides: Mapping[str, Any] | None = None,
        partners: Policy | None = None,
        copy: bool = True,
        threads: int = 1,
        agent: str | None = None,
    ) -> None:
        one = AgentBatch(scenario, 1, role, overrides=overrides, agent=agent)
        if num_envs < 1 or num_envs % one.num_agents:
            raise ScenarioError(
                f"num_envs: {num_envs} is not a multiple of {one.num_agents}, the number of {role}s in a world of "
                f"{one.world.scenario.id}; take {max(1, round(num_envs / one.num_agents)) * one.num_agents}"
            )
        self.batch: AgentBatch = AgentBatch(
            one.world.scenario, num_envs // one.num_agents, role, partners=partners, threads=threads, agent=agent
        )
        self.num_envs, self.copy = num_envs, copy
        self.single_observation_space: gymnasium.Space[Any] = self.batch.spaces.observation
        self.single_action_space: gymnasium.Space[Any] = self.batch.spaces.action
        self.observation_space: gymnasium.Space[Any] = batch_space(self.single_observation_space, num_envs)
        self.action_space: gymnasium.Space[Any] = batch_space(self.single_action_space, num_envs)
        self._began = False

    def reset(  # type: ignore[override]
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin an episode in every world."""
        super().reset(seed=seed)
        if seed is None and not self._began:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
        self._began = True
        self.batch.reset(seed)
        return self._seen(), {"present": self.batch.masks.copy()}

    def step(
        self, actions: ArrayLike
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Play one slot in every world; `actions` as `action_space`."""
        batch = self.batch
        if not self._began:
            raise ValueError("step: no episode has begun; call reset()")
        _, rewards, terminals, truncations, _ = batch.step(actions)
        infos: dict[str, Any] = {"present": batch.masks.copy()}
        ended = terminals | truncations
        if ended.any():
            last = np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(ended):
                last[i] = {
                    "observation": batch.final_observations[i].copy(),
                    "action_mask": batch.final_action_masks[i].copy(),
                }
            infos["final_obs"], infos["_final_obs"] = last, ended
        kept = [rewards, terminals, truncations]
        return self._seen(), *(value.copy() if self.copy else value for value in kept), infos  # type: ignore[return-value]

    def _seen(self) -> dict[str, NDArray[Any]]:
        seen: dict[str, NDArray[Any]] = {"observation": self.batch.observations, "action_mask": self.batch.action_masks}
        return {name: value.copy() for name, value in seen.items()} if self.copy else seen
