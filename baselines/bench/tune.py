"""A recorded search of an algorithm's settings: trials are lines of a file, so a search goes on where it stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from edge_experts.envs import load_scenario
from edge_experts.envs.io.atomic import write_text
from edge_experts.envs.io.strict_json import parse_json
from edge_experts.envs.io.suggestions import did_you_mean
from edge_experts.envs.schema import Count

from .protocol import STRICT, read_protocol

RATES = ("lr", "actor_lr", "critic_lr")
LAST_RATE = 0.1  # of the first one, at the end of a run


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Setting:
    """What a setting may be: one of some choices, or a number between two bounds, drawn evenly in its logarithm or not.

    Raises:
        ValueError: if it is neither or both.
    """

    choices: tuple[int | float, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        is_range = self.low is not None and self.high is not None
        if bool(self.choices) == is_range:
            raise ValueError("give choices, or low and high")
        if self.low is not None and self.high is not None and not (0.0 if self.log else -1e9) < self.low < self.high:
            raise ValueError(f"low {self.low} and high {self.high} must rise" + (" from above 0" if self.log else ""))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Search:
    """The protocol, as `configs/tune.yaml` says it."""

    envs: tuple[str, ...]
    steps: Count
    trials: Count
    episodes: Count
    spaces: dict[str, dict[str, Setting]]
    algorithms: dict[str, str]

    def space(self, algo: str) -> dict[str, Setting]:
        """What is searched for an algorithm.

        Raises:
            ValueError: if it is not one of those, or its space is missing.
        """
        if algo not in self.algorithms:
            raise ValueError(f"--algo: '{algo}' is not tuned here; {did_you_mean(algo, self.algorithms)}")
        name = self.algorithms[algo]
        if name not in self.spaces:
            raise ValueError(f"algorithms.{algo}: there is no space '{name}'; {did_you_mean(name, self.spaces)}")
        return self.spaces[name]


def load_search(path: Path | None = None) -> Search:
    """The shipped search, or one of the user's own.

    Raises:
        ValueError: naming the file, the field and what is wrong with it.
    """
    return read_protocol(Search, "tune.yaml", path)


def read_trials(file: Path) -> list[dict[str, Any]]:
    """The trials of a record, in order; a last line that was not finished is dropped.

    Raises:
        ValueError: for any other line that is no trial.
    """
    if not file.exists():
        return []
    *lines, rest = file.read_text("utf-8").split("\n")
    trials = []
    for number, line in enumerate(lines, start=1):
        try:
            trial = parse_json(line)
            trials.append({key: trial[key] for key in ("config", "score", "scores", "steps", "cpu_time_s", "seed")})
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{file}:{number}: is no trial of edge-experts tune; move the file away") from None
    if rest:  # the run was killed while it wrote
        write_text(file, "".join(f"{line}\n" for line in lines))
    return trials


def search_settings(
    algo: str,
    search: Search,
    file: Path,
    score: Callable[[Mapping[str, Any]], dict[str, Any]],
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Try settings until there are as many trials as wanted; every one is recorded as soon as it is known.

    Args:
        algo: A preset.
        search: The protocol.
        file: Where trials are recorded; those that are there count.
        score: Trains with some settings and measures: `score`, `scores`, `steps` and `cpu_time_s`.
        seed: Of the sampler.

    Returns:
        All trials. The first one is the preset as it is, `config` {}.

    Raises:
        ValueError: if what is recorded is no trial, or of another search.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, trials = search.space(algo), read_trials(file)
    for trial in trials:
        if tuple(trial["scores"]) != search.envs or trial["seed"] != seed:
            raise ValueError(f"{file}: holds trials of another search ({', '.join(trial['scores'])}); move it away")
    kinds = {name: _distribution(setting) for name, setting in space.items()}
    for number in range(len(trials), search.trials):
        # from what is recorded alone, so that a search that was stopped draws what it would have drawn
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed + number))
        for trial in trials:
            if trial["config"].keys() == kinds.keys():
                study.add_trial(
                    optuna.trial.create_trial(params=trial["config"], distributions=kinds, value=trial["score"])
                )
        drawn = study.ask(kinds).params if number else {}
        trial = {"config": drawn, **score(drawn), "seed": seed}
        trials.append(trial)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(trial) + "\n")
    return trials


def _distribution(setting: Setting) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if setting.choices:
        return CategoricalDistribution(setting.choices)
    assert setting.low is not None and setting.high is not None
    return FloatDistribution(setting.low, setting.high, log=setting.log)


def as_config(drawn: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Settings as `rllib train --config` takes them: learning rates fall over the run."""
    return {name: [[0, value], [steps, LAST_RATE * value]] if name in RATES else value for name, value in drawn.items()}


def try_settings(algo: str, search: Search, runs: Path, drawn: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """Train a preset with some settings on every environment, and score it on validation episodes.

    Returns:
        `score`, the mean over environments; `scores` by environment; `steps` and `cpu_time_s`, of all together.

    Raises:
        InterruptedError: if training was stopped.
    """
    from edge_experts.agents.checkpoints.metadata import checkpoints_of
    from edge_experts.agents.job import Job, train
    from edge_experts.agents.score_reference import stored_score

    from .cell import PRESETS, policies_of, validated

    scores, steps, cpu_time_s = {}, 0, 0.0
    for env in search.envs:
        folder = runs / Path(env).stem / algo
        shutil.rmtree(folder, ignore_errors=True)
        run = train(
            Job(
                file=PRESETS / f"{algo}.py",
                env=env,
                config=as_config(drawn, search.steps),
                stop={"env_steps": search.steps},
                seed=seed,
                local_dir=folder.parent,
                name=folder.name,
            )
        )
        last, scenario = run.rows[-1], load_scenario(env)
        if last["env_steps"] < search.steps:
            raise InterruptedError(f"stopped after {last['env_steps']:,} of {search.steps:,} steps: this trial is lost")
        returns = validated(policies_of(checkpoints_of(run.folder)[-1]), scenario, search.episodes)
        found = stored_score(scenario, max(returns.values()))
        if found is None:
            raise ValueError(f"envs: {env} has no stored floor and reference: see edge-experts calibrate")
        scores[env] = round(found, 4)
        steps, cpu_time_s = steps + last["env_steps"], cpu_time_s + last["cpu_time_s"]
        shutil.rmtree(run.folder)
    mean = sum(scores.values()) / len(scores)
    return {"score": round(mean, 4), "scores": scores, "steps": steps, "cpu_time_s": round(cpu_time_s, 1)}
