"""One cell of the benchmark in a process of its own: train, evaluate, write one JSON."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from filelock import FileLock

from edge_experts.agents.score_reference import normalised_score
from edge_experts.envs import Scenario, World, heldout_ids, load_scenario
from edge_experts.envs.io.atomic import write_text
from edge_experts.envs.recording.demonstrations import Demonstrations
from edge_experts.envs.seeds import REPORTED, VALIDATION

from ..evaluation.evaluate import play, summarise
from ..heuristics.array_policy import outside_policy
from ..heuristics.policies import make_policy
from ..provenance import provenance
from .protocol import DRAWN, MODES, Benchmark, Cell, kind_of, load_benchmark, select_cells

PROGRESS = ("env_steps", "time_total_s", "cpu_time_s")
AS_IT_IS = "as it is"  # of a policy from outside, which was not trained here
VALIDATION_EPISODES = 64


def run_cell(cell: Cell, benchmark: Benchmark, runs: Path, results: Path, references: dict[str, Any]) -> dict[str, Any]:
    """Train unless it is done, evaluate, and write the result.

    A run that was killed goes on from its last checkpoint; its checkpoints, but for the last, are removed in the end.
    """
    folder = cell.folder(runs)
    if cell.entry.algo is not None and kind_of(cell.entry.algo) == "policy":
        policies: dict[str, Any] = {AS_IT_IS: outside_policy(cell.entry.algo)}
        mode, trained = AS_IT_IS, {**dict.fromkeys(PROGRESS, 0), "curve": []}
    else:
        steps = benchmark.steps or _budget(cell.env)
        command = train_command(cell, steps, benchmark.curve_points, folder)
        _train(command, folder, steps)
        policies, mode, trained = _read_run(folder, cell, references)
        trained["command"] = "rllib " + " ".join(_quoted(part) for part in command)
    scenario = load_scenario(cell.env)
    ends = references[scenario.hash()]
    records = {m: play(policy, scenario, ends["episodes"], REPORTED) for m, policy in policies.items()}
    record = records[mode]
    heldout = {}
    for twin in heldout_ids(cell.env):
        shifted = load_scenario(twin)
        twin_ends = references[shifted.hash()]
        twin_score = float(play(policies[mode], shifted, twin_ends["episodes"], REPORTED).score.mean())
        heldout[twin] = {"score": twin_score, "normalised_score": _normalised(twin_score, twin_ends)}
    score = float(record.score.mean())
    result = {
        "name": cell.name,
        "title": cell.entry.title or cell.name,
        "preset": cell.entry.preset,
        "config": cell.entry.config,
        "env": cell.env,
        "seed": cell.seed,
        "episodes": len(record.score),
        "normalised_score": _normalised(score, ends),
        "mode": mode,
        "modes": {m: _normalised(float(played.score.mean()), ends) for m, played in records.items()},
        **trained,
        "measures": {
            **summarise(record, scenario),
            "welfare_ratio": score / ends["clairvoyant"],
        },
        "heldout": heldout,
        "provenance": provenance(scenario),
    }
    path = cell.result(results)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(result, indent=1) + "\n")
    if trained["curve"]:
        _prune(folder)
    return result


def _prune(folder: Path) -> None:
    """Keep only the last checkpoint of a run that has a result. To train the run anew, remove that checkpoint too."""
    from edge_experts.agents.training import checkpoints_of

    for checkpoint in checkpoints_of(folder)[:-1]:
        shutil.rmtree(checkpoint)
    _note(folder).unlink(missing_ok=True)


def _note(folder: Path) -> Path:
    """Where the command of an unfinished run is noted."""
    return folder.with_name(f"{folder.name}.command")


def _normalised(score: float, ends: dict[str, Any]) -> float:
    """A mean score between floor and bound, which are of the same episodes."""
    return float(normalised_score(score, ends["random"], ends["clairvoyant"]))


def curve_key(scenario: Scenario) -> str:
    """Of the floor and bound, among the references, that learning curves are normalised by."""
    return f"curve:{scenario.hash()}"


def train_command(cell: Cell, steps: int, curve_points: int, folder: Path) -> list[str]:
    """The `rllib` command of a cell, without the program's name."""
    config = dict(cell.entry.config)
    where = ["--env", cell.env, "--seed", str(cell.seed)]
    if cell.entry.algo is not None:
        what = ["train", "--algo", cell.entry.algo]
    else:
        preset = resources.files("edge_experts.configs.train").joinpath(f"{cell.entry.preset}.py")
        if not preset.is_file():
            raise ValueError(f"benchmark: algorithms.{cell.name}.preset: there is no preset '{cell.entry.preset}'")
        what = ["train", "file", str(preset)]
    command = [*what, *where, "--local-dir", str(folder.parent), "--name", folder.name]
    command += ["--stop", json.dumps({"env_steps": steps})]
    command += ["--checkpoint-steps", str(max(1, steps // curve_points))]
    return [*command, "--config", json.dumps(config)] if config else command


def _budget(env: str) -> int:
    from edge_experts.configs.train.common import budget

    return budget(env)


def _quoted(part: str) -> str:
    """As a shell takes it, and without the path of this machine."""
    root = str(resources.files("edge_experts.configs.train"))
    part = part.replace(root, "configs/train")
    return f"'{part}'" if any(sign in part for sign in ' {}"') else part


def _train(command: list[str], folder: Path, steps: int) -> None:
    from edge_experts.agents.checkpoints.metadata import read_description
    from edge_experts.agents.cli import main
    from edge_experts.agents.training import checkpoints_of, latest_checkpoint

    note = _note(folder)
    is_same = note.exists() and note.read_text("utf-8") == json.dumps(command)
    has_begun = is_same and latest_checkpoint(folder) is not None
    if folder.exists() and not has_begun:  # begun with other settings, or not far enough
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_text(note, json.dumps(command))
    code = main([*command, "--resume"] if has_begun else command)
    if code:
        raise ValueError(f"rllib {' '.join(command)} ended with code {code}")
    reached = read_description(checkpoints_of(folder)[-1])["env_steps"]
    if reached < steps:
        raise InterruptedError(f"stopped after {reached:,} of {steps:,} steps: the next call goes on from there")


def _read_run(folder: Path, cell: Cell, references: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The trained policy by mode, the mode that validation chose, and what is known of its training.

    That is steps, time, weights, scores along the way and its router.
    """
    from edge_experts.agents.checkpoints.metadata import read_description
    from edge_experts.agents.checkpoints.policy import CheckpointPolicy
    from edge_experts.agents.mixture.report import diagnose
    from edge_experts.agents.networks.actor_critic import parameter_count
    from edge_experts.agents.training import checkpoints_of

    scenario = load_scenario(cell.env)
    ends = references[curve_key(scenario)]
    curve = []
    checkpoints = checkpoints_of(folder)
    policies = {mode: CheckpointPolicy(checkpoints[-1], explore=mode == DRAWN) for mode in MODES}
    tried = {m: float(play(p, scenario, VALIDATION_EPISODES, VALIDATION).score.mean()) for m, p in policies.items()}
    mode = max(MODES, key=lambda m: tried[m])
    for checkpoint in checkpoints:
        about = read_description(checkpoint)
        score = float(
            play(CheckpointPolicy(checkpoint, mode == DRAWN), scenario, ends["episodes"], REPORTED).score.mean()
        )
        point = {name: about[name] for name in PROGRESS}
        curve.append({**point, "normalised_score": _normalised(score, ends)})
    trained = {
        **{name: curve[-1][name] for name in PROGRESS},
        "parameters": {name: parameter_count(module.unwrapped()) for name, module in policies[mode].modules.items()},
        "curve": curve,
        "router": diagnose(policies[mode], scenario),
    }
    return policies, mode, trained


def demonstrate(policy: str, scenario: Scenario, episodes: int, seed: int, folder: Path) -> Path:
    """Record whole episodes of a policy as demonstrations."""
    world = World(scenario, episodes, seed)
    recorded = Demonstrations(world)
    recorded.play(make_policy(policy, world, seed))
    return recorded.save(folder, {"policy": policy})


def main(argv: list[str] | None = None) -> int:
    """Run one cell; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train and evaluate one cell of the benchmark.")
    parser.add_argument("--benchmark", type=Path)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--algo")
    parser.add_argument("--env", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    arguments = parser.parse_args(argv)
    benchmark = load_benchmark(arguments.benchmark)
    if arguments.steps:
        benchmark = replace(benchmark, steps=arguments.steps)
    own, outside = ([], [arguments.algo]) if arguments.algo else ([arguments.name], [])
    cells = select_cells(benchmark, own, [arguments.env], arguments.seed + 1, outside)
    references = json.loads(arguments.references.read_text("utf-8"))
    cell = cells[-1]
    lock = cell.folder(arguments.runs).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):  # who comes second waits for the first, and finds its result
        if not cell.result(arguments.results).exists():
            run_cell(cell, benchmark, arguments.runs, arguments.results, references)
    return 0


if __name__ == "__main__":
    sys.exit(main())
