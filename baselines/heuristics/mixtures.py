"""What requests are worth if everything is known and nobody else asks: by one expert, and by the best mixture."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from edge_experts.envs import World
from edge_experts.envs.physics.jit import bind, entry, jit
from edge_experts.envs.sim.kernel.rules import compose
from edge_experts.envs.sim.state import Floats, Ints, Params, Parts

from .expected_worth import fill
from .plan_policy import scratch_of


class Worth(NamedTuple):
    """Recorded quality of N requests.

    Attributes:
        kind: (N,) kind of each request.
        single: (N, X) by one expert alone; -1 where it cannot serve the request.
        mixture: (N,) by the best choice of an expert for each part, or of k experts.
    """

    kind: Ints
    single: Floats
    mixture: Floats


def worth_of_requests(world: World) -> Worth:
    """The requests that all users hold, in worlds that have just begun."""
    held = world.state.users.open
    prompts = np.ascontiguousarray(world.state.parts.prompt[held])
    kinds = np.ascontiguousarray(world.state.users.kind[held])
    single, mixture = np.full((len(kinds), world.sizes.X), -1.0), np.zeros(len(kinds))
    arguments = (kinds, prompts, world.constants, world.params, scratch_of(world).trial, single, mixture)
    bind(measure, *arguments)(*arguments)
    return Worth(kinds, single, mixture)


@entry
def measure(kinds: Ints, prompts: Ints, c: Any, f: Params, trial: Parts, single: Floats, mixture: Floats) -> None:
    """Compose every request from each expert alone and from every choice of experts."""
    for n in range(len(kinds)):
        k, K = kinds[n], f.kinds[kinds[n]].subtasks
        for e in range(c.X):
            if f.serves[k, e]:
                for i in range(K):
                    answer(trial, i, e, prompts[n, i], f)
                # an expert that may not be asked twice answers once
                single[n, e] = compose(k, trial, 1 if c.distinct or c.parallel else K, f)
                mixture[n] = max(mixture[n], single[n, e])
        for code in range(c.X**K):
            if write_choice(trial, code, k, K, prompts[n], c, f):
                mixture[n] = max(mixture[n], compose(k, trial, K, f))


@jit
def write_choice(trial: Parts, code: int, k: int, K: int, prompts: Ints, c: Any, f: Params) -> bool:
    """Write the choice of experts that a number stands for; returns whether it is allowed."""
    for i in range(K):
        e = code % c.X
        code //= c.X
        if not f.serves[k, e]:
            return False
        if c.distinct or c.parallel:
            for j in range(i):
                if trial.expert[j] == e:
                    return False
        answer(trial, i, e, prompts[i], f)
    return True


@jit
def answer(trial: Parts, i: int, e: int, prompt: int, f: Params) -> None:
    """Write an expert's recorded answer as part i; a gate that knows everything says its quality."""
    score = f.scores[prompt, e]
    fill(trial, i, e, score.quality, score.units, score.quality, f.aspects[prompt, e])
