"""From a network's output to actions, whatever kind of network it is."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.dqn.default_dqn_rl_module import DefaultDQNRLModule
from ray.rllib.core.columns import Columns

from ..networks.q_network import QNetwork

ONLY_VALUES: tuple[type, ...] = (QNetwork, DefaultDQNRLModule)


def decide(module: Any, batch: dict[str, Any], explore: bool = False) -> tuple[Any, Any]:
    """Actions for the environment, (batch, ...), and what the module remembers, if it does.

    Args:
        module: An RLModule. One that returns actions is taken at its word; of another, the distribution is asked.
        batch: With `Columns.OBS`, and `Columns.STATE_IN` for a module with a memory.
        explore: Draw actions from the policy; otherwise the most likely ones are taken. A policy that is a value
            function has nothing to draw from: its random choices are of training only.
    """
    explore = explore and not isinstance(module, ONLY_VALUES)
    with torch.inference_mode():
        out = module.forward_exploration(batch) if explore else module.forward_inference(batch)
        state = out.get(Columns.STATE_OUT)
        if Columns.ACTIONS in out:
            return out.get(Columns.ACTIONS_FOR_ENV, out[Columns.ACTIONS]).numpy(), state
        kind = module.get_exploration_action_dist_cls() if explore else module.get_inference_action_dist_cls()
        distribution = kind.from_logits(out[Columns.ACTION_DIST_INPUTS])
        return (distribution if explore else distribution.to_deterministic()).sample().numpy(), state
