"""APPO: PPO's clipped loss on V-trace advantages, with asynchronous learning and exact masks.

rllib train file configs/train/appo.py --env edge_experts/text-v1 --seed 0
"""

from typing import Any

from edge_experts.agents import MaskedAPPOConfig
from edge_experts.configs.train.common import DEFAULT_ENV, asynchronous, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return asynchronous(MaskedAPPOConfig(), env)
