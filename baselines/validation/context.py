"""What the checks of `validate` play, and how they say what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..evaluation.env_steps import Step, masked_choice, play_steps

LOOK_AHEAD = 25  # steps in which an action must have moved something
LONGEST = 20_000  # steps of an episode that is looked at; a longer one has no end


class Fault(Exception):  # noqa: N818 - a finding, not an error of ours
    """Something that is wrong; the message says what, and what to do."""


class EnvUnderTest:
    """What the checks play.

    Attributes:
        create: Makes a fresh environment in the parallel form.
        seed: Of the episodes.
        env: One environment, to ask for spaces.
    """

    create: Callable[[], Any]
    env: Any
    seed: int

    def __init__(self, create: Callable[[], Any], seed: int) -> None:
        self.create, self.seed, self.env = create, seed, create()

    @cached_property
    def episode(self) -> list[Step]:
        """A whole episode of random legal actions, or its beginning if it has no end."""
        env = self.create()
        return [frozen(step) for step in play_steps(env, self.seed, masked_choice(env, rng_of(self.seed)), LONGEST)]


def rng_of(seed: int) -> np.random.Generator:
    """The generator of the random actions of a check."""
    return np.random.default_rng([seed, 77])


def frozen(step: Step) -> Step:
    """A copy that later steps do not change."""
    return copy.deepcopy(step)


def kinds_of(subject: EnvUnderTest) -> dict[str, list[str]]:
    """The agents of each kind of spaces, by a label."""
    found: dict[str, list[str]] = {}
    for agent in subject.episode[0].agents:
        label = f"{subject.env.observation_space(agent)}{subject.env.action_space(agent)}"
        found.setdefault(label, []).append(agent)
    return found
