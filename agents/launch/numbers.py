"""What RLlib's own settings must be, seen to before Ray starts: it takes some without a word, and then hangs."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..errors import SetupError

WHOLE: dict[str, int] = {
    "num_learners": 0,
    "minibatch_size": 1,
    "num_epochs": 1,
    "train_batch_size_per_learner": 1,
    "num_envs_per_env_runner": 1,
    "num_env_runners": 0,
    "evaluation_num_env_runners": 0,
}  # the least of each; batches are counted in learners, so these come first
REAL: dict[str, tuple[float, float]] = {
    "gamma": (0.0, 1.0),
    "lambda_": (0.0, 1.0),
    "tau": (0.0, 1.0),
    "clip_param": (0.0, math.inf),
    "vf_clip_param": (0.0, math.inf),
    "vf_loss_coeff": (0.0, math.inf),
    "grad_clip": (0.0, math.inf),
}  # least and greatest
SCHEDULED = ("lr", "actor_lr", "critic_lr", "alpha_lr", "entropy_coeff")  # a number, or a list of [steps, number]


GPUS = ("num_gpus_per_learner", "num_gpus_per_env_runner")


def check_numbers(config: Any, here: bool = True) -> None:
    """See that the numbers of a configuration are ones that an algorithm can learn with.

    Args:
        config: Of the run.
        here: On this machine, whose GPUs are counted.

    Raises:
        SetupError: naming the setting, its value and what it must be.
    """
    for name, low in WHOLE.items():
        value = _given(config, name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < low):
            raise SetupError(f"config.{name}: {value!r} must be a whole number of {low} or more")
    for name, (least, most) in REAL.items():
        value = _given(config, name)
        if value is not None and not (_is_number(value) and least <= value <= most):
            raise SetupError(f"config.{name}: {value!r} must be a number {_between(least, most)}")
    there = torch.cuda.device_count()
    for name in GPUS:
        value = _given(config, name)
        if value is not None and not (_is_number(value) and 0 <= value < math.inf):
            raise SetupError(f"config.{name}: {value!r} must be a number of 0 or more")
        if here and value and value > there:
            raise SetupError(f"config.{name}: {value!r} is more than the {there} GPUs of this machine: give 0")
    for name in SCHEDULED:
        value = _given(config, name)
        for part in _values(value):
            if not (_is_number(part) and math.isfinite(part) and part >= 0):
                raise SetupError(f"config.{name}: {value!r} must be 0 or more, or a list of [steps, value]")


def _given(config: Any, name: str) -> Any:
    """A setting of a configuration; `None` where it has none, or says `auto`."""
    value = getattr(config, name, None)
    return None if isinstance(value, str) and value == "auto" else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _between(least: float, most: float) -> str:
    return f"of {least:g} or more" if math.isinf(most) else f"between {least:g} and {most:g}"


def _values(value: Any) -> list[Any]:
    """The values of a schedule, or the one that there is."""
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        return [value]
    return [part[1] if isinstance(part, list | tuple) and len(part) == 2 else part for part in value]
