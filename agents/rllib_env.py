"""Any environment as RLlib takes it, named by an id or a path to a class."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from edge_experts.envs import EdgeEnv, ScenarioError, shipped_ids


class EnvError(ValueError):
    """An environment cannot be found. Names it and the nearest one that can."""


class PettingZooEnv(MultiAgentEnv):  # type: ignore[misc]
    """A PettingZoo parallel environment as an RLlib `MultiAgentEnv`.

    Agents may come and go; one that was cut off gets its last observation and reward.

    Args:
        env: The environment.
        flatten: Show observations as one vector, and take multi-part actions as a single choice, for algorithms whose
            networks know nothing else. A masked choice then means what the environment makes of it.
    """

    def __init__(self, env: Any, flatten: bool = False) -> None:
        super().__init__()
        self.env = env
        self.possible_agents = list(env.possible_agents)
        self.agents = list(env.possible_agents)
        self._flatten = flatten
        seen = {agent: env.observation_space(agent) for agent in self.possible_agents}
        played = {agent: env.action_space(agent) for agent in self.possible_agents}
        self._seen, self._played = seen, played
        self.observation_spaces = {a: gymnasium.spaces.flatten_space(s) for a, s in seen.items()} if flatten else seen
        self.action_spaces = {a: _single_choice(s) for a, s in played.items()} if flatten else played
        self.render_mode = getattr(env, "render_mode", None)

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


def is_ours(name: str) -> bool:
    """Whether a name is a shipped id or a scenario file, which the batched runner can sample."""
    return str(name) in shipped_ids() or str(name).endswith((".yaml", ".yml"))


def find_env(name: str) -> Callable[[Any], Any]:
    """The creator of an environment, called with RLlib's env config.

    Args:
        name: A shipped id, a scenario file, a Gymnasium id, or a PettingZoo parallel environment as `module:Class` or
            `file.py:Class`.

    Raises:
        EnvError: if there is no such environment, with the nearest name.
    """
    if is_ours(name):
        return functools.partial(_create_ours, name)
    if name in gymnasium.registry:
        return functools.partial(_create_gymnasium, name)
    if ":" in name:
        load_class(name)  # fails here and now rather than in a worker
        return functools.partial(_create_class, name)
    known = [*shipped_ids(), *gymnasium.registry]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else "give an id, a scenario .yaml, module:Class or file.py:Class"
    raise EnvError(f"env: '{name}' is not known; {hint}")


def load_class(name: str) -> Any:
    """The class or function behind `module:Class` or `file.py:Class`.

    Raises:
        EnvError: if the module or the class cannot be found.
    """
    place, _, attribute = name.rpartition(":")
    try:
        module = _load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except ImportError as error:
        raise EnvError(f"env: '{name}': module '{place}' cannot be imported: {error}") from None
    try:
        return getattr(module, attribute)
    except AttributeError:
        near = get_close_matches(attribute, dir(module), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise EnvError(f"env: '{place}' has no '{attribute}'{hint}") from None


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise EnvError(f"env: there is no file '{path}'")
    name = f"edge_experts_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that its classes can be pickled
    spec.loader.exec_module(module)
    return module


def _create_ours(name: str, config: Any) -> Any:
    options = dict(config)
    flatten = bool(options.pop("flatten", False))
    render_mode = options.pop("render_mode", None)
    scenario = options.pop("scenario", None)
    if options:
        near = get_close_matches(next(iter(options)), ("scenario", "flatten", "render_mode"), n=1)
        hint = f"did you mean '{near[0]}'?" if near else "the keys are scenario, flatten, render_mode"
        raise ScenarioError(f"env_config.{next(iter(options))}: unknown key; {hint}")
    return PettingZooEnv(EdgeEnv(name, scenario, render_mode=render_mode), flatten)


def _create_gymnasium(name: str, config: Any) -> Any:
    return gymnasium.make(name, **dict(config))


def _create_class(name: str, config: Any) -> Any:
    options = dict(config)
    flatten = bool(options.pop("flatten", False))
    made = load_class(name)(**options)
    return PettingZooEnv(made, flatten) if hasattr(made, "possible_agents") else made
