"""Numbers that no algorithm can learn with are refused before a run begins, and weights that are none end it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edge_experts.agents.checkpoints.metadata import checkpoints_of
from edge_experts.agents.errors import SetupError, TrainingError
from edge_experts.agents.job import Job, train

WRONG: dict[str, tuple[Any, str]] = {
    "minibatch_size": (0, "config.minibatch_size: 0 must be a whole number of 1 or more"),
    "num_epochs": (2.5, "config.num_epochs: 2.5 must be a whole number"),
    "num_envs_per_env_runner": (0, "config.num_envs_per_env_runner: 0 must be a whole number of 1 or more"),
    "train_batch_size_per_learner": (True, "config.train_batch_size_per_learner: True must be a whole number"),
    "num_learners": (-1, "config.num_learners: -1 must be a whole number of 0 or more"),
    "gamma": (7, "config.gamma: 7 must be a number between 0 and 1"),
    "lambda_": ("x", "config.lambda_: 'x' must be a number"),
    "clip_param": (-0.1, "config.clip_param: -0.1 must be a number of 0 or more"),
    "vf_loss_coeff": (float("nan"), "config.vf_loss_coeff: nan must be a number of 0 or more"),
    "num_gpus_per_learner": (
        99,
        "config.num_gpus_per_learner: 99 is more than the [0-9]+ GPUs of this machine: give 0",
    ),
    "num_gpus_per_env_runner": (-1, "config.num_gpus_per_env_runner: -1 must be a number of 0 or more"),
    "lr": (-1, "config.lr: -1 must be 0 or more, or a list of"),
    "entropy_coeff": ([[0, 0.1], [100, "much"]], "config.entropy_coeff: .* must be 0 or more, or a list of"),
}


@pytest.mark.parametrize("name", WRONG)
def test_settings_that_nobody_can_learn_with(name: str, tmp_path: Path) -> None:
    value, message = WRONG[name]
    with pytest.raises(SetupError, match=message):
        train(Job(algo="PPO", env="netmoe-v1", config={name: value}, stop={"env_steps": 9}, local_dir=tmp_path))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ".."}, "--name: '..' must be a plain name"),
        ({"name": "a/b"}, "--name: 'a/b' must be a plain name"),
        ({"name": ""}, "--name: '' must be a plain name"),
        ({"resume": True, "restore": Path("zoo:text")}, "--resume: goes on with a run, and --restore begins a new one"),
    ],
)
def test_runs_that_have_no_folder_of_their_own(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=message):
        train(Job(algo="PPO", env="netmoe-v1", stop={"env_steps": 9}, local_dir=tmp_path / "runs", **options))
    assert not any(tmp_path.iterdir())


def test_weights_that_are_not_finite_end_a_run(tmp_path: Path, ray_here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.rllib.algorithms.algorithm import Algorithm

    learn = Algorithm.train

    def spoil(algorithm: Algorithm) -> Any:
        result = learn(algorithm)
        if algorithm.iteration == 2:
            next(algorithm.learner_group._learner.module["user"].parameters()).data.fill_(torch.nan)
        return result

    monkeypatch.setattr(Algorithm, "train", spoil)
    job = Job(
        algo="PPO",
        env="netmoe-v1",
        config={"train_batch_size_per_learner": 32, "num_envs_per_env_runner": 8, "minibatch_size": 16},
        stop={"training_iteration": 4},
        checkpoint_freq=1,
        local_dir=tmp_path,
        name="spoilt",
    )
    with pytest.raises(
        TrainingError, match=r"are not finite after iteration 2: .* last checkpoint: .*checkpoint_000001"
    ):
        train(job)
    assert [c.name for c in checkpoints_of(tmp_path / "spoilt")] == ["checkpoint_000001"]
