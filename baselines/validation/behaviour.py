"""Checks of behaviour: determinism, seeds, shared buffers, masks, and that everything has an effect."""

from __future__ import annotations

import copy
import pickle
import random
from typing import Any

import gymnasium
import numpy as np

from ..evaluation.env_steps import as_action, mask_of, masked_choice, parts_of, play_steps, same
from .context import LOOK_AHEAD, EnvUnderTest, Fault, frozen, kinds_of, rng_of

MOMENTS = 20  # steps of the episode at which another action is tried
ENOUGH = 600  # steps in which every entry of an observation should have changed


def check_determinism(subject: EnvUnderTest) -> str:
    """The same seed gives the same whole episode, in a fresh environment and in a used one."""
    fresh = subject.create()
    for name, env in (("a fresh environment", fresh), ("an environment that was played before", fresh)):
        again = play_steps(env, subject.seed, masked_choice(env, rng_of(subject.seed)), len(subject.episode) - 1)
        for t, (first, second) in enumerate(zip(subject.episode, again, strict=False)):
            for part in ("observations", "rewards", "terminations", "truncations", "infos"):
                if not same(getattr(first, part), getattr(second, part)):
                    raise Fault(
                        f"step {t}: with the same seed and actions, {name} gives other {part}: draw all randomness "
                        "from one generator that reset(seed=...) sets, and reset all state"
                    )
    return f"{len(subject.episode)} steps twice"


def check_seeds(subject: EnvUnderTest) -> str:
    """Different seeds give different episodes."""
    lives = []
    for seed in range(4):
        env = subject.create()
        steps = play_steps(env, seed, masked_choice(env, rng_of(0)), LOOK_AHEAD)
        lives.append([(step.observations, step.rewards) for step in map(frozen, steps)])
    if all(same(life, lives[0]) for life in lives[1:]):
        raise Fault("seeds 0 to 3 give the same episode: use the seed that reset(seed=...) is given")
    return "4 seeds"


def check_globals(subject: EnvUnderTest) -> str:
    """No global random generator is touched."""
    np.random.seed(12345)
    random.seed(12345)
    before = pickle.dumps((np.random.get_state(), random.getstate()))
    env = subject.create()
    for _ in play_steps(env, subject.seed, masked_choice(env, rng_of(0)), LOOK_AHEAD):
        pass
    if pickle.dumps((np.random.get_state(), random.getstate())) != before:
        raise Fault("the global generator of numpy.random or random is used or seeded: keep a generator of your own")
    return "numpy.random and random"


def check_aliasing(subject: EnvUnderTest) -> str:
    """An observation that was handed out does not change later."""
    env = subject.create()
    kept: list[tuple[Any, Any]] = []
    for step in play_steps(env, subject.seed, masked_choice(env, rng_of(subject.seed)), LOOK_AHEAD):
        kept.append((step.observations, copy.deepcopy(step.observations)))
    for t, (given, original) in enumerate(kept):
        if not same(given, original):
            raise Fault(f"step {t}: observations that were returned changed afterwards: return copies of your buffers")
    return f"{len(kept)} steps"


def check_masks(subject: EnvUnderTest) -> str:
    """Masks fit the action space, and something is always legal."""
    seen = 0
    for t, step in enumerate(subject.episode):
        for agent in step.agents:
            mask, space = mask_of(step.observations.get(agent)), subject.env.action_space(agent)
            if mask is None:
                continue
            seen += 1
            counts, flat = parts_of(space), np.asarray(mask).ravel()
            if len(flat) != sum(counts):
                raise Fault(
                    f"step {t}: the action mask of {agent!r} has {len(flat)} entries, {space} needs {sum(counts)} (the "
                    "parts side by side)"
                )
            for i, part in enumerate(np.split(flat, np.cumsum(counts)[:-1])):
                if not part.any():
                    raise Fault(f"step {t}: nothing is legal in part {i} of {agent!r}'s action: always leave a choice")
    return f"{seen} masks" if seen else "no masks"


def check_actions_matter(subject: EnvUnderTest) -> str:
    """Every part of every action moves something: observations or rewards within some steps."""
    tried = 0
    for kind in kinds_of(subject).values():
        counts = parts_of(subject.env.action_space(kind[0]))
        for part in range(len(counts)):
            tried += 1
            if counts[part] > 1 and not any(_moves(subject, agent, part, counts) for agent in kind):
                raise Fault(
                    f"part {part} of {kind[0]!r}'s action ({counts[part]} choices) changes no observation and no "
                    f"reward within {LOOK_AHEAD} steps, or never has a second legal choice: give it an "
                    "effect or drop it"
                )
    return f"{tried} parts" if tried else "continuous actions are not tried"


