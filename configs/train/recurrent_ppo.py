"""Recurrent PPO: a gated recurrent unit of 64 behind the trunk, over the 32 slots of a rollout.

rllib train file configs/train/recurrent_ppo.py --env edge_experts/text-v1 --seed 0
"""

from typing import Any

from edge_experts.configs.train import ppo
from edge_experts.configs.train.common import DEFAULT_ENV, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return ppo.config(env).training(memory=64)
