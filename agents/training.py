"""One training run: iterate, show progress, write results and checkpoints, stop or resume cleanly."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from tqdm import tqdm

from edge_experts.envs import Scenario, load_scenario
from edge_experts.envs.io.atomic import replacing, write_text
from edge_experts.envs.io.suggestions import did_you_mean
from edge_experts.envs.registry import is_market

from .checkpoints.manifest import REPLAY, write_manifest
from .checkpoints.metadata import (
    MODULE,
    checkpoint_name,
    checkpoints_of,
    describe_checkpoint,
    latest_checkpoint,
    parse_description,
)
from .checkpoints.modules import save_modules
from .checkpoints.weights import begin_from
from .errors import CheckpointError, SetupError, TrainingError
from .launch.events import SCORE, Events
from .launch.progress import Progress, interruptible
from .launch.results import RESULTS, read_rows
from .launch.settings import settings_in_force
from .launch.stopwatch import COLUMN, EXTRAS, Stopwatch
from .markets import scenarios_of
from .mixture.report import report_routers
from .networks.config import NetworkConfig
from .plotting import draw_curve
from .policy_mapping import AT
from .reward import reward_of
from .sampling.batched_runner import BatchedEnvRunner
from .sampling.credit import resolved
from .score_reference import stored_score

CURVE = "learning_curve.png"
# stop criteria by name, and the column of the results that each is about
CLOCKS = ("time_total_s", "cpu_time_s")  # columns: wall-clock and processor time since the run began
PATIENCE = 20  # iterations without a sample, until a run gives up
STEPS = "num_env_steps_sampled_lifetime"
CRITERIA = {
    "training_iteration": "training_iteration",
    "env_steps": "env_steps",
    "num_env_steps_sampled_lifetime": "env_steps",
    "episode_return_mean": "episode_return_mean",
    "time_total_s": "time_total_s",
    "normalised_score": "normalised_score",
}


def check_stop(stop: Mapping[str, Any]) -> dict[str, float]:
    """Validate stop criteria; RLlib's own long names, as `env_runners/episode_return_mean`, are taken too.

    Raises:
        SetupError: for an unknown criterion or a value that is not a number.
    """
    checked = {}
    for name, value in stop.items():
        short = str(name).rpartition("/")[2]
        if short not in CRITERIA:
            raise SetupError(f"stop.{name}: unknown criterion; {did_you_mean(short, CRITERIA)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SetupError(f"stop.{name}: {value!r} is not a number")
        checked[CRITERIA[short]] = float(value)
    return checked


class Run:
    """A training run in a directory of its own.

    Args:
        config: A configuration that `algorithms.set_up` has completed.
        stop: Criteria as `check_stop` returns them; the run ends when one is met.
        folder: Results directory.
        checkpoint_freq: Iterations between checkpoints; 0: only at the end.
        checkpoint_steps: Environment steps between checkpoints; 0: as `checkpoint_freq` says.
        restore: Checkpoint to begin from.
        whole: Whether to go on from all that it holds, which RLlib pickled; otherwise from its weights.
        trust: Whoever wrote it: networks of their own are imported.
        started: When the run was asked for, `time.perf_counter()`; now by default.
        logger: What takes its numbers beside TensorBoard, one of `events.LOGGERS`.
    """

    config: AlgorithmConfig
    folder: Path
    stop: dict[str, float]
    checkpoint_freq: int
    checkpoint_steps: int
    restore: Path | None
    trust: bool
    whole: bool

    def __init__(
        self,
        config: AlgorithmConfig,
        stop: dict[str, float],
        folder: Path,
        checkpoint_freq: int = 0,
        restore: Path | None = None,
        checkpoint_steps: int = 0,
        whole: bool = False,
        trust: bool = False,
        started: float | None = None,
        logger: str | None = None,
    ) -> None:
        self.config, self.stop, self.folder = config, stop, folder
        self.checkpoint_freq, self.checkpoint_steps, self.restore = checkpoint_freq, checkpoint_steps, restore
        self.whole, self.trust = whole, trust
        self.logger: str | None = logger
        self.stopwatch: Stopwatch = Stopwatch(time.perf_counter() if started is None else started)
        self._empty = 0  # iterations one after the other in which nothing was sampled
        self.scenario: Scenario | None = _scenario_of(config)
        self.markets: dict[str, Scenario] = scenarios_of(config)
        self.reward: str | None = reward_of(self.scenario)  # what agents are paid
        self.credit: str | None = _credit_in_force(config, self.scenario)
        self.rows: list[dict[str, Any]] = []

    def train(self) -> dict[str, Any]:
        """Train until a stop criterion is met or the run is interrupted; returns the last row of results."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if isinstance(self.config, NetworkConfig) and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)  # our networks are small: more threads would only wait for one another
        algorithm = self.config.build_algo()
        try:
            if self.restore is not None and self.whole:
                algorithm.restore_from_path(str(self.restore.resolve()))
                self._keep_rows(algorithm.iteration)
            elif self.restore is not None:
                begin_from(algorithm, self.restore, self.trust)
            self._loop(algorithm)
        except OSError as error:  # as a full disk
            raise TrainingError(
                f"train: '{self.folder}' cannot be written: {error.strerror or error}; last checkpoint: "
                f"{latest_checkpoint(self.folder) or 'none'}; mend that, and go on with --resume"
            ) from None
        finally:
            algorithm.stop()
        return self.rows[-1] if self.rows else {}

    def _loop(self, algorithm: Any) -> None:
        reached = self.rows[-1]["env_steps"] if self.rows else 0  # TensorBoard forgets what comes after it
        before = [self.rows[-1].get(name, 0.0) if self.rows else 0.0 for name in CLOCKS]
        started = _clocks()
        self.stopwatch.go_on(self.rows[-1].get(COLUMN, {}) if self.rows else {})
        self.stopwatch.watch(algorithm)
        with (
            Events(self.folder, settings_in_force(self.config), reached, self.logger) as events,
            open(self.folder / RESULTS, "a", encoding="utf-8") as log,
            Progress(self.stop, self.rows) as progress,
            interruptible() as interrupted,
        ):
            while not self._is_done():
                with self.stopwatch.iteration():
                    result = algorithm.train()
                self._check_weights(algorithm)
                if self._is_empty(algorithm, result):
                    continue
                spent = [b + now - s for b, now, s in zip(before, _clocks(), started, strict=True)]
                row = self._row(algorithm.iteration, result, spent)
                self._count_runners(algorithm, row)
                self.rows.append(row)
                log.write(json.dumps(row) + "\n")
                log.flush()
                own = {SCORE: row[SCORE]} if row.get(SCORE) is not None else {}
                events.numbers({**dict(_scalars(result)), **own}, row["env_steps"])
                progress.show(row)
                if self._is_due(algorithm.iteration):
                    self._save(algorithm)
                if interrupted():
                    break
            self._save(algorithm)
            with self.stopwatch.timed(EXTRAS):
                self._draw(events)

    def _draw(self, events: Events) -> None:
        """The learning curve, and what the routers of a mixture do."""
        draw_curve(self.rows, self.folder / CURVE, f"{self.config.algo_class.__name__} on {self.config.env}")
        checkpoint = latest_checkpoint(self.folder)
        if self.scenario is not None and checkpoint is not None:
            for module, picture in report_routers(checkpoint, self.scenario, self.folder).items():
                events.picture(f"router/{module}", picture, self.rows[-1]["env_steps"])

    def _is_empty(self, algorithm: Any, result: Mapping[str, Any]) -> bool:
        """Whether nothing was sampled, as after a sampling process died; such an iteration is not counted.

        Raises:
            TrainingError: if that goes on.
        """
        steps = _steps_of(result)
        if self.config.num_env_runners == 0 or steps > (self.rows[-1]["env_steps"] if self.rows else 0):
            self._empty = 0
            return False
        self._empty += 1
        algorithm._iteration -= 1
        if self._empty > PATIENCE:
            raise TrainingError(
                f"train: no sampling process has answered for {PATIENCE} iterations; last checkpoint: "
                f"{latest_checkpoint(self.folder) or 'none'}; go on with --resume"
            )
        return True

    def _check_weights(self, algorithm: Any) -> None:
        """See that there is something to save.

        Raises:
            TrainingError: if a weight is not finite; what was saved before stays.
        """
        learned = _learned(algorithm)
        wrong = [
            f"{module}: {name}"
            for module, network in (learned.items() if learned is not None else ())
            for name, weight in network.state_dict().items()
            if not torch.isfinite(weight).all()
        ]
        if wrong:
            good = latest_checkpoint(self.folder)
            raise TrainingError(
                f"train: weights of '{wrong[0]}' are not finite after iteration {algorithm.iteration}: "
                f"take smaller steps (lr); last checkpoint: {good or 'none'}"
            )

    def _is_due(self, iteration: int) -> bool:
        """Whether a checkpoint is to be written now."""
        if self.checkpoint_freq and iteration % self.checkpoint_freq == 0:
            return True
        before = self.rows[-2]["env_steps"] if len(self.rows) > 1 else 0
        every = self.checkpoint_steps
        return bool(every) and self.rows[-1]["env_steps"] // every > before // every

    def _is_done(self) -> bool:
        if not self.rows:
            return False
        row = self.rows[-1]
        return any(row.get(name) is not None and row[name] >= limit for name, limit in self.stop.items())

    def _row(self, iteration: int, result: Mapping[str, Any], spent_s: list[float]) -> dict[str, Any]:
        runners = result.get("env_runners", {})
        mean = runners.get("episode_return_mean")
        known = mean is not None and math.isfinite(float(mean))
        row: dict[str, Any] = {
            "training_iteration": iteration,
            "env_steps": _steps_of(result),
            **{name: round(value, 3) for name, value in zip(CLOCKS, spent_s, strict=True)},
            COLUMN: self.stopwatch.row(),
            "episode_return_mean": float(mean) if known else None,
            "module_returns": {
                key: float(value) for key, value in runners.get("module_episode_returns_mean", {}).items()
            },
        }
        if self.markets:
            return {**row, **self._scores(row["module_returns"])}
        score = stored_score(self.scenario, float(mean)) if known and self.scenario is not None else None
        return {**row, "normalised_score": score} if score is not None else row

    def _scores(self, returns: Mapping[str, float]) -> dict[str, Any]:
        """Normalised scores of several markets, and their mean where all are known."""
        scores = {}
        for title, scenario in self.markets.items():
            own = [value for module, value in returns.items() if module.endswith(f"{AT}{title}")]
            scores[title] = stored_score(scenario, sum(own)) if own else None
        known = [score for score in scores.values() if score is not None]
        mean = {"normalised_score": sum(known) / len(known)} if len(known) == len(scores) else {}
        return {"normalised_scores": scores, **mean}

    def _count_runners(self, algorithm: Any, row: dict[str, Any]) -> None:
        """Note how many remote sampling processes are at work, and say when one was lost or came back."""
        if self.config.num_env_runners == 0:
            return
        before = (
            self.rows[-1].get("env_runners", self.config.num_env_runners) if self.rows else self.config.num_env_runners
        )
        row["env_runners"] = now = algorithm.env_runner_group.num_healthy_remote_workers()
        if now != before:
            change = "lost" if now < before else "back"
            tqdm.write(
                f"{abs(before - now)} sampling process(es) {change} at {row['env_steps']} env steps: "
                f"{now} of {self.config.num_env_runners} at work",
                file=sys.stderr,
            )

    def _keep_rows(self, iteration: int) -> None:
        """Rows of a resumed run up to the checkpoint; what was done after it is done again."""
        path = self.folder / RESULTS
        if path.exists():
            try:
                kept = read_rows(path)
            except ValueError as error:
                raise CheckpointError(f"--resume: {error}") from None
            self.rows = [dict(row) for row in kept if row["training_iteration"] <= iteration]
            last = parse_description(self.restore).get("row") if self.restore is not None else None
            if last and (not self.rows or self.rows[-1]["training_iteration"] < iteration):
                self.rows.append(last)  # the file's was torn
            write_text(path, "".join(json.dumps(row) + "\n" for row in self.rows))
        for later in checkpoints_of(self.folder):  # those that are damaged
            if later.name > checkpoint_name(iteration):
                later.rename(later.with_name(f"damaged_{later.name}_{time.time_ns()}"))

    def _save(self, algorithm: Any) -> None:
        """Write a checkpoint under a temporary name, then rename it: a checkpoint that exists is complete."""
        final = self.folder / checkpoint_name(algorithm.iteration)
        if final.exists():
            return
        with self.stopwatch.timed(EXTRAS), replacing(final) as part:
            algorithm.save_to_path(str(part.resolve()))
            describe_checkpoint(part, self.config, self.rows[-1] if self.rows else None, self.reward, self.credit)
            learned = _learned(algorithm)
            networks = learned if learned is not None else MultiRLModule.from_checkpoint(str(part / MODULE))
            try:
                save_modules(dict(networks.items()), part)
            except TypeError as error:
                tqdm.write(f"{final}: {error} has no plain form, so playing it will need --trust", file=sys.stderr)
            write_manifest(part)
        for older in checkpoints_of(self.folder)[:-1]:
            shutil.rmtree(older / REPLAY, ignore_errors=True)


