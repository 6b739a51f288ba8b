"""Environments that are not markets of ours: evaluate, describe and play them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from edge_experts.envs.io.import_string import is_reference, load_object
from edge_experts.envs.registry import EnvError, Source
from edge_experts.envs.seeds import generic_test_seed

from ..markdown import table
from .env_steps import as_parallel, masked_choice, play_steps
from .metrics import mean_interval

Choose = Callable[[dict[str, Any], list[str]], dict[str, Any]]


def evaluate_generic(source: Source, policies: list[str], episodes: int, seed: int) -> list[dict[str, Any]]:
    """Mean return of all agents together, and of each, under policies of an environment that has no bound.

    Args:
        source: Where the environment comes from.
        policies: `random`, a name of the environment's own `policies`, or `module:function` (called with observations
            and agents, returns actions).
        episodes: Number of episodes.
        seed: Of the episodes.

    Raises:
        ValueError: for a policy that is not known.
    """
    return [_evaluate(source, name, episodes, seed) for name in policies]


def _evaluate(source: Source, name: str, episodes: int, seed: int) -> dict[str, Any]:
    env = as_parallel(source.make())
    choose = find_choice(name, env, seed)
    totals, lengths, by_agent = [], [], dict.fromkeys(env.possible_agents, 0.0)
    for episode in range(episodes):
        total = steps = 0.0
        for step in play_steps(env, generic_test_seed(seed, episode), choose):
            steps += bool(step.actions)
            for agent, reward in step.rewards.items():
                total += float(reward)
                by_agent[agent] = by_agent.get(agent, 0.0) + float(reward) / episodes
        totals.append(total)
        lengths.append(steps)
    interval = mean_interval(totals)
    return {
        "policy": name,
        "env": source.name,
        "episodes": episodes,
        "seed": seed,
        "return": {"mean": interval.mean, "low": interval.low, "high": interval.high}
        if episodes > 1
        else {"mean": interval.mean, "low": None, "high": None},
        "by_agent": by_agent,
        "steps": float(np.mean(lengths)),
    }


def find_choice(name: str, env: Any, seed: int) -> Choose:
    """How a policy of a name chooses actions in an environment of any kind.

    Raises:
        ValueError: if there is no such policy.
    """
    if name == "random":
        return masked_choice(env, np.random.default_rng(seed))
    own = getattr(env, "policies", {})
    if name in own:
        made: Choose = load_object(own[name])(env)
        return made
    if is_reference(name):
        function: Choose = load_object(name)
        return function
    raise ValueError(
        f"policy: '{name}' plays markets only; here take {', '.join(['random', *own])}, or module:function "
        "or file.py:function called with (observations, agents); a checkpoint is played by `rllib evaluate`"
    )


def results_table(results: list[dict[str, Any]]) -> str:
    """One row a policy."""
    rows = []
    for result in results:
        mean, low, high = (result["return"][key] for key in ("mean", "low", "high"))
        interval = "-" if low is None else f"{low:.3f} to {high:.3f}"
        rows.append([result["policy"], f"{mean:.3f}", interval, f"{result['steps']:.1f}"])
    return table(["policy", "mean return", "95 % interval", "steps an episode"], rows, is_padded=True)


def describe_generic(source: Source) -> str:
    """The page of an environment of any kind: its documentation, agents and spaces."""
    made = source.make()
    env = as_parallel(made)
    kinds: dict[str, list[str]] = {}
    spaces: dict[str, tuple[gymnasium.Space[Any], gymnasium.Space[Any]]] = {}
    for agent in env.possible_agents:
        pair = (env.observation_space(agent), env.action_space(agent))
        kinds.setdefault(str(pair), []).append(agent)
        spaces[str(pair)] = pair
    lines = [f"# {source.name}", "", " ".join((type(made).__doc__ or "It has no documentation.").split()), ""]
    rows = []
    for label, agents in kinds.items():
        named = agents[0] if len(agents) == 1 else f"{agents[0]} to {agents[-1]} ({len(agents)})"
        seen, played = (" ".join(str(space).split()) for space in spaces[label])
        rows.append([named, seen, played])
    return "\n".join([*lines, table(["agents", "observation", "action"], rows)])


def film_generic(source: Source, policy: str, seed: int, steps: int | None) -> list[NDArray[np.uint8]]:
    """Play one episode and draw it after every step: pictures (height, width, 3).

    Raises:
        ValueError: if the environment does not render pictures.
    """
    modes = source.make().metadata.get("render_modes", [])
    try:
        env = as_parallel(source.make(render_mode="rgb_array"))
    except EnvError:
        env = None
    if env is None or getattr(env, "render_mode", None) != "rgb_array":
        raise ValueError(
            f"--save: {source.name} does not render as rgb_array (its render_modes are {list(modes)}); without --save "
            "its steps are shown as text"
        )
    choose, frames = find_choice(policy, env, seed), []
    for _ in play_steps(env, seed, choose, steps or 10**9):
        try:
            frames.append(np.asarray(env.render(), np.uint8)[..., :3])
        except Exception as error:  # whatever the environment raises, as where what it draws with is not installed
            raise ValueError(f"--save: {source.name} cannot be drawn: {type(error).__name__}: {error}") from None
    env.close()
    return frames


def play_generic(source: Source, policy: str, seed: int, steps: int | None, show: Callable[[str], None]) -> None:
    """Play one episode and show every step as text: rewards, or what the environment renders."""
    env = as_parallel(source.make())
    choose = find_choice(policy, env, seed)
    for t, step in enumerate(play_steps(env, seed, choose, steps or 10**9)):
        rewards = ", ".join(f"{agent} {float(reward):+.3f}" for agent, reward in step.rewards.items())
        drawn = env.render() if getattr(env, "render_mode", None) == "ansi" else ""
        show(f"step {t}: {rewards or 'reset'}" + (f"\n{drawn}" if drawn else ""))
