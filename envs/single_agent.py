"""`SingleAgentEnv`: a scenario with one agent as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from .parallel import EdgeEnv, Observation
from .scenario import Scenario, ScenarioError


class SingleAgentEnv(gymnasium.Env[Observation, Any]):
    """A scenario with a single agent as a Gymnasium environment.

    Spaces, rewards, episode end and info are those of the agent in `EdgeEnv`.

    Args:
        base: A shipped id, a YAML file, plain data, or a `Scenario` in which exactly one agent acts.
        scenario: Dotted scenario fields to change.
        render_mode: `"ansi"` or `"rgb_array"`.

    Raises:
        ScenarioError: if more than one agent acts.

    Version history:
        v0: first version.
    """

    metadata = {"render_modes": EdgeEnv.metadata["render_modes"], "render_fps": EdgeEnv.metadata["render_fps"]}

    def __init__(
        self,
        base: Scenario | str | Path | Mapping[str, Any] = "edge_experts/netmoe-v0",
        scenario: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.env = EdgeEnv(base, scenario, render_mode=render_mode)
        if len(self.env.possible_agents) != 1:
            raise ScenarioError(
                f"devices.count: {self.env.scenario.id} has {len(self.env.possible_agents)} agents, a Gymnasium "
                'environment has one: use pettingzoo.make("parallel", id), or set devices.count to 1 and '
                "providers.act to false"
            )
        self.agent = self.env.possible_agents[0]
        self.render_mode = render_mode
        self.observation_space = self.env.observation_space(self.agent)
        self.action_space = self.env.action_space(self.agent)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        observations, infos = self.env.reset(seed=seed, options=options)
        return observations[self.agent], infos[self.agent]

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Play one slot."""
        observations, rewards, terminated, truncated, infos = self.env.step({self.agent: action})
        agent = self.agent
        return observations[agent], rewards[agent], terminated[agent], truncated[agent], infos[agent]

    def render(self) -> str | np.ndarray | None:  # type: ignore[override]
        """As `EdgeEnv.render`."""
        return self.env.render()
