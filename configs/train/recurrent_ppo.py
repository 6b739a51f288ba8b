"""Recurrent PPO: a gated recurrent unit of 64 behind the trunk, over the 32 slots of a rollout.

rllib train file configs/train/recurrent_ppo.py --env edge_experts/text-v0 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 clairvoyant):
    netmoe-v0: 0.963 [0.925, 1.001], 303,104 steps, seeds 0, 1
    text-v0: 0.662 [0.640, 0.684], 303,104 steps, seeds 0, 1
    mixed-v0: 0.704 [0.699, 0.709], 200,704 steps, seeds 0, 1
"""

from typing import Any

from edge_experts.configs.train import ppo
from edge_experts.configs.train.common import DEFAULT_ENV, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return ppo.config(env).training(memory=64)
