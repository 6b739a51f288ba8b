"""PPO with exact masks, one policy for each role.

rllib train file configs/train/ppo.py --env edge_experts/text-v1 --seed 0

Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):
    netmoe-v1: 0.855 [0.846, 0.863], 303,104 steps, seeds 0, 1, 2
    networked-v1: 0.852 [0.844, 0.861], 303,104 steps, seeds 0, 1, 2
    specialists-v1: 0.949 [0.948, 0.949], 303,104 steps, seeds 0, 1, 2
    video-v1: 0.890 [0.880, 0.899], 303,104 steps, seeds 0, 1, 2
    compact-v1: 0.861 [0.854, 0.868], 303,104 steps, seeds 0, 1, 2
    object3d-v1: 0.864 [0.841, 0.886], 303,104 steps, seeds 0, 1, 2
    text-v1: 0.773 [0.766, 0.779], 303,104 steps, seeds 0, 1, 2
    mixed-v1: 0.784 [0.688, 0.880], 200,704 steps, seeds 0, 1, 2
    vehicles-v1: 0.882 [0.865, 0.900], 303,104 steps, seeds 0, 1, 2
"""

from typing import Any

from edge_experts.agents import MaskedPPOConfig
from edge_experts.configs.train.common import DEFAULT_ENV, ppo, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return ppo(MaskedPPOConfig(), env)
