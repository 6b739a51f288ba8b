from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edge_experts.envs import World
from edge_experts.envs.sim.state import arrays


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1234)


def rollout_digest(world: World, slots: int, rng: np.random.Generator, row: int) -> str:
    """SHA-256 of every byte of one world's state and views over a rollout of random legal actions."""
    sha = hashlib.sha256()
    world.reset()
    for _ in range(slots):
        world.step(*world.sample_actions(rng))
        for array in (*arrays(world.state), *world.views):
            sha.update(array[row].tobytes())
    return sha.hexdigest()


@pytest.fixture
def ray_here() -> Iterator[Any]:
    """A Ray of four processors that belongs to one test."""
    import ray

    ray.shutdown()
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()
