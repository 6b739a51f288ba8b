"""D2SAC: SAC whose actor is a diffusion model that denoises preferences in five steps.

rllib train file configs/train/d2sac.py --env edge_experts/text-v1 --seed 0
"""

from typing import Any

from edge_experts.agents import D2SACConfig
from edge_experts.configs.train.common import DEFAULT_ENV, soft, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return soft(D2SACConfig(), env)
