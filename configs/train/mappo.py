"""MAPPO: PPO whose values come from one central critic that sees the whole world, in training only.

rllib train file configs/train/mappo.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.860 [0.854, 0.865], 303,104 steps, seeds 0, 1, 2, 3, 4
"""

from typing import Any

from edge_experts.agents import MAPPOConfig
from edge_experts.configs.train.common import DEFAULT_ENV, ppo, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment; the critic's tokens are of half the policies' width, as it reads all agents."""
    return ppo(MAPPOConfig(), env).training(critic_hidden=(16, 64))
