"""Networks over every combination of an action's parts: what they see, what is legal, which is which."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

from edge_experts.envs.api.flat_form import joint_mask

from .distributions import sizes_of
from .running_norm import RunningNorm


def network(inputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    """A multi-layer perceptron."""
    layers: list[nn.Module] = []
    for a, b in pairwise((inputs, *hidden)):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers)


class JointActionModule(TorchRLModule):  # type: ignore[misc]
    """Base of the networks that learn from transitions, on observations with an `action_mask`.

    A joint choice is one combination of the parts of an action, numbered with the last part running fastest.

    Model config:
        hidden: Width of each layer.
    """

    def setup(self) -> None:
        """Read the spaces."""
        self.hidden = tuple(self.model_config["hidden"])
        self.counts = list(sizes_of(self.action_space))
        self.choices = int(np.prod(self.counts))
        self.inputs = gymnasium.spaces.utils.flatdim(self.observation_space)
        self.running_norm = RunningNorm(self.inputs)

    def seen(self, observation: dict[str, Tensor]) -> Tensor:
        """Normalised observation and mask as a vector: (batch, inputs)."""
        x = torch.cat([observation["action_mask"].float(), observation["observation"]], dim=-1)
        if torch.is_grad_enabled():
            self.running_norm.gather(x)
        return self.running_norm(x)  # type: ignore[no-any-return]

    def legal(self, observation: dict[str, Tensor]) -> Tensor:
        """Which joint choices are legal: (batch, choices) bool."""
        return joint_mask(observation["action_mask"], self.counts).bool()  # type: ignore[no-any-return]

    def parts(self, choice: Tensor) -> Tensor:
        """Joint choices (batch,) as the environment takes them: (batch, parts), or (batch,) if there is one part."""
        if len(self.counts) == 1:
            return choice
        return torch.stack(torch.unravel_index(choice, self.counts), dim=-1)

    def chosen(self, choice: Tensor) -> dict[str, Tensor]:
        """What a pass returns for joint choices (batch,)."""
        return {Columns.ACTIONS: choice, Columns.ACTIONS_FOR_ENV: self.parts(choice)}

    def random_choice(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Uniformly random legal choices."""
        return self.chosen(torch.multinomial(self.legal(batch[Columns.OBS]).float(), 1).squeeze(-1))
