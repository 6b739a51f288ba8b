"""Independent PPO: a policy for each agent, nothing shared.

rllib train file configs/train/ippo.py --env edge_experts/text-v0 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 clairvoyant):
    netmoe-v0: 0.959 [0.947, 0.972], 303,104 steps, seeds 0, 1
    text-v0: 0.649 [0.622, 0.676], 303,104 steps, seeds 0, 1
    mixed-v0: 0.692 [0.615, 0.768], 200,704 steps, seeds 0, 1
"""

from edge_experts.configs.train.common import stop
from edge_experts.configs.train.ppo import config

__all__ = ["config", "policies", "stop"]

policies = "independent"
