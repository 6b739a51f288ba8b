"""Independent PPO: a policy for each agent, nothing shared.

rllib train file configs/train/ippo.py --env edge_experts/text-v1 --seed 0
"""

from edge_experts.configs.train.common import stop
from edge_experts.configs.train.ppo import config

__all__ = ["config", "policies", "stop"]

policies = "independent"
