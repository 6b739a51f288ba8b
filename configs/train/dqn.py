"""DQN over joint choices: double, duelling, prioritised; illegal choices are neither played nor bootstrapped.

rllib train file configs/train/dqn.py --env edge_experts/text-v1 --seed 0
"""

from typing import Any

from edge_experts.agents import MaskedDQNConfig
from edge_experts.configs.train.common import DEFAULT_ENV, budget, from_replay, read_market, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    steps = budget(env)
    return read_market(from_replay(MaskedDQNConfig(), env), env).training(
        lr=[[0, 1e-3], [steps * 2 // 3, 3e-5]],
        tau=0.01,
        double_q=True,
        dueling=True,
        epsilon=[[0, 1.0], [steps // 5, 0.05], [steps, 0.01]],
    )
