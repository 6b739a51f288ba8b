"""Policies that compute a plan for every slot with a compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import World
from edge_experts.envs.api.policy import Actions
from edge_experts.envs.physics.jit import bind
from edge_experts.envs.sim.state import Parts

from .plan_kernels import Scratch

Ints = NDArray[np.int64]


class Planner:
    """Computes a plan for every world with a compiled function; providers keep their defaults."""

    def __init__(self, plan: Callable[..., None], *options: Any) -> None:
        self._plan, self._options = plan, options
        self._bound: Callable[..., None] | None = None

    def act(self, world: World) -> Actions:
        """Plan every slot afresh."""
        plans = np.empty((world.n_worlds, world.sizes.U, world.sizes.J), np.int64)
        arguments = (world.state, world.constants, world.params, plans, scratch_of(world), *self._options)
        if self._bound is None:
            self._bound = bind(self._plan, *arguments)
        self._bound(*arguments)
        return place(world, plans), None


def scratch_of(world: World) -> Scratch:
    """Fresh scratch for the plans of a world."""
    sizes, parts = world.sizes, max(2, int(world.constants.subtasks) + 1)
    trial = Parts(
        prompt=np.zeros(parts, np.int64),
        expert=np.zeros(parts, np.int64),
        quality=np.zeros(parts),
        work=np.zeros(parts),
        gate=np.zeros(parts),
        aspects=np.zeros((parts, world.params.aspects.shape[-1])),
    )
    return Scratch(np.empty(sizes.E), np.empty(sizes.P), trial)


def place(world: World, experts: Ints) -> Ints:
    """Actions of users that ask these experts at full power: (B, U, J + 1) from (B, U, J), or from (B, U) for one."""
    asked = (
        experts
        if experts.ndim == 3
        else np.stack([experts, *[np.full_like(experts, world.sizes.X)] * (world.sizes.J - 1)], -1)
    )
    power = np.where((asked < world.sizes.X).any(axis=-1, keepdims=True), world.sizes.H - 1, 0)
    return np.concatenate([asked, power], axis=-1)


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
