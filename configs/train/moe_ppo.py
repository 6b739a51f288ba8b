"""MoE-PPO: PPO whose policy and value share four branches, of which a router picks two for each input.

rllib train file configs/train/moe_ppo.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.851 [0.844, 0.858], 303,104 steps, seeds 0, 1, 2, 3, 4
    specialists-v1: 0.949, 303,104 steps, seeds 0
    video-v1: 0.881, 303,104 steps, seeds 0
    text-v1: 0.772, 303,104 steps, seeds 0
"""

from typing import Any

from edge_experts.agents import MoEPPOConfig
from edge_experts.configs.train.common import DEFAULT_ENV, ppo, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return ppo(MoEPPOConfig(), env)
