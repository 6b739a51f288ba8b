"""The checks of `edge-experts validate`: of the interface here, of the behaviour in `behaviour_checks`."""

from __future__ import annotations

import contextlib
import io
import pickle
import time
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from ..evaluation.env_steps import masked_choice, play_steps, same
from .behaviour import (
    check_actions_matter,
    check_aliasing,
    check_determinism,
    check_globals,
    check_masks,
    check_observations_vary,
    check_rewards_vary,
    check_seeds,
)
from .context import LONGEST, EnvUnderTest, Fault, frozen, rng_of

FIRST = ("agents", "reset", "episode")  # what is wrong here leaves nothing for the other checks
TERMS = ("payment", "revenue")


def check_agents(subject: EnvUnderTest) -> str:
    """Agents have names, and spaces that stay the same objects."""
    agents = list(subject.env.possible_agents)
    if not agents or len(set(agents)) != len(agents):
        raise Fault(f"possible_agents is {agents[:5]}: list every agent once")
    for agent in agents:
        for kind in ("observation_space", "action_space"):
            first, second = getattr(subject.env, kind)(agent), getattr(subject.env, kind)(agent)
            if not isinstance(first, gymnasium.Space):
                raise Fault(f"{kind}({agent!r}) is a {type(first).__name__}: return a gymnasium.Space")
            if first is not second:
                raise Fault(f"{kind}({agent!r}) is a new object at each call: keep it, or seeding it has no effect")
    return f"{len(agents)} agents"


def check_reset(subject: EnvUnderTest) -> str:
    """A reset seats known agents and shows each its observation."""
    first = next(play_steps(subject.create(), subject.seed, lambda observations, agents: {}))
    if not first.agents:
        raise Fault("after reset() nobody is in `agents`: set it there")
    strangers = set(first.agents) - set(subject.env.possible_agents)
    if strangers:
        raise Fault(f"after reset() `agents` holds {sorted(strangers)}, which possible_agents does not list")
    for name, given in (("observations", first.observations), ("infos", first.infos)):
        missing = [agent for agent in first.agents if agent not in given]
        if missing:
            raise Fault(f"reset() returns no {name} for {missing[:3]}: every agent in `agents` needs one")
    return f"{len(first.agents)} agents begin"


def check_episode(subject: EnvUnderTest) -> str:
    """An episode of random legal actions can be played."""
    try:
        return f"{len(subject.episode) - 1} steps"
    except Exception as error:  # whatever the environment raises
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise Fault(f"an episode of random legal actions fails: {text}") from None


def check_observations(subject: EnvUnderTest) -> str:
    """Every observation lies in its space and is finite."""
    spaces = {agent: subject.env.observation_space(agent) for agent in subject.env.possible_agents}
    for t, step in enumerate(subject.episode):
        for agent, seen in step.observations.items():
            for leaf in _leaves(seen):
                if np.asarray(leaf).dtype.kind == "f" and not np.isfinite(leaf).all():
                    raise Fault(f"step {t}: the observation of {agent!r} is not finite: look for a division by zero")
            if not spaces[agent].contains(seen):
                raise Fault(f"step {t}: the observation of {agent!r} is not in its space: {_why(spaces[agent], seen)}")
    return f"{len(subject.episode)} steps"


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [value] if isinstance(value, np.ndarray | float | np.floating) else []


