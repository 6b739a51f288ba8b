"""TorchRL: a whole market as a multi-agent environment, one group of agents a role, and a small network that plays it.

Shows `PettingZooWrapper` with masks. Where users come and go (`devices.churn`), `FlatEnv(..., fixed_population=True)`.
Needs the extra `clients`.

    python examples/torchrl_rollout.py --slots 100
"""

import argparse

import torch
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.envs.libs.pettingzoo import PettingZooWrapper

from edge_experts.envs import FlatEnv


def chooser(group: str, size: int, choices: int) -> TensorDictSequential:
    """Logits from one linear layer, then a draw among the legal choices."""

    def draw(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.distributions.Categorical(logits=logits.masked_fill(~mask, -1e9)).sample()

    network = torch.nn.Linear(size, choices)
    return TensorDictSequential(
        TensorDictModule(network, in_keys=[(group, "observation")], out_keys=[(group, "logits")]),
        TensorDictModule(draw, in_keys=[(group, "logits"), (group, "action_mask")], out_keys=[(group, "action")]),
    )


def main() -> None:
    """Play a rollout and print what each role earned."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=20)
    arguments = parser.parse_args()
    market = FlatEnv("edge_experts/text-v1", actions="discrete")
    env = PettingZooWrapper(market, use_mask=True, categorical_actions=True, seed=1)
    players = []
    for group, agents in env.group_map.items():
        size = market.observation_space(agents[0]).shape[0]
        players.append(chooser(group, size, int(market.action_space(agents[0]).n)))
    rollout = env.rollout(arguments.slots, TensorDictSequential(*players))
    for group in env.group_map:
        rewards = rollout["next", group, "reward"]
        print(f"{group}s: {rewards.sum() / rewards.shape[1]:.1f} credits each in {len(rollout)} slots")


if __name__ == "__main__":
    main()