def _steps_of(result: Mapping[str, Any]) -> int:
    """Environment steps so far; algorithms that learn from demonstrations count what they replay."""
    return int(result.get(STEPS, result.get("env_runners", {}).get(STEPS, 0)))


def _learned(algorithm: Any) -> Any:
    """The networks that are learned in this process; `None` where learners are remote."""
    learner = getattr(algorithm.learner_group, "_learner", None)
    return None if learner is None else learner.module


def _clocks() -> tuple[float, float]:
    """Wall-clock and processor time of this process, seconds."""
    return time.perf_counter(), time.process_time()


def _scalars(value: Any, prefix: str = "") -> Any:
    """Numbers of a nested result by path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in ("config", "fault_tolerance"):
                yield from _scalars(inner, f"{prefix}/{key}" if prefix else str(key))
    else:
        with suppress(TypeError, ValueError):
            number = float(value)
            if math.isfinite(number) and not isinstance(value, str | bool):
                yield prefix, number


def _credit_in_force(config: AlgorithmConfig, scenario: Scenario | None) -> str | None:
    """What agents learn from, one of `sampling.credit.CREDITS`, where the batched runner samples; else `None`."""
    is_batched = issubclass(config.env_runner_cls or object, BatchedEnvRunner)
    return resolved(config.credit, scenario) if is_batched and scenario is not None else None


def _scenario_of(config: AlgorithmConfig) -> Scenario | None:
    if isinstance(config.env, str) and is_market(config.env):
        return load_scenario(config.env, config.env_config.get("overrides"))
    return None
