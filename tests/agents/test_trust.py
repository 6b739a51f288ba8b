"""Nothing of a stranger's checkpoint is run or imported, and what is damaged is never played."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from edge_experts.agents.algorithms.ppo import MaskedPPOConfig
from edge_experts.agents.checkpoints.manifest import MANIFEST, write_manifest
from edge_experts.agents.checkpoints.metadata import DESCRIPTION, MODULE, checkpoints_of, read_description
from edge_experts.agents.checkpoints.modules import MODULES, WEIGHTS, read_modules
from edge_experts.agents.checkpoints.policy import CheckpointPolicy
from edge_experts.agents.checkpoints.spaces import space_from_json, space_to_json
from edge_experts.agents.cli import main as rllib
from edge_experts.agents.errors import CheckpointError, TrainingError
from edge_experts.agents.job import Job, train
from edge_experts.agents.launch.results import read_rows
from edge_experts.agents.training import PATIENCE, STEPS, Run
from edge_experts.baselines.cli import main as edge_experts
from edge_experts.envs.io.import_string import LoadError, load_object, without_imports

ENV = "edge_experts/text-v1"
SMALL: dict[str, Any] = {
    "train_batch_size_per_learner": 48,
    "minibatch_size": 24,
    "num_epochs": 1,
    "num_envs_per_env_runner": 4,
    "num_env_runners": 0,
    "hidden": [8, 8],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any, end_of_ray: None) -> Path:
    folder = tmp_path_factory.mktemp("trust")
    job = Job(algo="PPO", env=ENV, config=SMALL, stop={"training_iteration": 2}, seed=0, name="job", checkpoint_freq=1)
    here = Path.cwd()
    os.chdir(folder)
    try:
        train(job)
    finally:
        os.chdir(here)
    return folder / "runs" / "job"


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run of one's own to damage."""
    shutil.copytree(run, tmp_path / "runs" / "job")
    return tmp_path / "runs" / "job"


class Canary:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


