"""D2SAC: SAC whose actor is a diffusion model that denoises preferences in five steps.

rllib train file configs/train/d2sac.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.837 [0.790, 0.885], 300,544 steps, seeds 0, 1, 2
    text-v1: 0.432 [0.030, 0.834], 300,032 steps, seeds 0, 1, 2
    mixed-v1: 0.615 [0.570, 0.659], 200,192 steps, seeds 0, 1, 2
"""

from typing import Any

from edge_experts.agents import D2SACConfig
from edge_experts.configs.train.common import DEFAULT_ENV, soft, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return soft(D2SACConfig(), env)
