"""Play any PettingZoo parallel or Gymnasium environment step by step and keep what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

Actions = dict[str, Any]


class SingleAgent:
    """A Gymnasium environment as a parallel one whose only agent is called `agent`."""

    possible_agents: list[str]
    agents: list[str]

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self.env = env
        self.possible_agents, self.agents = ["agent"], ["agent"]
        self.metadata: dict[str, Any] = env.metadata
        self.render_mode: Any = env.render_mode

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The environment's own."""
        return self.env.observation_space

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The environment's own."""
        return self.env.action_space

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self.agents = ["agent"]
        return {"agent": observation}, {"agent": info}

    def step(self, actions: Actions) -> tuple[Any, Any, Any, Any, Any]:
        """Play one step."""
        results = self.env.step(actions["agent"])
        if results[2] or results[3]:
            self.agents = []
        return tuple({"agent": value} for value in results)  # type: ignore[return-value]

    def render(self) -> Any:
        """As the environment renders."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


def as_parallel(env: Any) -> Any:
    """Any environment in the parallel form.

    Raises:
        ValueError: if it is neither a PettingZoo parallel nor a Gymnasium environment.
    """
    if hasattr(env, "possible_agents") and not hasattr(env, "agent_iter"):
        return env
    if hasattr(env, "possible_agents"):
        from pettingzoo.utils.conversions import aec_to_parallel

        return aec_to_parallel(env)
    if isinstance(env, gymnasium.Env):
        return SingleAgent(env)
    raise ValueError(
        f"env: a {type(env).__name__} is neither a PettingZoo parallel environment (it has no possible_agents) nor a "
        "gymnasium.Env"
    )


@dataclass
class Step:
    """What a step returned, and the actions that led to it (none for a reset)."""

    actions: Actions
    observations: dict[str, Any]
    rewards: dict[str, float]
    terminations: dict[str, bool]
    truncations: dict[str, bool]
    infos: dict[str, Any]
    agents: list[str]


def play_steps(
    env: Any, seed: int | None, choose: Callable[[dict[str, Any], list[str]], Actions], steps: int = 10**9
) -> Iterator[Step]:
    """Play one episode: first what `reset` gives, then every step, until nobody is left or `steps` are played."""
    observations, infos = env.reset(seed=seed)
    yield Step({}, observations, {}, {}, {}, infos, list(env.agents))
    for _ in range(steps):
        if not env.agents:
            return
        actions = choose(observations, list(env.agents))
        observations, rewards, terminations, truncations, infos = env.step(actions)
        yield Step(actions, observations, rewards, terminations, truncations, infos, list(env.agents))


def masked_choice(env: Any, rng: np.random.Generator) -> Callable[[dict[str, Any], list[str]], Actions]:
    """Uniformly random legal actions, from a generator of our own."""

    def choose(observations: dict[str, Any], agents: list[str]) -> Actions:
        return {a: sample(env.action_space(a), mask_of(observations.get(a)), rng) for a in agents}

    return choose


def mask_of(observation: Any) -> Any:
    """The action mask that an observation carries, if any."""
    return observation.get("action_mask") if isinstance(observation, Mapping) else None


def parts_of(space: gymnasium.Space[Any]) -> list[int]:
    """Numbers of choices of a discrete action's parts; empty for another space."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return [int(n) for n in space.nvec.ravel()]
    return []


def sample(space: gymnasium.Space[Any], mask: Any, rng: np.random.Generator) -> Any:
    """A random action, legal where a mask of the space's size says what is."""
    counts = parts_of(space)
    if not counts:
        space.seed(int(rng.integers(2**31)))
        return space.sample()
    flat = np.asarray(mask).ravel() if mask is not None else np.ones(sum(counts))
    if len(flat) != sum(counts):
        flat = np.ones(sum(counts))
    picks = []
    for part in np.split(flat, np.cumsum(counts)[:-1]):
        legal = np.flatnonzero(part)
        picks.append(int(rng.choice(legal)) if len(legal) else int(rng.integers(len(part))))
    return as_action(space, picks)


def as_action(space: gymnasium.Space[Any], picks: list[int]) -> Any:
    """The action of a discrete space that these picks of its parts make."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.int64(picks[0] + int(space.start))
    return np.array(picks, dtype=space.dtype).reshape(space.shape) + getattr(space, "start", 0)  # type: ignore[arg-type]


def same(a: Any, b: Any) -> bool:
    """Whether two results are equal to the last bit, whatever they are made of."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        x, y = np.asarray(a), np.asarray(b)
        return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()
    if isinstance(a, float | np.floating) and isinstance(b, float | np.floating) and a != a:
        return bool(b != b)
    return bool(a == b)
