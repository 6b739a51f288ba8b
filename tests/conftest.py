from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest


def pytest_configure() -> None:
    """One thread for each test and what it starts: their networks are small, and every core has a test of its own."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1234)


@pytest.fixture(scope="session")
def end_of_ray() -> Iterator[None]:
    """Whatever Ray the tests have left is shut down after the last of them."""
    yield
    import ray

    ray.shutdown()


@pytest.fixture
def ray_here(end_of_ray: None) -> Any:
    """A Ray of four processors, which all tests of this process share; started by the first that needs it."""
    import ray

    if not ray.is_initialized():
        ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    return ray


@pytest.fixture
def no_ray() -> Iterator[None]:
    """No Ray in this process: the test brings one of its own, or must not start any."""
    import ray

    ray.shutdown()
    yield
    ray.shutdown()
