"""PPO of one's own on `AgentBatch`: all users of many text markets as rows of flat arrays, with exact action masks.

Shows that a training loop needs no framework: observations are shared with torch, a masked choice has probability zero,
and an action's two parts (expert and transmit power) are drawn side by side. Needs the extra `rllib` (for torch).

    python examples/own_ppo.py --iterations 40
"""

import argparse

import torch
from torch import nn

from edge_experts.envs import AgentBatch

SLOTS, EPOCHS, GAMMA, LAMBDA, CLIP, ENTROPY = 50, 4, 0.95, 0.9, 0.2, 0.01


class Network(nn.Module):
    """Logits of all choices and a value, from one observation."""

    def __init__(self, size: int, parts: tuple[int, ...]) -> None:
        super().__init__()
        self.parts = parts
        self.trunk = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.logits, self.value = nn.Linear(64, sum(parts)), nn.Linear(64, 1)

    def forward(
        self, seen: torch.Tensor, masks: torch.Tensor
    ) -> tuple[list[torch.distributions.Categorical], torch.Tensor]:
        """A distribution for each part of the action, illegal choices left out, and the value."""
        hidden = self.trunk(seen)
        logits = self.logits(hidden).masked_fill(masks == 0, -1e9)
        parts = [torch.distributions.Categorical(logits=part) for part in logits.split(self.parts, -1)]
        return parts, self.value(hidden).squeeze(-1)


def log_prob(parts: list[torch.distributions.Categorical], actions: torch.Tensor) -> torch.Tensor:
    """Of actions with one column a part."""
    return sum(part.log_prob(actions[..., i]) for i, part in enumerate(parts))


def main() -> None:
    """Train, and print the mean reward of a user and slot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="edge_experts/text-v1")
    parser.add_argument("--worlds", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=4)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    # everybody is paid the mean of all, so that it pays not to herd
    batch = AgentBatch(arguments.env, arguments.worlds, "user", overrides={"rewards.team": 1.0})
    batch.reset(seed=1)
    network = Network(batch.observations.shape[1], tuple(int(n) for n in batch.single_action_space.nvec))
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for iteration in range(arguments.iterations):
        rows = [collect(batch, network) for _ in range(SLOTS)]
        with torch.no_grad():
            last = network(torch.from_numpy(batch.observations), torch.from_numpy(batch.action_masks))[1]
        seen, masks, actions, old, values, rewards, ended, here = (
            torch.stack(column) for column in zip(*rows, strict=True)
        )
        gains, gain, follows = torch.zeros_like(rewards), torch.zeros_like(last), last
        for t in reversed(range(SLOTS)):  # generalised advantages; nothing follows an episode's last slot
            goes_on = 1.0 - ended[t]
            gain = rewards[t] + GAMMA * follows * goes_on - values[t] + GAMMA * LAMBDA * goes_on * gain
            gains[t], follows = gain, values[t]
        targets, advantages = gains + values, (gains - gains[here].mean()) / (gains[here].std() + 1e-6)
        present = [x[here] for x in (seen, masks, actions, old, targets, advantages)]
        for _ in range(EPOCHS):
            for chosen in torch.randperm(int(here.sum())).chunk(8):
                saw, legal, played, before, target, advantage = (x[chosen] for x in present)
                parts, value = network(saw, legal)
                ratio = (log_prob(parts, played) - before).exp()
                gained = torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage).mean()
                entropy = torch.stack([part.entropy() for part in parts]).sum(0).mean()
                loss = -gained + 0.5 * (value - target).square().mean() - ENTROPY * entropy
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        print(f"iteration {iteration}: {rewards[here].mean():.3f} credits a user and slot")


def collect(batch: AgentBatch, network: Network) -> tuple[torch.Tensor, ...]:
    """Play one slot of all worlds; what was seen is copied, as the arrays are filled anew by the step."""
    seen, masks = torch.from_numpy(batch.observations).clone(), torch.from_numpy(batch.action_masks).clone()
    here = torch.from_numpy(batch.masks).clone()
    with torch.no_grad():
        parts, values = network(seen, masks)
        actions = torch.stack([part.sample() for part in parts], -1)
    batch.step(actions.numpy())
    ended = torch.from_numpy(batch.terminals | batch.truncations).float()
    return seen, masks, actions, log_prob(parts, actions), values, torch.from_numpy(batch.rewards).clone(), ended, here


if __name__ == "__main__":
    main()