def _why(space: gymnasium.Space[Any], seen: Any, name: str = "") -> str:
    if isinstance(space, gymnasium.spaces.Dict) and isinstance(seen, dict):
        for key, inner in space.spaces.items():
            if key not in seen:
                return f"key {key!r} is missing"
            if not inner.contains(seen[key]):
                return _why(inner, seen[key], f"{key}: ")
        return f"it has the keys {list(seen)}, the space {list(space.spaces)}"
    if isinstance(space, gymnasium.spaces.Box) and isinstance(seen, np.ndarray):
        if seen.shape != space.shape:
            return f"{name}shape {seen.shape}, the space says {space.shape}"
        if seen.dtype != space.dtype:
            return f"{name}dtype {seen.dtype}, the space says {space.dtype}"
        wrong = np.flatnonzero((seen < space.low) | (seen > space.high))
        i = np.unravel_index(wrong[0], seen.shape)
        return f"{name}entry {tuple(map(int, i))} is {seen[i]:g}, the bounds are {space.low[i]:g} and {space.high[i]:g}"
    return f"{name}{type(seen).__name__} in {space}"


def check_results(subject: EnvUnderTest) -> str:
    """Every step answers everybody who acted, with numbers as rewards."""
    for t, step in enumerate(subject.episode[1:], 1):
        for name in ("observations", "rewards", "terminations", "truncations", "infos"):
            missing = [agent for agent in step.actions if agent not in getattr(step, name)]
            if missing:
                what = "also an agent whose episode ends gets its last one" if name == "observations" else "answer all"
                raise Fault(f"step {t}: {name} lack {missing[:3]}, who acted: {what}")
        for agent, reward in step.rewards.items():
            if not isinstance(reward, int | float | np.number) or not np.isfinite(float(reward)):
                raise Fault(f"step {t}: the reward of {agent!r} is {reward!r}: it must be a finite number")
    return "observations, rewards, ends and infos for all"


def check_leaving(subject: EnvUnderTest) -> str:
    """Who is terminated or truncated leaves, and does not come back."""
    gone: set[str] = set()
    for t, step in enumerate(subject.episode[1:], 1):
        ended = {a for a in step.terminations if step.terminations[a] or step.truncations.get(a, False)}
        stayed = ended & set(step.agents)
        if stayed:
            raise Fault(f"step {t}: {sorted(stayed)[:3]} ended but stay in `agents`: remove them")
        back = gone & set(step.agents)
        if back:
            raise Fault(
                f"step {t}: {sorted(back)[:3]} had ended and are in `agents` again: use new names, or do not end them"
            )
        vanished = set(step.actions) - set(step.agents) - ended
        if vanished:
            raise Fault(
                f"step {t}: {sorted(vanished)[:3]} left `agents` without being terminated or truncated: set one of them"
            )
        gone |= ended
    return f"{len(gone)} left"


def check_end(subject: EnvUnderTest) -> str:
    """Episodes end, and a time limit truncates."""
    if subject.episode[-1].agents:
        raise Fault(
            f"no end after {len(subject.episode) - 1} steps of random actions: add a time limit, and truncate there"
        )
    lengths = []
    for seed in range(3):
        env = subject.create()
        steps = list(play_steps(env, subject.seed + seed + 1, masked_choice(env, rng_of(seed)), LONGEST))
        terminated = all(steps[-1].terminations.get(agent, False) for agent in steps[-1].actions)
        lengths.append((len(steps) - 1, terminated))
    if len(set(lengths)) == 1 and lengths[0][1] and lengths[0][0] >= 10 and lengths[0][0] == len(subject.episode) - 1:
        raise Fault(
            f"every episode ends after exactly {lengths[0][0]} steps by termination: a time limit should set "
            "truncations, or learners take the value of the last state as 0"
        )
    return f"{len(subject.episode) - 1} steps"


def check_terms(subject: EnvUnderTest) -> str:
    """Where infos name payments and revenues, they sum to zero over the world."""
    named = {term for step in subject.episode for info in step.infos.values() for term in TERMS if term in info}
    if len(named) < len(TERMS):
        return "infos do not name both payments and revenues"
    for t, step in enumerate(subject.episode[1:], 1):
        paid = [float(info[term]) for info in step.infos.values() for term in TERMS if term in info]
        total, scale = sum(paid), sum(map(abs, paid))
        if abs(total) > 1e-6 * max(1.0, scale):
            raise Fault(f"step {t}: payments and revenues sum to {total:g}: what one pays another must get")
    return "payments and revenues"


