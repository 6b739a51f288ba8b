"""SAC over joint choices: exact expectations over the legal ones, two critics.

rllib train file configs/train/sac.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.853 [0.812, 0.893], 301,568 steps, seeds 0, 1, 2
    text-v1: 0.537 [0.488, 0.586], 300,032 steps, seeds 0, 1, 2
    mixed-v1: 0.555 [0.406, 0.703], 200,192 steps, seeds 0, 1, 2
"""

from typing import Any

from edge_experts.agents import MaskedSACConfig
from edge_experts.configs.train.common import DEFAULT_ENV, soft, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return soft(MaskedSACConfig(), env)
