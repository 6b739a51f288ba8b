"""MoE-PPO: PPO whose policy and value share four branches, of which a router picks two for each input.

rllib train file configs/train/moe_ppo.py --env edge_experts/text-v0 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 clairvoyant):
    netmoe-v0: 0.965 [nan, nan], 303,104 steps, seeds 0
    text-v0: 0.681 [nan, nan], 303,104 steps, seeds 0
    mixed-v0: 0.706 [nan, nan], 200,704 steps, seeds 0
"""

from typing import Any

from edge_experts.agents.moe_ppo import MoEPPOConfig
from edge_experts.configs.train.common import DEFAULT_ENV, ppo, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return ppo(MoEPPOConfig(), env)
