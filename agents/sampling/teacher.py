"""Imitation first: a planner says what it would do in the states that the learner comes to.

Labels on the learner's own states as in Ross, Gordon and Bagnell, "A reduction of imitation learning and structured
prediction to no-regret online learning", AISTATS 2011. The planner may see more than the learner, who then learns the
mean of what it would do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import World
from edge_experts.envs.api.policy import Policy
from edge_experts.envs.api.spaces import role_spaces
from edge_experts.envs.io.import_string import is_reference, load_object

Array = NDArray[Any]
PLANNERS = "edge_experts.baselines.heuristics.policies:make_policy"  # of names; loaded only where one is asked for
LABEL = "label"
IMITATED, VALUED = 1 / 3, 1 / 24  # shares of a run
RATE = 0.5  # of what the learning rate is otherwise, after imitation


class Phases(NamedTuple):
    """When a run imitates, when it then learns values alone: environment steps at which each ends."""

    imitated: int = 0
    valued: int = 0


def phases_of(steps: float) -> Phases:
    """Those of a run of so many environment steps."""
    return Phases(round(IMITATED * steps), round((IMITATED + VALUED) * steps))


def slowed(schedule: Any, phases: Phases) -> Any:
    """A learning rate, a number or points (step, rate), that stays until imitation ends and then goes on at `RATE`."""
    if not isinstance(schedule, list):
        return [[0, schedule], [phases.imitated, schedule], [phases.imitated + 1, RATE * schedule]]
    begin = schedule[0][1]
    rest = [[at, RATE * rate] for at, rate in schedule[1:] if at > phases.imitated + 1]
    return [[0, begin], [phases.imitated, begin], [phases.imitated + 1, RATE * begin], *rest]


def teacher_of(name: str, world: World) -> Policy:
    """The planner of a name, or of a reference to what makes one from a world.

    Raises:
        ValueError, LoadError: if there is none.
    """
    made: Policy = load_object(name)(world) if is_reference(name) else load_object(PLANNERS)(name, world, 0)
    return made


class Teacher:
    """Labels the states of worlds.

    Args:
        name: As `teacher_of` takes it.
        world: The worlds that are sampled.
    """

    def __init__(self, name: str, world: World) -> None:
        self._world, self._planner = world, teacher_of(name, world)

    def labels(self) -> dict[str, Array]:
        """What it would play now, as agents play it: by role (B, n, parts), without the last axis if there is one."""
        users, providers = self._planner.act(self._world)
        chosen = {"user": users, "provider": providers}
        return {
            role: np.array(role_spaces(role, self._world.sizes).from_world(self._or_default(role, chosen[role])))
            for role in chosen
            if self._world.scenario.acts(role)
        }

    def _or_default(self, role: str, actions: Array | None) -> Array:
        return self._world.default_actions(role) if actions is None else actions
