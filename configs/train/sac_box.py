"""SAC on a box: the actor gives every choice a number, and the highest legal ones are played.

rllib train file configs/train/sac_box.py --env edge_experts/text-v1 --seed 0
"""

from typing import Any

from edge_experts.agents import MaskedSACConfig
from edge_experts.configs.train.common import DEFAULT_ENV, budget, soft, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    steps = budget(env)
    return soft(MaskedSACConfig(), env).training(
        actor="box",
        actor_lr=[[0, 5e-4], [steps, 5e-5]],
        alpha_lr=3e-3,
        initial_alpha=0.001,
        tau=0.02,
        training_intensity=1.0,
    )
