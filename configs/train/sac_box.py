"""SAC on a box: the actor gives every choice a number, and the highest legal ones are played.

rllib train file configs/train/sac_box.py --env edge_experts/text-v0 --seed 0
"""

from typing import Any

from edge_experts.configs.train import sac
from edge_experts.configs.train.common import DEFAULT_ENV, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return sac.config(env).training(actor="box", initial_alpha=0.001, training_intensity=1.0)
