"""IMPALA: an actor-critic with V-trace, with asynchronous learning and exact masks.

rllib train file configs/train/impala.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.829 [0.771, 0.887], 303,104 steps, seeds 0, 1, 2
    text-v1: 0.624 [0.569, 0.679], 303,104 steps, seeds 0, 1, 2
    mixed-v1: 0.462 [0.300, 0.625], 200,704 steps, seeds 0, 1, 2
"""

from typing import Any

from edge_experts.agents import MaskedIMPALAConfig
from edge_experts.configs.train.common import DEFAULT_ENV, asynchronous, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return asynchronous(MaskedIMPALAConfig(), env)
