"""Where the numbers and pictures of a run go beside its results: TensorBoard, and Weights & Biases or MLflow."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from ..errors import SetupError

LOGGERS = ("wandb", "mlflow")
PROJECT = "edge-experts"  # of Weights & Biases, or experiment of MLflow, unless its own environment variable names one
SCORE = "normalised_score"


class Sink(Protocol):
    """What takes a run's numbers and pictures."""

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Take numbers by name, after so many environment steps."""

    def picture(self, name: str, file: Path, step: int) -> None:
        """Take a PNG file."""

    def close(self) -> None:
        """Write what is left."""


def check_logger(logger: str | None) -> None:
    """See that a logger can be had.

    Raises:
        SetupError: if it is not installed, or nobody has logged in.
    """
    if logger is None:
        return
    if logger not in LOGGERS:
        raise SetupError(f"--logger: '{logger}' is not one of {', '.join(LOGGERS)}")
    if importlib.util.find_spec(logger) is None:
        raise SetupError(f"--logger: {logger} is not installed; pip install 'edge-experts[{logger}]'")
    if logger == "wandb" and os.environ.get("WANDB_MODE") not in ("offline", "disabled") and not _wandb_key():
        raise SetupError("--logger: wandb has no key; run `wandb login`, or set WANDB_MODE=offline")


def _wandb_key() -> str | None:
    import wandb

    key: str | None = os.environ.get("WANDB_API_KEY") or wandb.api.api_key
    return key


class Events:
    """All sinks of a run; use it in a `with` block.

    Args:
        folder: Of the run.
        settings: Hyperparameters, see `settings.settings_in_force`.
        reached: Environment steps that are kept from before; TensorBoard forgets what comes after them.
        logger: One of `LOGGERS`, if asked for.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], reached: int = 0, logger: str | None = None) -> None:
        plain = {name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in
                 settings.items()}  # fmt: skip
        self._sinks: list[Sink] = [_TensorBoard(folder, plain, reached)]
        if logger is not None:
            self._sinks.append(_Wandb(folder, plain) if logger == "wandb" else _MLflow(folder, plain))

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sink in self._sinks:
            sink.close()

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers by name, after so many environment steps."""
        for sink in self._sinks:
            sink.numbers(values, step)

    def picture(self, name: str, file: Path, step: int) -> None:
        """Write a PNG file."""
        for sink in self._sinks:
            sink.picture(name, file, step)


class _TensorBoard:
    def __init__(self, folder: Path, settings: Mapping[str, Any], reached: int) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        self._writer = SummaryWriter(str(folder), purge_step=reached + 1 if reached else None)
        *described, self._end = hparams(dict(settings), {SCORE: 0.0})  # the metric is a series of its own
        for summary in described:
            self._file.add_summary(summary)

    @property
    def _file(self) -> Any:
        return self._writer._get_file_writer()

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, name: str, file: Path, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        data = file.read_bytes()
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))  # of the PNG header
        image = Summary.Image(encoded_image_string=data, width=width, height=height, colorspace=3)
        self._file.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)

    def close(self) -> None:
        self._file.add_summary(self._end)
        self._writer.close()


class _Wandb:
    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        from ray.air.integrations.wandb import setup_wandb

        project = os.environ.get("WANDB_PROJECT_NAME", PROJECT)
        self._run: Any = setup_wandb(dict(settings), project=project, trial_name=folder.name, dir=str(folder))

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def picture(self, name: str, file: Path, step: int) -> None:
        import wandb

        self._run.log({name: wandb.Image(str(file))}, step=step)

    def close(self) -> None:
        self._run.finish()


class _MLflow:
    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        from ray.air.integrations.mlflow import setup_mlflow

        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        self._mlflow: Any = setup_mlflow(
            dict(settings),
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
            experiment_name=experiment,
            run_name=folder.name,
            create_experiment_if_not_exists=True,
        )

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(values), step=step)

    def picture(self, name: str, file: Path, step: int) -> None:
        self._mlflow.log_artifact(str(file))

    def close(self) -> None:
        self._mlflow.end_run()
