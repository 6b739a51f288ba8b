"""PPO with exact masks, one policy for each role.

rllib train file configs/train/ppo.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.854 [0.847, 0.861], 303,104 steps, seeds 0, 1, 2, 3, 4
    networked-v1: 0.853 [0.845, 0.861], 303,104 steps, seeds 0, 1, 2, 3, 4
    specialists-v1: 0.949 [0.948, 0.949], 303,104 steps, seeds 0, 1, 2, 3, 4
    video-v1: 0.890 [0.886, 0.894], 303,104 steps, seeds 0, 1, 2, 3, 4
    compact-v1: 0.861 [0.856, 0.866], 303,104 steps, seeds 0, 1, 2, 3, 4
    object3d-v1: 0.864 [0.856, 0.872], 303,104 steps, seeds 0, 1, 2, 3, 4
    text-v1: 0.772 [0.766, 0.778], 303,104 steps, seeds 0, 1, 2, 3, 4
    mixed-v1: 0.773 [0.727, 0.819], 200,704 steps, seeds 0, 1, 2, 3, 4
    vehicles-v1: 0.882 [0.876, 0.888], 303,104 steps, seeds 0, 1, 2, 3, 4
"""

from typing import Any

from edge_experts.agents import MaskedPPOConfig
from edge_experts.configs.train.common import DEFAULT_ENV, ppo, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return ppo(MaskedPPOConfig(), env)
