"""Any environment as RLlib takes it, named by an id or a path to a class."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from edge_experts.envs import FlatEnv, ScenarioError
from edge_experts.envs.io.suggestions import did_you_mean
from edge_experts.envs.registry import Source, find

MARKET_OPTIONS = ("overrides", "render_mode")


class PettingZooEnv(MultiAgentEnv):  # type: ignore[misc]
    """A PettingZoo parallel environment as an RLlib `MultiAgentEnv`.

    Agents may come and go; one that was cut off gets its last observation and reward.

    Args:
        env: The environment.
        flatten: Show observations as one vector, and take multi-part actions as a single choice, for algorithms whose
            networks know nothing else. A masked choice then means what the environment makes of it.
    """

    possible_agents: list[Any]
    agents: list[Any]

    def __init__(self, env: Any, flatten: bool = False) -> None:
        super().__init__()
        self.env = env
        self.possible_agents = list(env.possible_agents)
        self.agents = list(env.possible_agents)
        self._flatten = flatten
        seen = {agent: env.observation_space(agent) for agent in self.possible_agents}
        played = {agent: env.action_space(agent) for agent in self.possible_agents}
        self._seen, self._played = seen, played
        self.observation_spaces: dict[Any, Any] = (
            {a: gymnasium.spaces.flatten_space(s) for a, s in seen.items()} if flatten else seen
        )
        self.action_spaces: dict[Any, Any] = {a: _single_choice(s) for a, s in played.items()} if flatten else played
        self.render_mode: Any = getattr(env, "render_mode", None)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode."""
        observations, infos = self.env.reset(seed=seed, options=options)
        self.agents = list(self.env.agents)
        return self._shown(observations), infos

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        """Play one step."""
        chosen = {agent: self._chosen(agent, action) for agent, action in actions.items()}
        observations, rewards, terminated, truncated, infos = self.env.step(chosen)
        self.agents = list(self.env.agents)
        ended = not self.agents
        everybody = {"__all__": ended and all(terminated.values())}
        cut = {"__all__": ended and not everybody["__all__"]}
        return self._shown(observations), rewards, {**terminated, **everybody}, {**truncated, **cut}, infos

    def render(self) -> Any:
        """As the environment renders."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _shown(self, observations: dict[str, Any]) -> dict[str, Any]:
        if not self._flatten:
            return observations
        return {agent: gymnasium.spaces.flatten(self._seen[agent], seen) for agent, seen in observations.items()}

    def _chosen(self, agent: str, action: Any) -> Any:
        space = self._played[agent]
        if not self._flatten or not isinstance(space, gymnasium.spaces.MultiDiscrete):
            return action
        return np.array(np.unravel_index(int(action), space.nvec))


def _single_choice(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return gymnasium.spaces.Discrete(int(space.nvec.prod()))
    return space


def find_env(name: str) -> Callable[[Any], Any]:
    """The creator of an environment, called with RLlib's env config.

    Args:
        name: As `edge_experts.envs.registry.find` takes it: an id, a scenario file, or `module:Class` or
            `file.py:Class` of a PettingZoo parallel or a Gymnasium environment.

    Raises:
        EnvError: if there is no such environment, with the nearest name.
    """
    source = find(name)
    if source.market is not None:
        return functools.partial(_create_market, source)
    return functools.partial(_create_other, source)


def _create_market(source: Source, config: Any) -> Any:
    options = dict(config)
    flatten = options.pop("flatten", False)
    for key in options:
        if key not in MARKET_OPTIONS:
            keys = (*MARKET_OPTIONS, "flatten")
            hint = did_you_mean(key, keys, f"the keys are {', '.join(keys)}")
            raise ScenarioError(f"env_config.{key}: unknown key; {hint}")
    if flatten and source.market is not None:
        return PettingZooEnv(FlatEnv(source.market, actions="box" if flatten == "box" else "discrete", **options))
    return PettingZooEnv(source.make(**options))


def _create_other(source: Source, config: Any) -> Any:
    options = dict(config)
    flatten = bool(options.pop("flatten", False))
    made = source.make(**options)
    return PettingZooEnv(made, flatten) if hasattr(made, "possible_agents") else made
