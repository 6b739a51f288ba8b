"""`TurnEnv`: one world as a PettingZoo AEC environment, the agents acting one after another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from pettingzoo import AECEnv

from ..io.strict_yaml import shortened
from ..scenario import Scenario
from .flat_env import FlatEnv
from .order_of_service import PendingQueues
from .parallel_env import EdgeEnv, Observation
from .spaces import AgentSpaces

ORDERS = ("agents", "service")
ONLY_WORLD = np.zeros(1, int)


class TurnEnv(AgentSpaces, AECEnv):  # type: ignore[misc]
    """A market in turns: agents are asked one after another, and the slot is played after the last of them.

    Spaces, rewards, episode end and info are those of `EdgeEnv`. Rewards come with the last turn of a slot. An agent
    whose episode has ended is asked once more and must answer `None`.

    Args:
        order: `agents`: they are asked in the order of `agents`, and all act on what they saw at the slot's beginning,
            so that asking in turn changes nothing. `service`: providers first, then users in the order in which the
            slot will serve them; each sees the `backlog` that the choices before it will make, as policies do that were
            trained with `--order sequential`.

        flat: One `Discrete` action an agent, as in `FlatEnv` with `dict_observations`: for what reads the mask by the
            action, as PettingZoo's `TerminateIllegalWrapper` does.
        role: As in `FlatEnv`; goes with `flat`.

    Other arguments, and errors, as `EdgeEnv`.

    Version history:
        v0: first version.
    """

    metadata: dict[str, Any]
    render_mode: str | None
    possible_agents: list[str]
    state_space: Any
    infos: dict[str, dict[str, Any]]
    rewards: dict[str, float]
    terminations: dict[str, bool]
    truncations: dict[str, bool]
    metadata = {**EdgeEnv.metadata}

    def __init__(
        self,
        scenario: Scenario | str | Path | Mapping[str, Any] = "edge_experts/text-v1",
        overrides: Mapping[str, Any] | None = None,
        *,
        seed: int | None = None,
        render_mode: str | None = None,
        order: str = "agents",
        fixed_population: bool = False,
        flat: bool = False,
        role: str | None = None,
    ) -> None:
        super().__init__()
        if order not in ORDERS:
            raise ValueError(f"order: {order!r} is not one of {', '.join(ORDERS)}")
        if flat and order == "service":
            raise ValueError("flat: True goes with order='agents'; give one of them")
        self.in_service: bool = order == "service"
        if role is not None and not flat:
            raise ValueError(f"role: {role!r} goes with flat=True; give both")
        view: Any = partial(FlatEnv, role=role, dict_observations=True) if flat else EdgeEnv
        self.env: Any = view(scenario, overrides, seed=seed, render_mode=render_mode, fixed_population=fixed_population)
        self.metadata, self.render_mode = self.env.metadata, render_mode
        self.possible_agents, self.state_space = self.env.possible_agents, self.env.state_space
        self.agents: list[str] = []
        self.agent_selection: str | None = None
        self._order: list[str] = []
        self._actions: dict[str, Any] = {}
        self._queues: PendingQueues | None = None

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same space object for all agents of a role."""
        return self.env.observation_space(agent)

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same space object for all agents of a role."""
        return self.env.action_space(agent)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin an episode: the first one of a seed if it is given, else the next one of the present seed."""
        self._observations, self.infos = self.env.reset(seed=seed, options=options)
        self.agents = list(self.env.agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self._begin_slot()

    def observe(self, agent: str) -> Observation:
        """What an agent saw at the beginning of the slot; with `order="service"`, with what was asked for since then.

        Raises:
            ValueError: if the agent is not there.
        """
        if agent not in self.agents:
            raise ValueError(f"agent: {agent!r} is not in the present agents {self.agents}; call reset() first")
        seen = self._observations[agent]
        if self._queues is None or not agent.startswith("user_"):
            return seen
        return {**seen, "observation": self._queues.show(seen["observation"][None], ONLY_WORLD)[0]}

    def step(self, action: Any) -> None:
        """Take the action of the agent in turn; play the slot if it is the last.

        Raises:
            ValueError: if the action is out of range, or there is no agent to act.
        """
        agent = self.agent_selection
        if not self.agents or agent is None:
            raise ValueError("step: the episode is over or has not begun; call reset()")
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        if action is None:
            raise ValueError(f"action: None for {agent!r}, whose episode has not ended; give one of its action space")
        if not self.env.takes(agent, action):
            raise ValueError(f"action: {shortened(action)} of '{agent}' is not in {self.action_space(agent)}")
        if not self._actions:
            self.rewards = dict.fromkeys(self.agents, 0.0)
        if self._queues is not None and agent.startswith("user_"):
            self._ask(agent, action)
        self._actions[agent] = action
        self._cumulative_rewards[agent] = 0.0
        if len(self._actions) < len(self._order):
            self.agent_selection = self._order[len(self._actions)]
        else:
            self._play()

    def _ask(self, agent: str, action: Any) -> None:
        """Let later users see what one has chosen."""
        spaces, world = self.env.role_spaces["user"], self.env.world
        assert self._queues is not None
        asked = spaces.to_world(np.asarray(action)[None, None])[0]
        self._queues.add(self.observe(agent)["observation"][None], ONLY_WORLD, asked[:, : world.sizes.J])

    def _play(self) -> None:
        played = self._actions
        self._actions = {}
        self.agent_selection = self._order[0]
        self._observations, self.rewards, self.terminations, self.truncations, self.infos = self.env.step(played)
        self._cumulative_rewards = {
            agent: self._cumulative_rewards.get(agent, 0.0) + reward for agent, reward in self.rewards.items()
        }
        live = self.env.agents
        self.agents = [*live, *(agent for agent in self.rewards if agent not in live)]
        self._begin_slot()

    def _begin_slot(self) -> None:
        self._order, self._actions = self._asked(), {}
        self._queues = PendingQueues(self.env.world) if self.in_service else None
        self.agent_selection = self._order[0] if self._order else self.agents[0]
        if len(self._order) < len(self.agents):
            self._deads_step_first()

    def _asked(self) -> list[str]:
        """Who is asked in this slot, in order."""
        present = list(self.env.agents)
        if not self.in_service:
            return present
        users = [f"user_{u}" for u in self.env.world.state.order[0].tolist()]
        return [*(a for a in present if a not in users), *(u for u in users if u in present)]

    def state(self) -> np.ndarray:
        """As `EdgeEnv.state`."""
        return self.env.state()

    def render(self) -> str | np.ndarray | None:
        """As `EdgeEnv.render`."""
        return self.env.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        self.env.close()


def aec_env(**kwargs: Any) -> TurnEnv:
    """Entry point of `pettingzoo.make("aec", id)`; arguments as `TurnEnv`."""
    return TurnEnv(**kwargs)
