"""Play a checkpoint in a `World`, without starting Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

from edge_experts.envs import World
from edge_experts.envs.api.flat_form import FlatForm
from edge_experts.envs.api.spaces import RoleSpaces, role_spaces
from edge_experts.envs.sim.spec import ROLES

from ..errors import CheckpointError
from ..mixture.observation_layout import layout_of
from ..networks.recurrent import MEMORY
from ..policy_mapping import DEFAULT_SCHEME, PolicyMapping, policy_of
from ..sampling.batches import nested
from ..sampling.rollout_buffer import Group, group_agents
from ..sampling.turns import choose_in_turn
from .inference import decide
from .load import load_checkpoint
from .modules import add_targets
from .randomness import OwnRandomness
from .weights import located


class CheckpointPolicy:
    """Plays a checkpoint's modules in a `World`.

    Args:
        folder: A checkpoint written by `rllib train` for one of our environments, an export, or `zoo:NAME`.
        explore: Draw actions from the policy; otherwise the most likely ones are played.
        seed: Key of the draws.
        trust: The checkpoint's author: run code of theirs, see `load.load_checkpoint`.

    Where every agent was trained with a policy of its own and there are more agents now, agent n of a role plays as
    agent n modulo the number trained.

    Raises:
        CheckpointError: if it cannot be read, or was trained on observations of another kind.

    Entity networks play any market; a flat network only what has the observations it was trained on.
    """

    explore: bool
    folder: Path
    description: dict[str, Any]
    modules: dict[str, Any]

    def __init__(self, folder: str | Path, explore: bool = False, seed: int = 0, trust: bool = False) -> None:
        self.folder, self.explore = located(folder), explore
        self._randomness = OwnRandomness(seed)
        self.description, self.modules = load_checkpoint(self.folder, trust)
        self._mapping = PolicyMapping(self.description["policies"] or DEFAULT_SCHEME)
        self._fitting: dict[tuple[str, str], Any] = {}
        self._memories: dict[tuple[str, str], torch.Tensor] = {}

    @property
    def knows(self) -> str:
        """What its agents go by: their `own view` or a `central controller`, and what helped them in training only."""
        from ..algorithms.mappo import CRITIC

        in_turn = any(m.unwrapped().model_config.get("order") == "sequential" for _, m in self.modules.items())
        helped = [
            ("central critic", CRITIC in self.modules),
            ("planner's labels", bool(self.description.get("imitate"))),
        ]
        return ", ".join(["central controller" if in_turn else "own view", *(name for name, had in helped if had)])

    def act(self, world: World) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """Actions of all agents of all worlds."""
        actions = {role: world.default_actions(role) for role in ROLES}
        for group in self.groups(world):
            actions[group.role][:, group.agents] = self._choose(group, role_spaces(group.role, world.sizes), world)
        return actions["user"], actions["provider"]

    def groups(self, world: World) -> list[Group]:
        """The agents that act, by policy and role."""
        return group_agents([agent for role in ROLES for agent in world.agents(role)], self._policy_of)

    def _policy_of(self, agent: str, episode: Any = None) -> str:
        """The policy of an agent."""
        policy = self._mapping(agent)
        for module in self.modules:  # of several markets all have the same weights
            if module != policy and policy_of(module) == policy:
                return str(module)
        if policy in self.modules or self._mapping.scheme != "independent":
            return policy
        role, _, index = agent.rpartition("_")
        trained = [name.rpartition("_")[0] for name, _ in self.modules.items()].count(role)
        return f"{role}_{int(index) % trained}" if trained else policy

    def module_of(self, group: Group, world: World) -> Any:
        """The network that plays a group.

        Raises:
            CheckpointError: if there is none, or it was trained on observations of another kind.
        """
        if group.module not in self.modules:
            raise CheckpointError(
                f"checkpoint: '{self.folder}' has no policy for '{group.module}' of {world.scenario.id}; it has "
                f"{', '.join(self.modules)}"
            )
        module = self.modules[group.module].unwrapped()
        if getattr(module, "is_entities", False):
            return self._fitted(group, module, world)
        shown = world.views.of(group.role)[0].shape[-1]
        expected = self._size_of(module, role_spaces(group.role, world.sizes))
        if expected != shown:
            raise CheckpointError(
                f"checkpoint: '{self.folder}' was trained on observations of {expected} entries, "
                f"{world.scenario.id} shows {shown}: evaluate it on the scenario it was trained on"
            )
        return module

    def _fitted(self, group: Group, module: Any, world: World) -> Any:
        """An entity network as it reads this market, with the weights that were trained; made once."""
        key = (group.module, world.scenario.hash())
        if key not in self._fitting:
            spaces = role_spaces(group.role, world.sizes)
            settings = {**module.model_config, "layout": layout_of(group.role, world)}
            if module.layout["role"] != group.role:
                raise CheckpointError(
                    f"checkpoint: '{self.folder}' plays a {module.layout['role']} as '{group.module}', and "
                    f"{world.scenario.id} asks it for a {group.role}"
                )
            fitted = type(module)(
                observation_space=spaces.observation, action_space=spaces.action, model_config=settings
            )
            add_targets(fitted, module.state_dict())
            try:
                fitted.load_state_dict(module.state_dict())
            except RuntimeError:
                raise CheckpointError(
                    f"checkpoint: '{self.folder}' has weights for every single expert of its own market (identities), "
                    f"which {world.scenario.id} does not have: evaluate it on the scenario it was trained on"
                ) from None
            self._fitting[key] = fitted.eval()
        return self._fitting[key]

    def _size_of(self, module: Any, spaces: RoleSpaces) -> int:
        """Entries of the observation, without the mask."""
        if isinstance(module.observation_space, gymnasium.spaces.Dict):
            return gymnasium.spaces.utils.flatdim(module.observation_space["observation"])
        return gymnasium.spaces.utils.flatdim(module.observation_space) - self._flat(spaces).mask_size

    def _flat(self, spaces: RoleSpaces) -> FlatForm:
        """The form in which `FlatEnv` showed and took everything."""
        return FlatForm(spaces, "box" if self.description["env_config"].get("flatten") == "box" else "discrete")

    def batch(self, group: Group, module: Any, spaces: RoleSpaces, world: World) -> dict[str, Any]:
        """What a group's network sees: rows (worlds x agents, ...)."""
        observation, mask = world.views.of(group.role)
        rows = observation[:, group.agents].reshape(-1, observation.shape[-1])
        masks = spaces.shown_mask(mask[:, group.agents]).reshape(len(rows), -1)
        if not isinstance(module.observation_space, gymnasium.spaces.Dict):
            return {Columns.OBS: torch.from_numpy(self._flat(spaces).observe(rows, masks))}
        batch: dict[str, Any] = {
            Columns.OBS: {"observation": torch.from_numpy(rows), "action_mask": torch.from_numpy(masks)}
        }
        if module.is_stateful():
            batch[Columns.STATE_IN] = {MEMORY: self._memory(group, module, world)}
        return batch

    def _memory(self, group: Group, module: Any, world: World) -> torch.Tensor:
        """What the group's agents remember; nothing at the start of an episode, or when they come."""
        size = module.get_initial_state()[MEMORY].shape[0]
        shape = (world.n_worlds, len(group.agents), size)
        memory = self._memories.get(group.key)
        if memory is None or memory.shape != shape:
            memory = torch.zeros(shape)
        new = torch.from_numpy((world.state.clock.slot == 0)[:, None] | ~world.present(group.role)[:, group.agents])
        self._memories[group.key] = torch.where(new[..., None], 0.0, memory)
        return self._memories[group.key].reshape(-1, size)

    def _choose(self, group: Group, spaces: RoleSpaces, world: World) -> NDArray[np.int64]:
        """Actions of a group as the world takes them: (worlds, agents, parts)."""
        module = self.module_of(group, world)
        batch = self.batch(group, module, spaces, world)
        with self._randomness.use():
            chosen, state = self._decide(group, module, batch, world)
        if state is not None:
            self._memories[group.key] = state.reshape(self._memories[group.key].shape)
        if not isinstance(batch[Columns.OBS], dict):
            masks = spaces.shown_mask(world.views.of(group.role)[1][:, group.agents]).reshape(len(chosen), -1)
            chosen = self._flat(spaces).actions(chosen, masks)
        return spaces.to_world(np.asarray(chosen).reshape(world.n_worlds, len(group.agents), *chosen.shape[1:]))

    def _decide(self, group: Group, module: Any, batch: dict[str, Any], world: World) -> tuple[Any, Any]:
        """What a group chooses, all at once or in turn, and what it remembers of it."""
        if module.model_config.get("order") != "sequential" or group.role != "user":
            chosen, state = decide(module, batch, self.explore)
            return chosen, None if state is None else state[MEMORY]

        def choose(rows: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            tensors = {name: torch.from_numpy(value) for name, value in rows.items()}
            chosen, state = decide(module, nested(tensors), self.explore)
            found = {Columns.ACTIONS: chosen}
            return found if state is None else {**found, MEMORY: state[MEMORY].numpy()}

        seen = {name: value.numpy() for name, value in batch[Columns.OBS].items()}
        seen |= {name: value.numpy() for name, value in batch.get(Columns.STATE_IN, {}).items()}
        found = choose_in_turn(world, group.agents, seen, choose)
        memory = found.get(MEMORY)
        return found[Columns.ACTIONS], None if memory is None else torch.from_numpy(memory)
