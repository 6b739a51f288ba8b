"""Recurrent PPO: a gated recurrent unit of 64 behind the trunk, over the 32 slots of a rollout.

rllib train file configs/train/recurrent_ppo.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.964 [0.955, 0.973], 303,104 steps, seeds 0, 1, 2
    text-v1: 0.663 [0.658, 0.668], 303,104 steps, seeds 0, 1, 2
    mixed-v1: 0.700 [0.682, 0.718], 200,704 steps, seeds 0, 1, 2
"""

from typing import Any

from edge_experts.configs.train import ppo
from edge_experts.configs.train.common import DEFAULT_ENV, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return ppo.config(env).training(memory=64)
