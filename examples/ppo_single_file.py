"""PPO in a single file, in CleanRL's manner, on `AgentBatch`: all users of many text markets as rows of flat arrays.

Shows that a training loop needs no framework: observations are shared with torch, a masked choice has probability zero,
an action's two parts (expert and transmit power) are drawn side by side, and policies learn where there is a choice.
Needs the extra `rllib` (for torch).

    python examples/ppo_single_file.py --iterations 100
"""

import argparse
import time
from dataclasses import dataclass

import torch
from torch import nn

from edge_experts.envs import AgentBatch


@dataclass
class Settings:
    """What one may turn."""

    env: str = "edge_experts/text-v1"
    worlds: int = 64
    slots: int = 50
    """Of a rollout."""
    iterations: int = 4
    epochs: int = 2
    minibatches: int = 4
    lr: float = 1e-3
    gamma: float = 0.95
    gae_lambda: float = 0.9
    clip: float = 0.2
    entropy: float = 0.01
    seed: int = 1


class Network(nn.Module):
    """Logits of all choices and a value, from one observation."""

    def __init__(self, size: int, parts: tuple[int, ...]) -> None:
        super().__init__()
        self.parts = parts
        self.trunk = nn.Sequential(nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.heads = nn.Linear(64, sum(parts) + 1)

    def forward(self, seen: torch.Tensor, masks: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Logarithms of the probabilities of each part's choices, illegal ones left out, and the value."""
        *logits, value = self.heads(self.trunk(seen)).split((*self.parts, 1), -1)
        legal = masks.split(self.parts, -1)
        logs = [part.masked_fill(may == 0, -1e9).log_softmax(-1) for part, may in zip(logits, legal, strict=True)]
        return logs, value.squeeze(-1)


def log_prob(logs: list[torch.Tensor], actions: torch.Tensor) -> torch.Tensor:
    """Of actions with one column a part."""
    return sum(part.gather(-1, actions[..., i, None]).squeeze(-1) for i, part in enumerate(logs))


def draw(logs: list[torch.Tensor]) -> torch.Tensor:
    """A choice of each part, by the Gumbel-max trick."""
    return torch.stack([(part - torch.empty_like(part).exponential_().log()).argmax(-1) for part in logs], -1)


def main() -> None:
    """Train; print the mean reward of a user and slot, and how many steps of an agent were learned from a second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in vars(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    settings = Settings(**vars(parser.parse_args()))
    torch.manual_seed(settings.seed)
    # everybody is paid the mean of all, so that it pays not to herd
    batch = AgentBatch(settings.env, settings.worlds, "user", overrides={"rewards.team": 1.0})
    batch.reset(seed=settings.seed)
    network = Network(batch.observations.shape[1], tuple(int(n) for n in batch.single_action_space.nvec))
    optimiser = torch.optim.Adam(network.parameters(), settings.lr)
    began = time.perf_counter()
    for iteration in range(settings.iterations):
        rows = [collect(batch, network) for _ in range(settings.slots)]
        with torch.no_grad():
            last = network(torch.from_numpy(batch.observations), torch.from_numpy(batch.action_masks))[1]
        seen, masks, actions, old, values, rewards, ended, here = (torch.stack(x) for x in zip(*rows, strict=True))
        gains, gain, follows = torch.zeros_like(rewards), torch.zeros_like(last), last
        for t in reversed(range(settings.slots)):  # generalised advantages; nothing follows an episode's last slot
            goes_on = settings.gamma * (1.0 - ended[t])
            gain = rewards[t] + follows * goes_on - values[t] + settings.gae_lambda * goes_on * gain
            gains[t], follows = gain, values[t]
        chosen_from = here & (masks.sum(-1) > len(network.parts))
        kept = [x[chosen_from] for x in (seen, masks, actions, old, gains + values, gains)]
        for _ in range(settings.epochs):
            for picks in torch.randperm(len(kept[0])).chunk(settings.minibatches):
                learn(network, optimiser, settings, *(x[picks] for x in kept))
        speed = (iteration + 1) * settings.slots * batch.num_agents / (time.perf_counter() - began)
        print(f"iteration {iteration}: {rewards[here].mean():.3f} credits a user and slot, {speed:,.0f} steps a second")


def collect(batch: AgentBatch, network: Network) -> tuple[torch.Tensor, ...]:
    """Play one slot of all worlds; what was seen is copied, as the arrays are filled anew by the step."""
    seen, masks = torch.from_numpy(batch.observations).clone(), torch.from_numpy(batch.action_masks).clone()
    here = torch.from_numpy(batch.masks).clone()
    with torch.no_grad():
        logs, values = network(seen, masks)
        actions = draw(logs)
    batch.step(actions.numpy())
    ended = torch.from_numpy(batch.terminals | batch.truncations).float()
    return seen, masks, actions, log_prob(logs, actions), values, torch.from_numpy(batch.rewards).clone(), ended, here


def learn(network: Network, optimiser: torch.optim.Optimizer, settings: Settings, *rows: torch.Tensor) -> None:
    """One step of PPO's clipped objective."""
    seen, masks, actions, old, targets, gains = rows
    logs, value = network(seen, masks)
    gains = (gains - gains.mean()) / (gains.std() + 1e-6)
    ratio = (log_prob(logs, actions) - old).exp()
    gained = torch.minimum(ratio * gains, ratio.clamp(1 - settings.clip, 1 + settings.clip) * gains).mean()
    entropy = -sum((part.exp() * part).sum(-1).mean() for part in logs)
    loss = -gained + 0.5 * (value - targets).square().mean() - settings.entropy * entropy
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


if __name__ == "__main__":
    main()
