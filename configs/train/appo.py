"""APPO: PPO's clipped loss on V-trace advantages, with asynchronous learning and exact masks.

rllib train file configs/train/appo.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.891 [0.866, 0.916], 303,104 steps, seeds 0, 1, 2
    text-v1: 0.612 [0.583, 0.641], 303,104 steps, seeds 0, 1, 2
    mixed-v1: 0.521 [0.479, 0.564], 200,704 steps, seeds 0, 1, 2
"""

from typing import Any

from edge_experts.agents import MaskedAPPOConfig
from edge_experts.configs.train.common import DEFAULT_ENV, asynchronous, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return asynchronous(MaskedAPPOConfig(), env)
