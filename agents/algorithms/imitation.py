"""BC and MARWIL from demonstrations: RLlib's losses, on rows that `edge_experts.envs.demonstrations` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.algorithms.bc.bc import BC
from ray.rllib.algorithms.marwil.marwil import MARWIL, MARWILConfig
from ray.rllib.algorithms.marwil.torch.marwil_torch_learner import MARWILTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ALL_MODULES,
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)

from edge_experts.envs import Scenario
from edge_experts.envs.api.spaces import RoleSpaces
from edge_experts.envs.recording.demonstrations import DemonstrationError, demonstration_sizes, read_demonstrations
from edge_experts.envs.sim.spec import ROLES

from ..errors import SetupError
from ..networks.actor_critic import MixtureActorCritic
from ..networks.config import NetworkConfig
from ..sampling.batched_runner import BatchedEnvRunner
from ..sampling.batches import nested
from .fused_learner import FusedLearner
from .off_policy import ReplayLearner

Array = NDArray[Any]


class MaskedMARWILConfig(NetworkConfig, MARWILConfig):  # type: ignore[misc]
    """Configuration of MARWIL from demonstrations on our environments; `beta` 0 is behaviour cloning.

    Args of `training`, beside MARWIL's own and those of `NetworkConfig`:
        demonstrations: Folder that `edge-experts demonstrate` wrote.
        updates: Minibatches of an iteration, each of the rows of `train_batch_size_per_learner` environment steps.
    """

    runner_class = BatchedEnvRunner

    @property
    def needs_worlds(self) -> str:
        """Demonstrations are of our environments, and what was learned is played in them."""
        return self._only_on_worlds()

    def prepare(self, env: Any) -> None:
        """See that there are demonstrations of the environment.

        Raises:
            DemonstrationError: if not.
        """
        super().prepare(env)
        acting = {role: spaces for role, spaces in env.env.role_spaces.items() if env.env.scenario.acts(role)}
        check_demonstrations(self.demonstrations, self.env, acting)

    @property
    def is_online(self) -> bool:
        """Yes: it has an environment, to play what it learned."""
        return True

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MaskedMARWIL)
        self.demonstrations: str | None = None
        self.updates = 100
        self.train_batch_size_per_learner = 128
        self.dataset_num_iters_per_learner = 1
        self.lr: float = 1e-3

    def training(
        self,
        *,
        demonstrations: Any = NotProvided,
        updates: Any = NotProvided,
        **kwargs: Any,
    ) -> MaskedMARWILConfig:
        """Set the demonstrations and any of MARWIL's settings."""
        super().training(**kwargs)
        self._take(demonstrations=demonstrations, updates=updates)
        return self

    def validate(self) -> None:
        """Check the settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()
        if self.credit == "difference":
            raise ValueError(f"credit: {self.credit!r} is not for what learns from demonstrations: leave it 'reward'")
        if self.order != "together":
            raise ValueError(f"order: {self.order!r} is not in what demonstrations show: leave it 'together'")
        if not isinstance(self.updates, int) or self.updates < 1:
            raise ValueError(f"updates: {self.updates!r} must be 1 or more")

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """A network that takes masks and several action parts."""
        return RLModuleSpec(module_class=MixtureActorCritic)

    def get_default_learner_class(self) -> type:
        """The learner for ready-made batches."""
        return MaskedMARWILLearner


class MaskedBCConfig(MaskedMARWILConfig):
    """Configuration of behaviour cloning from demonstrations on our environments; settings as `MaskedMARWILConfig`."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MaskedBC)
        self.beta: float = 0.0


class MaskedMARWILLearner(ReplayLearner, FusedLearner, MARWILTorchLearner):  # type: ignore[misc]
    """MARWIL's loss on batches of demonstrations."""


