"""The control of MoE-PPO: the same but for one plain network with as many weights in place of the mixture.

rllib train file configs/train/dense_ppo.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.857 [0.854, 0.859], 303,104 steps, seeds 0, 1, 2, 3, 4
    text-v1: 0.775, 303,104 steps, seeds 0
"""

from typing import Any

from edge_experts.configs.train import moe_ppo
from edge_experts.configs.train.common import DEFAULT_ENV, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return moe_ppo.config(env).training(control="weights")
