"""SAC over joint choices: exact expectations over the legal ones, two critics.

rllib train file configs/train/sac.py --env edge_experts/text-v0 --seed 0
"""

from typing import Any

from edge_experts.agents.sac import MaskedSACConfig
from edge_experts.configs.train.common import DEFAULT_ENV, from_replay, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return from_replay(MaskedSACConfig(), env).training(
        actor_lr=5e-4, critic_lr=5e-4, alpha_lr=3e-3, initial_alpha=0.02, entropy_share=0.05
    )
