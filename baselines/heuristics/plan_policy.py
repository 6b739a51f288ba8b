"""Policies that compute a plan for every slot with a compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import World
from edge_experts.envs.api.policy import Actions
from edge_experts.envs.physics.jit import bind

from .plan_kernels import Scratch

Ints = NDArray[np.int64]


class Planner:
    """Computes a plan for every world with a compiled function; providers keep their defaults."""

    def __init__(self, plan: Callable[..., None], *options: Any) -> None:
        self._plan, self._options = plan, options
        self._bound: Callable[..., None] | None = None

    def act(self, world: World) -> Actions:
        """Plan every slot afresh."""
        plans = np.empty((world.n_worlds, world.sizes.U), np.int64)
        arguments = (world.state, world.constants, world.params, plans, scratch_of(world), *self._options)
        if self._bound is None:
            self._bound = bind(self._plan, *arguments)
        self._bound(*arguments)
        return place(world, plans), None


def scratch_of(world: World) -> Scratch:
    """Fresh scratch for the plans of a world."""
    sizes, parts = world.sizes, max(2, int(world.constants.subtasks) + 1)
    return Scratch(np.empty(sizes.E), np.empty(sizes.P), np.zeros(parts, np.int64))


def place(world: World, experts: Ints) -> Ints:
    """User actions that use these experts at full power: (B, U, 2) from (B, U)."""
    power = np.where(experts < world.sizes.X, world.sizes.H - 1, 0)
    return np.stack([experts, power], axis=-1)


def time_price(world: World) -> float:
    """What a second of an expert's time earns, credits: the mean value of a part over the mean time that it takes.

    Over the kinds of requests as often as they come, and over the hosted experts that can serve them, at nominal speed.
    """
    params, E = world.params, world.sizes.E
    seconds = params.priors.work[:, :E] * params.machines.seconds_per_unit[:E]
    value = time = 0.0
    for k, kind in enumerate(params.kinds):
        mine = np.unique(params.category[params.kind == k])
        value += kind.share * 0.5 * (kind.value_low + kind.value_high) / kind.subtasks
        time += kind.share * float(np.median(seconds[mine][:, params.serves[k, :E]]))
    return value / max(time, 1e-9)
