"""Algorithms that learn from single transitions out of a replay buffer, sampled by the batched runner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ALL_MODULES,
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    REPLAY_BUFFER_SAMPLE_TIMER,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TD_ERROR_KEY,
    TIMERS,
)

from edge_experts.envs.io.atomic import write_text

from ..checkpoints.manifest import REPLAY
from ..networks.config import NetworkConfig
from ..sampling.batches import nested
from ..sampling.replay_buffer import ReplayBuffer
from ..sampling.transition_runner import NEXT, TransitionEnvRunner

Array = NDArray[Any]
N_STEP = "n_step"


class ReplayConfig(NetworkConfig):
    """What the configurations of these algorithms share, as a mixin before that of RLlib's algorithm."""

    n_step: Any
    runner_class = TransitionEnvRunner

    @property
    def needs_worlds(self) -> str:
        """Transitions with exact masks come from worlds only."""
        return self._only_on_worlds()

    def validate(self) -> None:
        """Check the settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()
        if self.order != "together":
            raise ValueError(f"order: {self.order!r} is for algorithms that learn from what they just played: take PPO")
        if self.n_step != 1:
            raise ValueError(f"n_step: {self.n_step!r} must be 1: the batched runner's transitions are single steps")


class ReplayLearner:
    """Mixin of a learner that takes an iteration's minibatches side by side in one batch."""

    def _create_iterator_if_necessary(self, *, training_data: Any, **kwargs: Any) -> Iterator[MultiAgentBatch]:
        if training_data.batch is None:
            return super()._create_iterator_if_necessary(training_data=training_data, **kwargs)  # type: ignore[misc,no-any-return]
        return _pieces(training_data.batch, kwargs["minibatch_size"])


def _pieces(batch: MultiAgentBatch, steps: int) -> Iterator[MultiAgentBatch]:
    count = batch.env_steps() // steps
    for i in range(count):
        part = {}
        for module, columns in batch.policy_batches.items():
            size = columns.count // count
            part[module] = SampleBatch(_cut(dict(columns), slice(i * size, (i + 1) * size)))
        yield MultiAgentBatch(part, steps)


def _cut(columns: Any, rows: slice) -> Any:
    if isinstance(columns, dict):
        return {name: _cut(value, rows) for name, value in columns.items()}
    return columns[rows]


class ReplayTraining:
    """Mixin of an algorithm: sample, remember, learn from what is remembered.

    An update replays the rows of `train_batch_size_per_learner` environment steps, for each module;
    `training_intensity` says how many steps are replayed for one that is sampled. Learning begins after
    `num_steps_sampled_before_learning_starts` steps.
    """

    config: Any
    metrics: Any
    env_runner_group: Any
    learner_group: Any
    _replays: dict[str, ReplayBuffer]
    _rows_per_step: dict[str, float]
    _owed: float

    def setup(self, config: Any) -> None:
        """Build the algorithm, with nothing to replay yet."""
        self._replays, self._rows_per_step, self._owed = {}, {}, 0.0
        super().setup(config)  # type: ignore[misc]

    def save_to_path(self, path: Any = None, **kwargs: Any) -> str:
        """Write a checkpoint, and what is to be replayed beside it."""
        written: str = super().save_to_path(path, **kwargs)  # type: ignore[misc]
        if self._replays:
            folder = Path(written) / REPLAY
            folder.mkdir()
            for module, replay in self._replays.items():
                replay.save(folder / f"{module}.npz")
            about = {"rows_per_step": self._rows_per_step, "owed": self._owed}
            write_text(folder / "about.json", json.dumps(about) + "\n")
        return written

    def restore_from_path(self, path: Any, **kwargs: Any) -> None:
        """Take over a checkpoint, and what was to be replayed if it still holds that."""
        super().restore_from_path(path, **kwargs)  # type: ignore[misc]
        folder = Path(path) / REPLAY
        if folder.is_dir():
            about = json.loads((folder / "about.json").read_text("utf-8"))
            self._rows_per_step, self._owed = about["rows_per_step"], about["owed"]
            for module in self._rows_per_step:
                self._replays[module] = self._new_buffer()
                self._replays[module].load(folder / f"{module}.npz")

    def _new_buffer(self) -> ReplayBuffer:
        settings = self.config.replay_buffer_config
        return ReplayBuffer(
            settings["capacity"], settings.get("alpha", 0.0), settings.get("beta", 0.0), self.config.seed
        )

    def training_step(self) -> None:
        """Sample, learn from the replay buffers, send the new weights to the runners."""
        if not issubclass(self.config.env_runner_cls or object, TransitionEnvRunner):
            super().training_step()  # type: ignore[misc]
            return
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            batches, results = synchronous_parallel_sample(
                worker_set=self.env_runner_group,
                max_env_steps=self.config.num_envs_per_env_runner * self.config.get_rollout_fragment_length(),
                sample_timeout_s=self.config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
            if not batches:
                return
            self.metrics.aggregate(results, key=ENV_RUNNER_RESULTS)
        sampled = self._remember(batches)
        steps = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME))
        if steps < self.config.num_steps_sampled_before_learning_starts:
            return
        size = self.config.train_batch_size_per_learner
        self._owed += sampled * (self.config.training_intensity or 1.0) / size
        updates, self._owed = int(self._owed), self._owed % 1.0
        if updates:
            self._learn(updates, size, steps)

    def _remember(self, batches: list[MultiAgentBatch]) -> int:
        """Put what was sampled into the replay buffers; returns the environment steps."""
        steps = sum(batch.env_steps() for batch in batches)
        for module in batches[0].policy_batches:
            if module not in self._replays:
                self._replays[module] = self._new_buffer()
            for batch in batches:
                columns = dict(batch.policy_batches[module])
                self._replays[module].add({**columns.pop(Columns.OBS), **columns})
            rows = sum(batch.policy_batches[module].count for batch in batches)
            self._rows_per_step[module] = rows / steps
        return steps

    def _learn(self, updates: int, size: int, steps: int) -> None:
        with self.metrics.log_time((TIMERS, REPLAY_BUFFER_SAMPLE_TIMER)):
            drawn = {
                module: replay.sample(updates * max(1, round(size * self._rows_per_step[module])))
                for module, replay in self._replays.items()
            }
            parts = {module: SampleBatch(_as_tensors(columns)) for module, (columns, _) in drawn.items()}
            batch = MultiAgentBatch(parts, env_steps=updates * size)
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            learned = self.learner_group.update(
                batch=batch, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: steps}, minibatch_size=size
            )
            errors: dict[str, list[Any]] = {}
            for result in learned:
                for module in drawn:
                    errors.setdefault(module, []).extend(result[module].pop(TD_ERROR_KEY).peek())
            self.metrics.aggregate(learned, key=LEARNER_RESULTS)
        for module, (_, places) in drawn.items():
            if self._replays[module].alpha > 0:
                self._replays[module].update(places, np.concatenate([np.ravel(e) for e in errors[module]]))
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group,
                policies=set(learned[0]) - {ALL_MODULES},
                inference_only=False,
            )


def _as_tensors(columns: dict[str, Array]) -> dict[str, Any]:
    """A replayed batch as RLlib's losses expect it."""
    tensors = {name: torch.from_numpy(value) for name, value in columns.items()}
    later = {name: tensors.pop(NEXT + name) for name in ("observation", "action_mask")}
    return {**nested(tensors), Columns.NEXT_OBS: later, N_STEP: torch.ones(len(tensors[Columns.REWARDS]))}
