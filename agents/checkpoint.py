"""What a checkpoint says of itself, and how to play it without starting Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule

from edge_experts.envs import World
from edge_experts.envs.spaces import RoleSpaces

from .batched_runner import Group, group_agents
from .mappo import CRITIC
from .module import MixturePolicy
from .policies import PolicyMapping

DESCRIPTION = "edge_experts.json"
MODULE = Path("learner_group") / "learner" / "rl_module"


class CheckpointError(ValueError):
    """A checkpoint cannot be used. Names the path and the reason."""


def describe_checkpoint(folder: Path, config: AlgorithmConfig) -> None:
    """Write what must be known to evaluate the checkpoint: algorithm, environment, policy of each agent."""
    mapping = config.policy_mapping_fn if config.is_multi_agent else None
    text = {
        "algo": config.algo_class.__name__,
        "env": config.env if isinstance(config.env, str) else None,
        "env_config": dict(config.env_config),
        "policies": getattr(mapping, "scheme", None),
        "seed": config.seed,
    }
    (folder / DESCRIPTION).write_text(json.dumps(text, indent=2, default=str) + "\n", encoding="utf-8")


def read_description(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of itself.

    Raises:
        CheckpointError: if there is no such checkpoint, or it is not one of `rllib train`.
    """
    file = folder / DESCRIPTION
    if not folder.is_dir():
        raise CheckpointError(f"checkpoint: there is no folder '{folder}'")
    if not file.is_file() or not (folder / MODULE).is_dir():
        raise CheckpointError(
            f"checkpoint: '{folder}' is not a checkpoint of rllib train ({DESCRIPTION} or {MODULE} is missing)"
        )
    try:
        return json.loads(file.read_text("utf-8"))  # type: ignore[no-any-return]
    except json.JSONDecodeError as error:
        raise CheckpointError(f"checkpoint: '{file}' is damaged: {error}") from None


class CheckpointPolicy:
    """Plays a checkpoint's modules in a `World`.

    Args:
        folder: A checkpoint written by `rllib train` for one of our environments.
        explore: Draw actions from the policy; otherwise the most likely ones are played.
        seed: Key of the draws.

    Raises:
        CheckpointError: if it cannot be read, or was trained on observations of another kind.
    """

    def __init__(self, folder: str | Path, explore: bool = False, seed: int = 0) -> None:
        self.folder, self.explore = Path(folder), explore
        torch.manual_seed(seed)
        self.description = read_description(self.folder)
        try:
            self.modules = MultiRLModule.from_checkpoint(str((self.folder / MODULE).resolve()))
        except Exception as error:  # whatever a damaged file raises
            raise CheckpointError(
                f"checkpoint: '{self.folder}' cannot be read: {type(error).__name__}: {error}"
            ) from None
        for name, module in self.modules.items():
            if name != CRITIC and not isinstance(module.unwrapped(), MixturePolicy):
                raise CheckpointError(
                    f"checkpoint: module '{name}' of '{self.folder}' is a {type(module.unwrapped()).__name__}; "
                    "use `rllib evaluate`, which plays any"
                )

    def act(self, world: World) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """Actions of all agents of all worlds."""
        mapping = PolicyMapping(self.description["policies"] or "per_role")
        counts = {"device": world.sizes.U, "provider": world.sizes.P}
        names = [f"{role}_{i}" for role in counts if world.scenario.acts(role) for i in range(counts[role])]
        actions = {role: world.default_actions(role) for role in counts}
        for group in group_agents(names, mapping):
            spaces = RoleSpaces(group.role, world.sizes)
            chosen = self._choose(group, spaces, world)
            actions[group.role][:, group.agents] = spaces.to_world(chosen)
        return actions["device"], actions["provider"]

    def _choose(self, group: Group, spaces: RoleSpaces, world: World) -> NDArray[np.int64]:
        observation, mask = world.views.of(group.role)
        if group.module not in self.modules:
            raise CheckpointError(
                f"checkpoint: '{self.folder}' has no policy for '{group.module}' of {world.scenario.id}; it has "
                f"{', '.join(self.modules.keys())}"
            )
        module = self.modules[group.module].unwrapped()
        expected = module.observation_space["observation"].shape[0]
        if expected != observation.shape[-1]:
            raise CheckpointError(
                f"checkpoint: '{self.folder}' was trained on observations of {expected} entries, "
                f"{world.scenario.id} shows {observation.shape[-1]}: evaluate it on the scenario it was trained on"
            )
        rows = observation[:, group.agents].reshape(-1, observation.shape[-1])
        masks = mask[:, group.agents][..., spaces.mask_columns].reshape(len(rows), -1)
        with torch.inference_mode():
            out = module.forward_inference(
                {Columns.OBS: {"observation": torch.from_numpy(rows), "action_mask": torch.from_numpy(masks)}}
            )
            inputs = out[Columns.ACTION_DIST_INPUTS]
            distribution = module.get_inference_action_dist_cls().from_logits(inputs)
            chosen = (distribution if self.explore else distribution.to_deterministic()).sample().numpy()
        return np.asarray(chosen).reshape(world.n_worlds, len(group.agents), *chosen.shape[1:])