class FromDemonstrations:
    """Mixin of an algorithm: learn from demonstrations, then play a few episodes to see what was learned.

    What it plays is not learned from. The steps that are counted are those of the demonstrations, as often as they are
    replayed.
    """

    config: Any
    metrics: Any
    env_runner: Any
    learner_group: Any
    env_runner_group: Any

    def training_step(self) -> None:
        """Learn from some minibatches, send the weights to the runner, play."""
        if not hasattr(self, "_rows"):
            self._rows, self._rng = self._read(), np.random.default_rng(self.config.seed)
        size, updates = self.config.train_batch_size_per_learner, self.config.updates
        parts = {}
        for module, (rows, per_step) in self._rows.items():
            count = len(rows[Columns.ACTIONS])
            drawn = self._rng.integers(count, size=updates * max(1, round(size * per_step)))
            parts[module] = SampleBatch(nested({name: torch.from_numpy(value[drawn]) for name, value in rows.items()}))
        self.metrics.log_value(NUM_ENV_STEPS_SAMPLED_LIFETIME, updates * size, reduce="lifetime_sum")
        steps = self.metrics.peek(NUM_ENV_STEPS_SAMPLED_LIFETIME)
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            learned = self.learner_group.update(
                batch=MultiAgentBatch(parts, env_steps=updates * size),
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: steps},
                minibatch_size=size,
            )
            self.metrics.aggregate(learned, key=LEARNER_RESULTS)
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group,
                policies=set(learned[0]) - {ALL_MODULES},
                inference_only=False,
            )
        self.env_runner.sample(num_episodes=self.env_runner.num_envs, explore=False)
        self.metrics.aggregate([self.env_runner.get_metrics()], key=ENV_RUNNER_RESULTS)

    def _read(self) -> dict[str, tuple[dict[str, Array], float]]:
        """Rows with a choice, and how many an environment step has, for each module."""
        parts: dict[str, list[dict[str, Array]]] = {}
        steps = 1
        for group in self.env_runner.groups:
            columns = read_demonstrations(self.config.demonstrations, group.role)
            steps = len(np.unique(np.stack([columns["episode"], columns["slot"]]), axis=1).T)
            choices = len(self.env_runner.role_spaces[group.role].nvec)
            parts.setdefault(group.module, []).append(self._prepared(columns, group.agents, choices))
        joined = {
            module: {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
            for module, chunks in parts.items()
        }
        return {module: (rows, len(rows[Columns.ACTIONS]) / steps) for module, rows in joined.items()}

    def _prepared(self, columns: dict[str, Array], agents: Array, parts: int) -> dict[str, Array]:
        choice = columns["action_mask"].sum(axis=-1) > parts  # where one action is legal there is nothing to imitate
        kept = choice & np.isin(columns["agent"], agents)
        actions = columns["action"] if parts > 1 else columns["action"][:, 0]
        rows = {
            "observation": columns["observation"],
            "action_mask": columns["action_mask"],
            Columns.ACTIONS: actions,
            Postprocessing.VALUE_TARGETS: returns_to_go(columns, self.config.gamma),
        }
        return {name: value[kept] for name, value in rows.items()}


def check_demonstrations(folder: str | None, env: str, spaces: Mapping[str, RoleSpaces]) -> None:
    """See that there are demonstrations of every role's spaces.

    Raises:
        DemonstrationError: if not, naming what is missing and how to make it.
    """
    if folder is None:
        raise DemonstrationError(
            f"demonstrations: none are given; record some with: edge-experts demonstrate coordinated --env {env} "
            '--save FOLDER, then --config \'{"demonstrations": "FOLDER"}\''
        )
    for role, own in spaces.items():
        sizes = {
            "observation": gymnasium.spaces.utils.flatdim(own.observation["observation"]),
            "action_mask": int(own.nvec.sum()),
            "action": len(own.nvec),
        }
        recorded = demonstration_sizes(folder, role)
        for name, size in sizes.items():
            if recorded[name] != size:
                raise DemonstrationError(
                    f"demonstrations: '{folder}' has {recorded[name]} entries of {name} for {role}s, {env} has "
                    f"{size}: record them on this environment"
                )


def check_rewards(folder: str, scenario: Scenario) -> None:
    """See that demonstrations were recorded with agents paid as they are now: learning returns is learning from them.

    Raises:
        SetupError: if not, telling how to make them.
    """
    from pyarrow import parquet

    share = scenario.rewards.team
    for role in filter(scenario.acts, ROLES):
        notes = parquet.read_schema(Path(folder) / f"{role}.parquet").metadata or {}
        recorded = yaml.safe_load(notes[b"scenario"])["rewards"]["team"] if b"scenario" in notes else None
        if recorded != share:
            raise SetupError(
                f"demonstrations: '{folder}' was recorded with rewards.team = {recorded}, not {share}: record it with "
                f"--set rewards.team={share:g}"
            )


def returns_to_go(columns: dict[str, Array], gamma: float) -> Array:
    """Discounted sum of an agent's rewards from each row to its end, or to that of the episode: (rows,) float32.

    Args:
        columns: Of `read_demonstrations`, in order of episode, agent and slot.
        gamma: Discount.
    """
    reward = columns["reward"]
    last = np.ones(len(reward), bool)
    same = (np.diff(columns["episode"]) == 0) & (np.diff(columns["agent"]) == 0) & (np.diff(columns["slot"]) == 1)
    last[:-1] = ~same | columns["terminated"][:-1] | columns["truncated"][:-1]
    returns, running = np.empty(len(reward), np.float32), 0.0
    for i in range(len(reward) - 1, -1, -1):
        running = float(reward[i]) + (0.0 if last[i] else gamma * running)
        returns[i] = running
    return returns


class MaskedMARWIL(FromDemonstrations, MARWIL):  # type: ignore[misc]
    """MARWIL from demonstrations on our environments."""

    @classmethod
    def get_default_config(cls) -> MaskedMARWILConfig:
        """The default configuration."""
        return MaskedMARWILConfig()


class MaskedBC(FromDemonstrations, BC):  # type: ignore[misc]
    """Behaviour cloning from demonstrations on our environments."""

    @classmethod
    def get_default_config(cls) -> MaskedBCConfig:
        """The default configuration."""
        return MaskedBCConfig()
