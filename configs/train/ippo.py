"""Independent PPO: a policy for each agent, nothing shared."""

from edge_experts.configs.train.common import stop
from edge_experts.configs.train.ppo import config

__all__ = ["config", "policies", "stop"]

policies = "independent"
