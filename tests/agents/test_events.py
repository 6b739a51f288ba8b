"""Numbers and pictures of a run: TensorBoard's, other loggers', and callbacks that are not heard."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from ray.rllib.callbacks.callbacks import RLlibCallback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from edge_experts.agents import MaskedPPOConfig, set_up
from edge_experts.agents.errors import SetupError
from edge_experts.agents.job import Job, train
from edge_experts.agents.launch.events import Events, check_logger
from edge_experts.agents.launch.settings import describe, unheard_callbacks

SMALL = {"num_envs_per_env_runner": 4, "train_batch_size_per_learner": 80, "minibatch_size": 40, "num_epochs": 1}


class Noted:
    """In place of a Weights & Biases run."""

    def __init__(self) -> None:
        self.rows: list[tuple[dict[str, Any], int]] = []
        self.is_finished = False

    def log(self, values: dict[str, Any], step: int) -> None:
        self.rows.append((values, step))

    def finish(self) -> None:
        self.is_finished = True


def events_of(folder: Path) -> EventAccumulator:
    seen = EventAccumulator(str(folder), size_guidance={"images": 0})
    seen.Reload()
    return seen


def test_a_mixture_shows_its_settings_and_its_routers(
    ray_here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, asked = Noted(), []

    def setup(settings: dict[str, Any], **options: Any) -> Noted:
        asked.append((settings, options))
        return noted

    monkeypatch.setattr("ray.air.integrations.wandb.setup_wandb", setup)
    monkeypatch.setattr("edge_experts.agents.job.check_logger", lambda name: None)
    monkeypatch.setattr(
        "edge_experts.agents.launch.events._Wandb.picture", lambda sink, *what: noted.log({"png": what}, 0)
    )
    job = Job(algo="MoEPPO", env="text-v1", config={**SMALL, "hidden": [8, 8]}, overrides={"episode.slots": 6})
    run = train(Job(**{**vars(job), "stop": {"training_iteration": 2}, "local_dir": tmp_path, "logger": "wandb"}))
    seen = events_of(run.folder)
    tag = "_hparams_/session_start_info"
    content = seen.SummaryMetadata(tag).plugin_data.content
    told = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert told["algorithm"].string_value == "MoEPPO" and told["train_batch_size_per_learner"].number_value == 80
    assert told["network"].string_value == "entities" and told["runner"].string_value == "batched"
    pictures = {name: seen.Images(name)[0] for name in seen.Tags()["images"]}
    assert set(pictures) == {"router/user", "router/provider"} & set(pictures) and "router/user" in pictures
    file = (run.folder / "router_user.png").read_bytes()
    assert pictures["router/user"].encoded_image_string == file
    assert pictures["router/user"].width == int.from_bytes(file[16:20], "big") > 100
    ((settings, options),) = asked
    assert settings["algorithm"] == "MoEPPO" and options["trial_name"] == run.folder.name and noted.is_finished
    steps = [step for values, step in noted.rows if "png" not in values]
    assert steps == [row["env_steps"] for row in run.rows] and any("png" in values for values, _ in noted.rows)
    returns = "env_runners/episode_return_mean"
    known = [row["episode_return_mean"] for row in run.rows if row["episode_return_mean"] is not None]
    assert known and [values[returns] for values, _ in noted.rows if returns in values] == known


def test_a_logger_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--logger: 'comet' is not one of wandb, mlflow"):
        check_logger("comet")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"mlflow is not installed; pip install 'edge-experts\[mlflow\]'"):
        train(Job(algo="PPO", env="text-v1", logger="mlflow", local_dir=tmp_path))
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("edge_experts.agents.launch.events._wandb_key", lambda: None)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(SetupError, match="wandb has no key; run `wandb login`, or set WANDB_MODE=offline"):
        check_logger("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_logger("wandb")


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs MLflow")
def test_mlflow_gets_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", tmp_path.as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (tmp_path / "first").mkdir()
    (tmp_path / "a.png").write_bytes(b"png")
    with Events(tmp_path / "first", {"lr": 0.1, "hidden": (8, 8)}, logger="mlflow") as events:
        events.numbers({"a/b": 1.5}, 10)
    (run,) = mlflow.search_runs(experiment_names=["edge-experts"], output_format="list")
    assert run.data.metrics == {"a/b": 1.5} and run.data.params == {"lr": "0.1", "hidden": "(8, 8)"}


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs Weights & Biases")
def test_weights_and_biases_gets_the_numbers_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "first"
    folder.mkdir()
    with Events(folder, {"lr": 0.1}, logger="wandb") as events:
        events.numbers({"a/b": 1.5}, 10)
        run = importlib.import_module("wandb").run
        assert (run.name, run.project, run.config["lr"]) == ("first", "edge-experts", 0.1)
    assert len(list(folder.glob("wandb/offline-run-*/*.wandb"))) == 1


class Heard(RLlibCallback):
    def on_train_result(self, **kwargs: Any) -> None: ...


class Unheard(Heard):
    def on_episode_end(self, **kwargs: Any) -> None: ...


def test_the_run_says_which_callbacks_are_not_called() -> None:
    def config() -> Any:
        return MaskedPPOConfig().environment("edge_experts/netmoe-v1")

    assert unheard_callbacks(set_up(config().callbacks(Heard))) == []
    told = set_up(config().callbacks([Heard, Unheard]))
    assert unheard_callbacks(told) == ["on_episode_end"]
    line = describe(told, "mine").splitlines()[2]
    assert line.startswith("callbacks   on_episode_end: not called") and "--runner stock" in line
    assert unheard_callbacks(set_up(config().callbacks(on_episode_start=json.dumps))) == ["on_episode_start"]
    assert unheard_callbacks(set_up(config().callbacks(Unheard), runner="stock")) == []
