"""SAC over joint choices: exact expectations over the legal ones, two critics.

rllib train file configs/train/sac.py --env edge_experts/text-v1 --seed 0
"""

from typing import Any

from edge_experts.agents import MaskedSACConfig
from edge_experts.configs.train.common import DEFAULT_ENV, read_market, soft, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return read_market(soft(MaskedSACConfig(), env), env)