@pytest.fixture
def evil(copy: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A stranger's checkpoint all of whose pickles leave a trace when they are read, and the trace."""
    checkpoint, trace = checkpoints_of(copy)[-1], tmp_path / "trace"
    for file in checkpoint.rglob("*.pkl"):
        file.write_bytes(pickle.dumps(Canary(trace)))
    write_manifest(checkpoint)
    return checkpoint, trace


def test_no_command_unpickles_a_strangers_checkpoint(evil: tuple[Path, Path], tmp_path: Path, ray_here: Any) -> None:
    checkpoint, trace = evil
    assert list(checkpoint.rglob("*.pkl")), "RLlib's part is there"
    assert rllib(["evaluate", str(checkpoint), "--episodes", "1"]) == 0
    assert edge_experts(["evaluate", str(checkpoint), "--env", ENV, "--episodes", "2"]) == 0
    assert edge_experts(["play", ENV, "--policy", str(checkpoint), "--slots", "1"]) == 0
    assert edge_experts(["export", str(checkpoint), "--save", str(tmp_path / "x"), "--episodes", "2"]) == 0
    train(
        Job(
            algo="PPO",
            env=ENV,
            config=SMALL,
            restore=checkpoint,
            stop={"training_iteration": 1},
            local_dir=tmp_path / "other",
        )
    )
    assert not trace.exists()
    (checkpoint / MODULES).unlink()  # without the plain part there is nothing to play
    write_manifest(checkpoint)
    with pytest.raises(CheckpointError, match="holds no networks as plain data, only what RLlib pickled.*add --trust"):
        CheckpointPolicy(checkpoint)
    assert not trace.exists()
    with pytest.raises(CheckpointError, match="cannot be read"):
        CheckpointPolicy(checkpoint, trust=True)
    assert trace.exists(), "the canary sings"


def test_a_dashboard_runs_nothing_of_the_run_it_shows(evil: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    checkpoint, trace = evil
    about = json.loads((checkpoint / DESCRIPTION).read_text())
    code = tmp_path / "evil.py"
    code.write_text(f"from pathlib import Path\nPath({str(trace)!r}).touch()\n")
    for env, overrides in ((f"{code}:Env", {}), (ENV, {"requests.rule": f"{code}:rule"})):
        changed = {**about, "env": env, "env_config": {"overrides": overrides}}
        (checkpoint / DESCRIPTION).write_text(json.dumps(changed))
        write_manifest(checkpoint)
        page = tmp_path / "page.html"
        assert edge_experts(["dashboard", str(checkpoint.parent), "--html", str(page)]) == 0
        page.unlink()
        assert rllib(["evaluate", str(checkpoint), "--episodes", "1"]) == 2
    assert not trace.exists()


@pytest.mark.parametrize("part", [WEIGHTS, MODULES, DESCRIPTION, str(MODULE / "user" / "module_state.pkl")])
def test_what_was_changed_or_lost_is_found_by_every_command(copy: Path, part: str, capsys: Any) -> None:
    checkpoint = checkpoints_of(copy)[-1]
    file = next(checkpoint.glob(part), None) or next(checkpoint.rglob("module_state*"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    commands = [
        (rllib, ["evaluate", str(checkpoint)]),
        (edge_experts, ["evaluate", str(checkpoint), "--env", ENV]),
        (edge_experts, ["play", ENV, "--policy", str(checkpoint)]),
        (rllib, ["train", "--algo", "PPO", "--env", ENV, "--restore", str(checkpoint), "--stop", '{"env_steps": 1}']),
    ]
    for command, words in commands:
        assert command(words) == 2, words
        assert f"'{file.relative_to(checkpoint).as_posix()}' was changed" in capsys.readouterr().err
    file.unlink()
    with pytest.raises(CheckpointError, match="is missing|holds no"):
        read_description(checkpoint)
    file.write_bytes(content)
    (checkpoint / "extra.pkl").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"'extra.pkl' is not of it"):
        read_description(checkpoint)
    (checkpoint / "extra.pkl").unlink()
    (checkpoint / MANIFEST).unlink()
    with pytest.raises(CheckpointError, match="has no manifest.json"):
        read_description(checkpoint)


def test_a_run_goes_on_from_its_newest_whole_checkpoint(copy: Path, ray_here: Any, capsys: Any) -> None:
    shutil.copytree(checkpoints_of(copy)[-1], copy / "checkpoint_000003")
    (copy / "checkpoint_000003" / WEIGHTS).write_bytes(b"torn")
    rows = (copy / "results.jsonl").read_bytes()
    (copy / "results.jsonl").write_bytes(rows[:-20])  # the second row, of which the checkpoint has a copy
    job = Job(
        algo="PPO", env=ENV, config=SMALL, seed=0, name="job", local_dir=copy.parent, resume=True, checkpoint_freq=1
    )
    done = train(Job(**{**vars(job), "stop": {"training_iteration": 4}}))
    said = capsys.readouterr().err
    assert f"'{WEIGHTS}' was changed" in said and "goes on from" in said and "results.jsonl' is torn" in said
    assert [row["training_iteration"] for row in done.rows] == [1, 2, 3, 4]
    assert [row["training_iteration"] for row in read_rows(copy / "results.jsonl")] == [1, 2, 3, 4]
    names = [checkpoint.name for checkpoint in checkpoints_of(copy)]
    assert names == [f"checkpoint_00000{i}" for i in (1, 2, 3, 4)]
    for checkpoint in checkpoints_of(copy):
        read_description(checkpoint)  # the damaged one was done again
    assert list(copy.glob("damaged_checkpoint_000003_*"))


def test_tensorboard_forgets_what_is_done_again(copy: Path, ray_here: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shutil.rmtree(copy / "checkpoint_000002")
    job = Job(algo="PPO", env=ENV, config=SMALL, seed=0, name="job", local_dir=copy.parent, resume=True)
    done = train(Job(**{**vars(job), "stop": {"training_iteration": 3}}))
    events = EventAccumulator(str(copy))
    events.Reload()
    steps = [event.step for event in events.Scalars("num_env_steps_sampled_lifetime")]
    assert steps == [row["env_steps"] for row in done.rows] and len(steps) == 3


def test_iterations_without_a_sample_are_not_counted(tmp_path: Path) -> None:
    run = Run(MaskedPPOConfig().environment(ENV).env_runners(num_env_runners=1), {}, tmp_path)
    algorithm = SimpleNamespace(_iteration=5)
    assert not run._is_empty(algorithm, {STEPS: 10})
    run.rows.append({"env_steps": 10})
    for _ in range(PATIENCE):
        algorithm._iteration += 1
        assert run._is_empty(algorithm, {STEPS: 10}) and algorithm._iteration == 5
    with pytest.raises(TrainingError, match="no sampling process has answered for 20 iterations; .*: none"):
        run._is_empty(algorithm, {STEPS: 10})
    assert not run._is_empty(algorithm, {STEPS: 11})


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """A disk of 400 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True)
    if made.returncode:
        pytest.skip("only root may make a tiny disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_ends_a_run_with_its_last_checkpoint_whole(tiny: Path, ray_here: Any) -> None:
    job = Job(algo="PPO", env="edge_experts/netmoe-v1", config=SMALL, seed=0, name="job", local_dir=tiny)
    job = Job(**{**vars(job), "checkpoint_freq": 1, "stop": {"training_iteration": 50}})
    with pytest.raises(TrainingError, match="No space left on device.*; last checkpoint: .*checkpoint_0.*--resume"):
        train(job)
    names = [checkpoint.name for checkpoint in checkpoints_of(tiny / "job")]
    assert names and not list((tiny / "job").glob(".*.part*"))
    for checkpoint in checkpoints_of(tiny / "job"):
        read_description(checkpoint)
    assert subprocess.run(["mount", "-o", "remount,size=4m", str(tiny)]).returncode == 0
    again = train(Job(**{**vars(job), "resume": True, "stop": {"training_iteration": len(names) + 2}}))
    assert [row["training_iteration"] for row in again.rows] == list(range(1, len(names) + 3))


def test_rows_before_the_last_must_be_whole(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    good = (
        '{"training_iteration": 1, "env_steps": 5, "time_total_s": 1, "cpu_time_s": 1, "episode_return_mean": null}\n'
    )
    for bad in ("{", "[]", good.replace("5", "NaN"), good.replace("5", "-5"), '{"env_steps": 1}'):
        file.write_text(good + bad.strip() + "\n" + good)
        with pytest.raises(ValueError, match="line 2 is damaged: .*take that line out"):
            read_rows(file)
        file.write_text(good + bad.strip())
        assert len(read_rows(file)) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"algo": "MoEPPO"}, 'begun with algo = "MaskedPPO", not "MoEPPO"'),
        ({"env": "edge_experts/video-v1"}, 'begun with env = "edge_experts/text-v1", not "edge_experts/video-v1"'),
        ({"overrides": {"devices.count": 12}}, r"begun with env_config = \{.*\}, not \{.*12.*\}"),
        ({"policies": "independent"}, 'begun with policies = "per_role", not "independent"'),
        ({"config": {**SMALL, "hidden": [8, 9]}}, r"has hidden = \[8, 8\] in its '\w+', the run \[8, 9\]"),
    ],
)
def test_another_run_does_not_go_on(copy: Path, change: dict[str, Any], said: str) -> None:
    job = {"algo": "PPO", "env": ENV, "config": SMALL, "name": "job", "local_dir": copy.parent, "resume": True}
    with pytest.raises(CheckpointError, match=said):
        train(Job(**{**job, "stop": {"training_iteration": 3}, **change}))


def test_whose_network_comes_from_elsewhere_is_imported_with_trust_only(
    copy: Path, tmp_path: Path, monkeypatch: Any, ray_here: Any
) -> None:
    checkpoint = checkpoints_of(copy)[-1]
    code = (
        "from edge_experts.agents.networks.actor_critic import MixtureActorCritic\nclass Net(MixtureActorCritic): ...\n"
    )
    (tmp_path / "their_nets.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    said = json.loads((checkpoint / MODULES).read_text())
    said["user"]["class"] = "their_nets:Net"
    (checkpoint / MODULES).write_text(json.dumps(said))
    write_manifest(checkpoint)
    with pytest.raises(CheckpointError, match="'their_nets:Net' is code from elsewhere"):
        read_modules(checkpoint)
    assert type(read_modules(checkpoint, trust=True)["user"]).__name__ == "Net"
    shutil.rmtree(checkpoint / MODULE.parts[0])  # as an export, whose weights a run may begin from
    write_manifest(checkpoint)
    job = {"algo": "PPO", "env": ENV, "config": SMALL, "restore": checkpoint, "local_dir": tmp_path / "new"}
    with pytest.raises(CheckpointError, match="'their_nets:Net' is code from elsewhere"):
        train(Job(**job, stop={"training_iteration": 1}))
    assert train(Job(**job, stop={"training_iteration": 1}, trust=True)).rows


def test_references_are_not_followed_where_somebody_else_wrote_them(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("value = 1\n")
    mine = f"{tmp_path}/code.py:value"
    with without_imports("checkpoint 'x'", but=mine):
        assert load_object(mine) == 1
        with pytest.raises(LoadError, match="checkpoint 'x' names 'os:getcwd', whose code would be run: add --trust"):
            load_object("os:getcwd")
    assert load_object("os:getcwd") is os.getcwd


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-np.inf, np.inf, (3,), np.float32),
        spaces.Box(np.array([0.0, -np.inf], np.float64), np.array([1.5, 2.0]), dtype=np.float64),
        spaces.Box(0, 255, (2, 3), np.uint8),
        spaces.Discrete(5, start=-2),
        spaces.MultiDiscrete([3, 4, 5]),
        spaces.MultiBinary((2, 2)),
        spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(4)])}),
    ],
)
def test_spaces_come_back_from_json(space: gymnasium.Space[Any]) -> None:
    again = space_from_json(json.loads(json.dumps(space_to_json(space), allow_nan=False)))
    assert again == space and again.dtype == space.dtype
    with pytest.raises(TypeError, match="a space of kind Text"):
        space_to_json(spaces.Text(3))
