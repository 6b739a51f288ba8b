"""MARWIL: imitation of `coordinated` that weighs what it imitates by how well it turned out.

rllib train file configs/train/marwil.py --env edge_experts/text-v0 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 clairvoyant):
    netmoe-v0: 0.643 [0.624, 0.663], 307,200 steps, seeds 0, 1
    text-v0: 0.729 [0.660, 0.797], 307,200 steps, seeds 0, 1
    mixed-v0: 0.721 [0.510, 0.932], 204,800 steps, seeds 0, 1
"""

from typing import Any

from edge_experts.agents.imitation import MaskedMARWILConfig
from edge_experts.configs.train.common import DEFAULT_ENV, from_demonstrations, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return from_demonstrations(MaskedMARWILConfig(), env).training(beta=1.0)
