"""Generalist: one PPO policy for each role, trained on all markets at once; `--env` may name some of them.

rllib train file configs/train/generalist.py --env all --seed 0
"""

from typing import Any

from edge_experts.agents import MaskedPPOConfig
from edge_experts.agents.market_names import ALL
from edge_experts.configs.train import common

__all__ = ["config", "stop"]


def config(env: str = ALL) -> Any:
    """The preset on several markets."""
    return common.ppo(MaskedPPOConfig(), env)


def stop(env: str = ALL) -> dict[str, float]:
    """When a run ends."""
    return common.stop(env)
