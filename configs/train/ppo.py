"""PPO with exact masks, one policy for each role.

rllib train file configs/train/ppo.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.954 [0.945, 0.964], 303,104 steps, seeds 0, 1, 2, 3, 4
    text-v1: 0.696 [0.667, 0.726], 303,104 steps, seeds 0, 1, 2, 3, 4
    mixed-v1: 0.734 [0.704, 0.764], 200,704 steps, seeds 0, 1, 2, 3, 4
"""

from typing import Any

from edge_experts.agents import MaskedPPOConfig
from edge_experts.configs.train.common import DEFAULT_ENV, ppo, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return ppo(MaskedPPOConfig(), env)
