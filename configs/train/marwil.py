"""MARWIL: imitation of `coordinated` that weighs what it imitates by how well it turned out.

rllib train file configs/train/marwil.py --env edge_experts/text-v1 --seed 0
"""

from typing import Any

from edge_experts.agents import MaskedMARWILConfig
from edge_experts.configs.train.common import DEFAULT_ENV, from_demonstrations, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return from_demonstrations(MaskedMARWILConfig(), env).training(beta=1.0)
