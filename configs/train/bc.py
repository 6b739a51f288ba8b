"""Behaviour cloning from demonstrations of `coordinated`.

rllib train file configs/train/bc.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.640 [0.593, 0.687], 307,200 steps, seeds 0, 1, 2
    text-v1: 0.729 [0.716, 0.742], 307,200 steps, seeds 0, 1, 2
    mixed-v1: 0.720 [0.690, 0.750], 204,800 steps, seeds 0, 1, 2
"""

from typing import Any

from edge_experts.agents import MaskedBCConfig
from edge_experts.configs.train.common import DEFAULT_ENV, from_demonstrations, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return from_demonstrations(MaskedBCConfig(), env)
