"""A diffusion model as an actor: it turns noise into preferences step by step, given what an agent sees.

Source: Du et al., "Diffusion-based reinforcement learning for edge-enabled AI-generated content services", IEEE
    Transactions on
Mobile Computing 2024 (D2SAC), section 4; the chain is that of Ho, Jain and Abbeel, "Denoising diffusion probabilistic
models", NeurIPS 2020, with the variance-preserving schedule of Song et al., "Score-based generative modeling", ICLR
2021.

The network guesses the clean preferences, not the noise. Both define the same chain (Ho et al., section 3.2), but a
guess of the noise has to be divided by the little that is clean at first and clipped to some range, and no gradient
passes what
is clipped: such an actor soon plays the same whatever it sees.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

BETA_LOW, BETA_HIGH = 0.1, 10.0  # of the schedule
TIME_SIZE = 16


class DiffusionActor(nn.Module):
    """Preferences by denoising.

    Args:
        inputs: Size of what an agent sees.
        hidden: Width of each layer of the denoiser.
        outputs: Number of preferences.
        steps: Denoising steps.
    """

    outputs: int
    steps: int
    kept: Tensor
    clean_share: Tensor
    time: Tensor

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int, steps: int) -> None:
        super().__init__()
        self.outputs, self.steps = outputs, steps
        sizes = (inputs + outputs + TIME_SIZE, *hidden)
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.Mish()]
        self.denoiser: nn.Sequential = nn.Sequential(*layers, nn.Linear(hidden[-1], outputs))
        t = torch.arange(1, steps + 1, dtype=torch.float64)
        kept = torch.exp(-BETA_LOW / steps - 0.5 * (BETA_HIGH - BETA_LOW) * (2 * t - 1) / steps**2)
        self.register_buffer("kept", kept.float(), persistent=False)  # alpha_t
        self.register_buffer("clean_share", torch.cumprod(kept, 0).float(), persistent=False)  # alpha-bar_t
        frequency = torch.exp(-math.log(10_000.0) * torch.arange(TIME_SIZE // 2) / (TIME_SIZE // 2 - 1))
        angle = t.float()[:, None] * frequency
        self.register_buffer("time", torch.cat([angle.sin(), angle.cos()], dim=-1), persistent=False)

    def forward(self, seen: Tensor, is_random: bool = True) -> Tensor:
        """Preferences (batch, outputs) for what is seen (batch, inputs); without noise if not random."""
        shape = (len(seen), self.outputs)
        x = torch.randn(shape) if is_random else torch.zeros(shape)
        for t in range(self.steps - 1, -1, -1):
            guess = self.denoiser(torch.cat([x, self.time[t].expand(len(seen), -1), seen], dim=-1))
            clean = self.clean_share[t]
            before = self.clean_share[t - 1] if t > 0 else torch.ones(())
            # mean and variance of the step before, given this one and the guess (Ho et al., equation 7)
            x = (before.sqrt() * (1 - self.kept[t]) * guess + self.kept[t].sqrt() * (1 - before) * x) / (1 - clean)
            if t > 0 and is_random:
                x = x + ((1 - before) / (1 - clean) * (1 - self.kept[t])).sqrt() * torch.randn(shape)
        return x
