"""One cell of the benchmark: train, evaluate, write one JSON."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from edge_experts.agents.checkpoints.metadata import checkpoints_of, latest_checkpoint, read_description
from edge_experts.agents.checkpoints.modules import sha256_of_weights
from edge_experts.agents.checkpoints.policy import CheckpointPolicy
from edge_experts.agents.job import Job, train
from edge_experts.agents.market_names import markets_of, stages_of
from edge_experts.agents.mixture.report import diagnose
from edge_experts.agents.networks.actor_critic import parameter_count
from edge_experts.agents.score_reference import normalised_score
from edge_experts.configs.train.common import budget
from edge_experts.envs import Scenario, heldout_ids, load_scenario
from edge_experts.envs.io.atomic import write_text
from edge_experts.envs.seeds import REPORTED, VALIDATION

from ..evaluation.evaluate import play, summarise
from ..heuristics.array_policy import load_array_policy
from ..provenance import provenance
from .protocol import DRAWN, MODES, Cell, Task, curve_key, kind_of

PRESETS = Path(str(resources.files("edge_experts.configs.train")))
PROGRESS = ("env_steps", "time_total_s", "cpu_time_s")
AS_IT_IS = "as it is"  # of a policy from outside, which was not trained here
VALIDATION_EPISODES = 64


def run_cell(task: Task) -> dict[str, Any]:
    """Train unless it is done, evaluate, and write the result.

    A run that was killed goes on from its last checkpoint; its checkpoints, but for the last, are removed in the end.
    """
    cell, benchmark = task.cell, task.benchmark
    references = json.loads(task.references.read_text("utf-8"))
    if stages_of(cell.env):
        from .sequence_cell import run_sequence_cell  # which is made of parts of this one

        return run_sequence_cell(task, references)
    if markets_of(cell.env):
        from .markets_cell import run_markets_cell  # which is made of parts of this one

        return run_markets_cell(task, references)
    folder = cell.folder(task.runs)
    if cell.entry.algo is not None and kind_of(cell.entry.algo) == "policy":
        policies: dict[str, Any] = {AS_IT_IS: load_array_policy(cell.entry.algo)}
        mode, trained = AS_IT_IS, {**dict.fromkeys(PROGRESS, 0), "curve": []}
    else:
        steps = benchmark.steps or budget(cell.env)
        job = job_of(cell, steps, benchmark.curve_points, folder)
        train_on(job, folder, steps)
        policies, mode, trained = _read_run(folder, cell, references)
        trained["command"] = command_of(job)
    began = time.process_time()
    result = {
        **described(cell),
        **trained,
        **measured(policies, mode, cell.env, references),
        "provenance": provenance(load_scenario(cell.env)),
    }
    result["evaluation_s"] = time.process_time() - began
    write_result(task, result)
    if trained["curve"]:
        _prune(folder)
    return result


def measured(policies: Mapping[str, Any], mode: str, env: str, references: Mapping[str, Any]) -> dict[str, Any]:
    """What policies do on evaluation episodes and on held-out twins.

    Args:
        policies: One policy in each of its modes of play.
        mode: The one that counts.
        env: Where.
        references: Floor and reference by scenario, and the episodes they were measured on.
    """
    scenario = load_scenario(env)
    ends = references[scenario.hash()]
    records = {m: play(policy, scenario, ends["episodes"], REPORTED) for m, policy in policies.items()}
    record = records[mode]
    heldout = {}
    for twin in heldout_ids(env):
        shifted = load_scenario(twin)
        twin_ends = references[shifted.hash()]
        twin_score = float(play(policies[mode], shifted, twin_ends["episodes"], REPORTED).score.mean())
        heldout[twin] = {"score": twin_score, "normalised_score": normalised(twin_score, twin_ends)}
    score = float(record.score.mean())
    return {
        "episodes": len(record.score),
        "normalised_score": normalised(score, ends),
        "mode": mode,
        "modes": {m: normalised(float(played.score.mean()), ends) for m, played in records.items()},
        "measures": {**summarise(record, scenario), "welfare_ratio": score / ends["reference"]},
        "heldout": heldout,
    }


def described(cell: Cell) -> dict[str, Any]:
    """What a result says of its cell."""
    entry = cell.entry
    about = {"name": cell.name, "title": entry.title or cell.name, "preset": entry.preset, "config": entry.config}
    return {**about, "env": cell.env, "seed": cell.seed}


def command_of(job: Job) -> str:
    """The command that trains the same, as anybody would write it."""
    return shlex.join(job.command()).replace(str(PRESETS), "configs/train")


def write_result(task: Task, result: dict[str, Any]) -> None:
    """Write what a cell found to where its result goes."""
    path = task.cell.result(task.results)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(result, indent=1) + "\n")


def _prune(folder: Path) -> None:
    """Keep only the last checkpoint of a run that has a result. To train the run anew, remove that checkpoint too."""
    for checkpoint in checkpoints_of(folder)[:-1]:
        shutil.rmtree(checkpoint)
    _note(folder).unlink(missing_ok=True)


def _note(folder: Path) -> Path:
    """Where the command of an unfinished run is noted."""
    return folder.with_name(f"{folder.name}.command")


def normalised(score: float, ends: dict[str, Any]) -> float:
    """A mean score between floor and reference, which are of the same episodes."""
    return float(normalised_score(score, ends["random"], ends["reference"]))


def score_on(policy: Any, market: str, references: Mapping[str, Any]) -> float:
    """Normalised score on the episodes that a market's floor and reference were measured on."""
    scenario = load_scenario(market)
    ends = references[scenario.hash()]
    return normalised(float(play(policy, scenario, ends["episodes"], REPORTED).score.mean()), ends)