def check_pickle(subject: EnvUnderTest) -> str:
    """A copy goes on as the original does: needed to send environments to other processes."""
    env = subject.create()
    list(play_steps(env, subject.seed, masked_choice(env, rng_of(1)), 3))
    try:
        twin = pickle.loads(pickle.dumps(env))
    except Exception as error:
        raise Warning(f"cannot be pickled ({type(error).__name__}: {error}): drop handles in __getstate__") from None
    if env.agents:
        last = [frozen(s) for s in play_steps(env, subject.seed, masked_choice(env, rng_of(1)), 3)][-1].observations
        actions = masked_choice(env, rng_of(2))(last, list(env.agents))
        list(play_steps(twin, subject.seed, masked_choice(twin, rng_of(1)), 3))
        if not same(list(env.step(actions)), list(twin.step(actions))):
            raise Fault("a pickled copy goes on differently: keep all state in attributes")
    return "a copy goes on alike"


def check_api(subject: EnvUnderTest) -> str:
    """PettingZoo's own test of the interface (Gymnasium's, where there is one agent)."""
    env = subject.create()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            if hasattr(env, "env") and isinstance(env.env, gymnasium.Env):
                from gymnasium.utils.env_checker import check_env

                check_env(env.env.unwrapped, skip_render_check=True)
                return "gymnasium check_env"
            from pettingzoo.test import parallel_api_test

            parallel_api_test(env, num_cycles=50)
        except AssertionError as error:
            hint = "; take edge_experts.envs.MaskedMultiDiscrete for flat masks" if "mask" in str(error) else ""
            text = " ".join(str(error).split())[:200]
            raise Fault(f"the API test of the library fails: {text}{hint}") from None
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise Fault(f"the API test of the library fails: {type(error).__name__}: {text}") from None
    return "pettingzoo parallel_api_test"


def check_render(subject: EnvUnderTest) -> str:
    """Every render mode that the metadata lists gives what it must (windows are not opened)."""
    modes = [mode for mode in subject.env.metadata.get("render_modes", []) if mode in ("rgb_array", "ansi")]
    mode = getattr(subject.env, "render_mode", None)
    if mode not in modes:
        return f"modes {', '.join(modes)}" if modes else "no modes"
    env = subject.create()
    env.reset(seed=subject.seed)
    shown = env.render()
    if mode == "rgb_array" and not (isinstance(shown, np.ndarray) and shown.ndim == 3 and shown.dtype == np.uint8):
        raise Fault("render() in rgb_array mode must return a (height, width, 3) uint8 array")
    if mode == "ansi" and not isinstance(shown, str):
        raise Fault("render() in ansi mode must return a text")
    return str(mode)


def check_speed(subject: EnvUnderTest) -> str:
    """How fast it is."""
    env, steps = subject.create(), 0
    choose = masked_choice(env, rng_of(3))
    started = time.perf_counter()
    while time.perf_counter() - started < 0.5:
        for _ in play_steps(env, subject.seed + steps, choose, 200):
            steps += 1
    return f"{steps / (time.perf_counter() - started):,.0f} steps a second with random actions"


CHECKS: dict[str, Callable[[EnvUnderTest], str]] = {
    "agents": check_agents,
    "reset": check_reset,
    "episode": check_episode,
    "observations": check_observations,
    "results": check_results,
    "leaving": check_leaving,
    "end": check_end,
    "determinism": check_determinism,
    "seeds": check_seeds,
    "global randomness": check_globals,
    "aliasing": check_aliasing,
    "masks": check_masks,
    "actions matter": check_actions_matter,
    "observations vary": check_observations_vary,
    "rewards vary": check_rewards_vary,
    "conservation": check_terms,
    "copies": check_pickle,
    "library API": check_api,
    "rendering": check_render,
    "speed": check_speed,
}
