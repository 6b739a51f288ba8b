"""Behaviour cloning from demonstrations of `coordinated`.

rllib train file configs/train/bc.py --env edge_experts/text-v0 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 clairvoyant):
    netmoe-v0: 0.638 [0.400, 0.876], 307,200 steps, seeds 0, 1
    text-v0: 0.732 [0.727, 0.737], 307,200 steps, seeds 0, 1
    mixed-v0: 0.721 [0.567, 0.874], 204,800 steps, seeds 0, 1
"""

from typing import Any

from edge_experts.agents.imitation import MaskedBCConfig
from edge_experts.configs.train.common import DEFAULT_ENV, from_demonstrations, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return from_demonstrations(MaskedBCConfig(), env)
