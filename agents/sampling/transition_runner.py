"""The batched runner for algorithms that learn from single transitions out of a replay buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

from .batched_runner import BatchedEnvRunner
from .rollout_buffer import Group, Rollout

Array = NDArray[Any]
NEXT = "next_"  # before the names of what was seen a slot later


class TransitionEnvRunner(BatchedEnvRunner):
    """The batched runner for networks that choose by themselves; its batch has a row for each agent and slot."""

    def _choose(self, group: Group, seen: dict[str, Array], explore: bool, random_actions: bool) -> dict[str, Array]:
        batch = {Columns.OBS: {name: torch.from_numpy(value) for name, value in seen.items()}}
        module = self.module[group.module]
        if random_actions:
            out = module.unwrapped().random_choice(batch)
        elif explore:
            runners = max(1, self.config.num_env_runners)
            out = module.forward_exploration(batch, t=self.num_env_steps_sampled_lifetime * runners)
        else:
            out = module.forward_inference(batch)
        return {name: out[name].numpy() for name in (Columns.ACTIONS, Columns.ACTIONS_FOR_ENV)}

    def _rows_of(self, group: Group, rollout: Rollout) -> dict[str, Array]:
        """Transitions of the agents that were there."""
        data = rollout.stacked(group)
        shape = (rollout.slots, self.num_envs * len(group.agents))
        columns = {
            Columns.ACTIONS: data[Columns.ACTIONS],
            Columns.REWARDS: data["reward"].reshape(shape),
            Columns.TERMINATEDS: data["terminated"].reshape(shape),
        }
        for name in ("observation", "action_mask"):
            later = np.empty_like(data[name])
            later[:-1], later[-1] = data[name][1:], self._observe(group, self.world.views)[name]
            by_world = later.reshape(rollout.slots, self.num_envs, len(group.agents), -1)
            for t, worlds, seen in rollout.cuts(group):
                by_world[t][worlds] = seen[name].reshape(len(worlds), len(group.agents), -1)
            columns[name], columns[NEXT + name] = data[name], later
        live = data["live"].reshape(-1)
        return {name: value.reshape(-1, *value.shape[2:])[live] for name, value in columns.items()}