def _moves(subject: EnvUnderTest, agent: str, part: int, counts: list[int]) -> bool:
    """Whether another choice of one part, all else equal, changes anything; tried at several moments."""
    for moment in range(min(len(subject.episode) - 1, MOMENTS)):
        before = subject.episode[moment]
        if agent not in before.agents:
            continue
        mask = mask_of(before.observations.get(agent))
        flat = np.asarray(mask).ravel() if mask is not None else np.ones(sum(counts))
        legal = [np.flatnonzero(p) for p in np.split(flat, np.cumsum(counts)[:-1])]
        if len(legal[part]) < 2:
            continue
        for others in (0, -1):  # what the other parts choose may make this one idle
            picks = [int(choices[others]) for choices in legal]
            lives = []
            for choice in (legal[part][0], legal[part][-1]):
                picks[part] = int(choice)
                lives.append(_life(subject, agent, moment, as_action(subject.env.action_space(agent), picks)))
            if not same(lives[0], lives[1]):
                return True
    return False


def _life(subject: EnvUnderTest, agent: str, moment: int, action: Any) -> list[Any]:
    """What follows when one action of the recorded episode is replaced; the rest stays, where it still fits."""
    env = subject.create()
    choose, later, played = masked_choice(env, rng_of(5)), [], 0

    def act(observations: dict[str, Any], agents: list[str]) -> dict[str, Any]:
        nonlocal played
        actions = choose(observations, agents) if played > moment else dict(subject.episode[played + 1].actions)
        if played == moment and agent in agents:
            actions[agent] = action
        played += 1
        return actions

    for t, step in enumerate(play_steps(env, subject.seed, act, moment + LOOK_AHEAD)):
        if t > moment:
            later.append(copy.deepcopy((step.observations, step.rewards)))
    return later


def check_observations_vary(subject: EnvUnderTest) -> str:
    """What is observed is not constant: every entry changes at some time, for some agent of its kind."""
    entries = 0
    episodes = [subject.episode]
    env, seed = subject.create(), 0
    while seed < 3 or sum(map(len, episodes)) < ENOUGH:
        seed += 1
        episodes.append([frozen(s) for s in play_steps(env, seed, masked_choice(env, rng_of(seed)), ENOUGH // 2)])
    for example, *_ in kinds_of(subject).values():
        space = subject.env.observation_space(example)
        rows = [
            gymnasium.spaces.flatten(space, seen)
            for steps in episodes
            for step in steps
            for agent, seen in step.observations.items()
            if subject.env.observation_space(agent) == space and space.contains(seen)
        ]
        if len(rows) < 2:
            continue
        values = np.stack([np.asarray(row) for row in rows])
        constant = np.flatnonzero((values == values[0]).all(axis=0))
        names = _entry_names(subject.env, example, values.shape[1])
        first = masked = 0
        for name, inner in space.spaces.items() if isinstance(space, gymnasium.spaces.Dict) else ():
            size = gymnasium.spaces.flatdim(inner)
            if name == "action_mask":  # a choice may well be legal at all times
                constant = constant[(constant < first) | (constant >= first + size)]
                masked = size
            first += size
        total = values.shape[1] - masked
        entries += total - len(constant)
        if len(constant) == total:
            raise Fault(f"the observation of {example!r} never changes: show it the state")
        if len(constant):
            shown = ", ".join(names[i] for i in constant[:8]) + (", ..." if len(constant) > 8 else "")
            raise Warning(
                f"{len(constant)} of {total} entries of {example!r}'s observation never changed ({shown}): if they "
                "cannot, drop them"
            )
    return f"{entries} entries"


def _entry_names(env: Any, agent: str, count: int) -> list[str]:
    """What the entries of a flattened observation are called, where an environment tells; else their numbers."""
    tell = getattr(env, "observation_names", None)
    if tell is None:
        return [f"entry {i}" for i in range(count)]
    names = tell(agent)
    space = env.observation_space(agent)
    before = 0
    for name, inner in space.spaces.items() if isinstance(space, gymnasium.spaces.Dict) else ():
        if name == "observation":
            break
        before += gymnasium.spaces.flatdim(inner)
    padded = [f"entry {i}" for i in range(before)] + list(names)
    return padded + [f"entry {i}" for i in range(len(padded), count)]


def check_rewards_vary(subject: EnvUnderTest) -> str:
    """Rewards are not all the same, unless staying in the game is what is paid."""
    values = {float(reward) for step in subject.episode for reward in step.rewards.values()}
    survived = any(step.terminations.get(agent) for step in subject.episode for agent in step.actions) and values != {
        0.0
    }
    if len(values) < 2 and len(subject.episode) > LOOK_AHEAD and not survived:
        raise Fault(f"every reward of the episode is {values.pop() if values else 'missing'}: nothing can be learned")
    return f"{len(values)} different values"