def job_of(cell: Cell, steps: int, curve_points: int, folder: Path) -> Job:
    """The training run of a cell.

    Raises:
        ValueError: if there is no such preset.
    """
    preset = None
    if cell.entry.algo is None:
        preset = PRESETS / f"{cell.entry.preset}.py"
        if not preset.is_file():
            raise ValueError(f"benchmark: algorithms.{cell.name}.preset: there is no preset '{cell.entry.preset}'")
    return Job(
        file=preset,
        algo=cell.entry.algo,
        env=cell.env,
        config=cell.entry.config,
        stop={"env_steps": steps},
        seed=cell.seed,
        checkpoint_steps=max(1, steps // curve_points),
        local_dir=folder.parent,
        name=folder.name,
    )


def train_on(job: Job, folder: Path, steps: int) -> None:
    """Train, or go on with what was begun by the same job."""
    note, command = _note(folder), shlex.join(job.command())
    is_same = note.exists() and note.read_text("utf-8") == command
    has_begun = is_same and latest_checkpoint(folder) is not None
    if folder.exists() and not has_begun:  # begun with other settings, or not far enough
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_text(note, command)
    train(replace(job, resume=has_begun, restore=None if has_begun else job.restore))
    reached = read_description(checkpoints_of(folder)[-1])["env_steps"]
    if reached < steps:
        raise InterruptedError(f"stopped after {reached:,} of {steps:,} steps: the next call goes on from there")


def policies_of(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint in each of its modes of play."""
    return {mode: CheckpointPolicy(checkpoint, explore=mode == DRAWN) for mode in MODES}


def validated(policies: dict[str, Any], scenario: Scenario, episodes: int = VALIDATION_EPISODES) -> dict[str, float]:
    """Mean score of each mode of play on validation episodes."""
    return {mode: float(play(p, scenario, episodes, VALIDATION).score.mean()) for mode, p in policies.items()}


def _read_run(folder: Path, cell: Cell, references: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The trained policy by mode, the mode that validation chose, and what is known of its training.

    That is steps, time, weights, scores along the way and its router.
    """
    scenario = load_scenario(cell.env)
    ends = references[curve_key(scenario)]
    curve = []
    checkpoints = checkpoints_of(folder)
    policies = policies_of(checkpoints[-1])
    tried = validated(policies, scenario)
    mode = max(MODES, key=lambda m: tried[m])
    for checkpoint in checkpoints:
        about = read_description(checkpoint)
        score = float(
            play(CheckpointPolicy(checkpoint, mode == DRAWN), scenario, ends["episodes"], REPORTED).score.mean()
        )
        point = {name: about[name] for name in PROGRESS}
        curve.append({**point, "normalised_score": normalised(score, ends)})
    policies = policies_of(checkpoints[-1])  # anew: what they draw does not depend on what was played before
    trained = {
        **{name: curve[-1][name] for name in PROGRESS},
        "weights_sha256": sha256_of_weights(checkpoints[-1]),
        "knows": policies[mode].knows,
        "parameters": {name: parameter_count(module.unwrapped()) for name, module in policies[mode].modules.items()},
        "curve": curve,
        "router": diagnose(CheckpointPolicy(checkpoints[-1], mode == DRAWN), scenario),
    }
    return policies, mode, trained
