"""`SingleAgentEnv`: one agent of a scenario as a Gymnasium environment, the others scripted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from ..scenario import Scenario, ScenarioError
from .parallel_env import EdgeEnv, Observation
from .policy import GateFollowers, Policy
from .scripted import scripted_actions


class SingleAgentEnv(gymnasium.Env[Observation, Any]):
    """One agent of a scenario as a Gymnasium environment.

    Spaces, rewards, episode end and info are those of the agent in `EdgeEnv`. The other agents are played by
    `partners`. `MaskablePPO` of sb3-contrib finds the mask in `action_masks()`.

    Args:
        scenario: A shipped id, a YAML file, plain data, or a `Scenario`.
        overrides: Dotted scenario fields to change.
        agent: Whose seat is taken, as `user_0`; the only agent by default.
        partners: Who plays the others; by default users follow the gate and providers keep their defaults.
        render_mode: As in `EdgeEnv`.

    Raises:
        ScenarioError: if there are several agents and none is named, or there is no such agent.

    Version history:
        v0: first version.
    """

    metadata: dict[str, Any] = {
        "render_modes": EdgeEnv.metadata["render_modes"],
        "render_fps": EdgeEnv.metadata["render_fps"],
    }

    def __init__(
        self,
        scenario: Scenario | str | Path | Mapping[str, Any] = "edge_experts/netmoe-v1",
        overrides: Mapping[str, Any] | None = None,
        agent: str | None = None,
        partners: Policy | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.env: EdgeEnv = EdgeEnv(scenario, overrides, render_mode=render_mode)
        known = self.env.possible_agents
        if agent is None and len(known) != 1:
            raise ScenarioError(
                f"agent: {self.env.scenario.id} has {len(known)} agents, a Gymnasium environment has one: name the one "
                f'to play, as agent="{known[-1]}", or use pettingzoo.make("parallel", id)'
            )
        if agent is not None and agent not in known:
            raise ScenarioError(f"agent: '{agent}' is not one of {', '.join(known)}")
        self.agent: str = agent or known[0]
        self.partners: Policy = partners or GateFollowers()
        self.render_mode = render_mode
        self.observation_space: gymnasium.Space[Any] = self.env.observation_space(self.agent)
        self.action_space: gymnasium.Space[Any] = self.env.action_space(self.agent)
        self._mask: NDArray[np.int8] = np.ones(
            int(self.env.role_spaces[self.env.role_of(self.agent)].nvec.sum()), np.int8
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; where users come and go, one in which the agent is there at the start or comes later."""
        super().reset(seed=seed)
        observations, infos = self.env.reset(seed=seed, options=options)
        while self.agent not in self.env.agents:
            if not self.env.agents:
                observations, infos = self.env.reset()
                continue
            observations, _, _, _, infos = self.env.step(self._others({}))
        self._mask = observations[self.agent]["action_mask"]
        return observations[self.agent], infos[self.agent]

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Play one slot."""
        observations, rewards, terminated, truncated, infos = self.env.step(self._others({self.agent: action}))
        agent = self.agent
        self._mask = observations[agent]["action_mask"]
        return observations[agent], rewards[agent], terminated[agent], truncated[agent], infos[agent]

    def _others(self, mine: dict[str, Any]) -> dict[str, Any]:
        """The actions of all present agents: ours, and the partners'."""
        if self.env.agents == list(mine):
            return mine
        return scripted_actions(self.env, self.partners) | mine

    def action_masks(self) -> NDArray[np.bool_]:
        """Which choices are legal now, the parts of the action side by side: (choices,) bool."""
        return self._mask.astype(np.bool_)

    def render(self) -> str | np.ndarray | None:  # type: ignore[override]
        """As `EdgeEnv.render`."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()
