"""MARWIL: imitation of `coordinated` that weighs what it imitates by how well it turned out.

rllib train file configs/train/marwil.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.646 [0.634, 0.658], 307,200 steps, seeds 0, 1, 2
    text-v1: 0.726 [0.709, 0.743], 307,200 steps, seeds 0, 1, 2
    mixed-v1: 0.718 [0.675, 0.761], 204,800 steps, seeds 0, 1, 2
"""

from typing import Any

from edge_experts.agents import MaskedMARWILConfig
from edge_experts.configs.train.common import DEFAULT_ENV, from_demonstrations, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return from_demonstrations(MaskedMARWILConfig(), env).training(beta=1.0)
