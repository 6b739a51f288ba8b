"""Independent PPO: a policy for each agent, nothing shared.

rllib train file configs/train/ippo.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.854 [0.847, 0.861], 303,104 steps, seeds 0, 1, 2, 3, 4
"""

from edge_experts.configs.train.common import stop
from edge_experts.configs.train.ppo import config

__all__ = ["config", "policies", "stop"]

policies = "independent"
