"""What agents learn from, where it is not simply what the environment pays them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import Scenario, World

Array = NDArray[Any]
CREDITS = ("auto", "reward", "difference")


class DifferenceCredit:
    """Pays users for what they are worth to all: their own outcome, and what their choice changed in all others'.

    A difference reward (Wolpert and Tumer, "Optimal payoff functions for members of collectives", 2001): what a user
    gains by raising it, it gains for everybody, without the noise of all that the others did. Settling the slot again,
    with the user waiting, gives it exactly for the slot; what it leaves to later slots counts as far as it reaches the
    user itself. What providers decide holds from the next slot on: they get the mean of all.

    Args:
        world: The worlds that are sampled, before each slot.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._changed = np.zeros((world.n_worlds, world.sizes.U))

    def watch(self, actions: dict[str, Array]) -> None:
        """Weigh what is about to be played."""
        self._changed = self._world.externalities(actions["user"], actions["provider"])

    def paid(self) -> dict[str, Array]:
        """What the agents of each role learn from, for the slot just played: (B, n), credits."""
        own = self._world.outcomes("user") + self._changed
        return {"user": own, "provider": self._world.records("provider").reward}


class RewardCredit:
    """Pays agents what the environment pays them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def watch(self, actions: dict[str, Array]) -> None:
        """Nothing is to be weighed."""

    def paid(self) -> dict[str, Array]:
        """Rewards of the slot just played, by role: (B, n)."""
        return {role: self._world.records(role).reward for role in ("user", "provider")}


def credit_of(name: str, world: World) -> DifferenceCredit | RewardCredit:
    """The credit of that name, one of `CREDITS`, on the worlds that are sampled."""
    return DifferenceCredit(world) if resolved(name, world.scenario) == "difference" else RewardCredit(world)


def resolved(name: str, scenario: Scenario | None) -> str:
    """What `auto` stands for: `difference` where several agents are all paid the mean, else `reward`."""
    if name != "auto":
        return name
    return "difference" if scenario is not None and scenario.acting > 1 and scenario.rewards.team == 1.0 else "reward"


def check_credit(name: str, scenario: Scenario | None) -> None:
    """See that agents can be credited so.

    Raises:
        ValueError: if `difference` is asked for where agents do not work for all, or nothing is known of the game.
    """
    if name != "difference":
        return
    if scenario is None:
        raise ValueError("credit: 'difference' is known of the markets of this package only: take 'auto' or 'reward'")
    if scenario.acting > 1 and scenario.rewards.team < 1.0:
        raise ValueError(
            f"credit: 'difference' works for the good of all, but rewards.team is {scenario.rewards.team:g}: "
            "train with --reward team, or take 'auto' or 'reward'"
        )
