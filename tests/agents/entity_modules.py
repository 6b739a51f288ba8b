"""Entity networks with weights that say something, and what they see in worlds that were played for a while."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from edge_experts.agents.mixture.observation_layout import layout_of
from edge_experts.agents.networks.actor_critic import MixtureActorCritic
from edge_experts.envs import World
from edge_experts.envs.api.spaces import role_spaces


def module_for(role: str, world: World, kind: Any = MixtureActorCritic, **settings: Any) -> Any:
    spaces = role_spaces(role, world.sizes)
    config = {"network": "entities", "layout": layout_of(role, world), **settings}
    torch.manual_seed(0)
    module = kind(observation_space=spaces.observation, action_space=spaces.action, model_config=config)
    for name, weight in module.named_parameters():  # heads begin near zero; here they must say something
        if (weight.dim() == 2 and weight.shape[0] == 1) or "policy" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return module


def seen(role: str, world: World) -> dict[str, Any]:
    observation, mask = world.views.of(role)
    shown = role_spaces(role, world.sizes).shown_mask(mask)
    return {
        "obs": {
            "observation": torch.from_numpy(observation.reshape(-1, observation.shape[-1]).copy()),
            "action_mask": torch.from_numpy(shown.reshape(-1, shown.shape[-1]).copy()),
        }
    }


def played(name: str, n_worlds: int = 4, slots: int = 6, **overrides: Any) -> World:
    world = World(name, n_worlds, 3, overrides)
    world.reset()
    rng = np.random.default_rng(0)
    for _ in range(slots):
        world.step(*world.sample_actions(rng))
    return world
