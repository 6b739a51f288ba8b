"""PPO with exact masks, one policy for each role."""

from typing import Any

from edge_experts.agents.ppo import MaskedPPOConfig
from edge_experts.configs.train.common import DEFAULT_ENV, ppo, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return ppo(MaskedPPOConfig(), env)
