"""What a checkpoint says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from edge_experts.envs.io.strict_json import parse_json

from ..errors import CheckpointError
from .manifest import MANIFEST, verify
from .modules import has_modules

DESCRIPTION = "edge_experts.json"
VERSION = 2
MODULE = Path("learner_group") / "learner" / "rl_module"  # in the part that RLlib pickles
FIELDS = ("algo", "env", "env_config", "policies")


def describe_checkpoint(
    folder: Path,
    config: AlgorithmConfig,
    row: Mapping[str, Any] | None = None,
    reward: str | None = None,
    credit: str | None = None,
) -> None:
    """Write what must be known to evaluate a checkpoint: algorithm, environment, policies, and how far it got.

    Args:
        folder: The checkpoint.
        config: Of the run.
        row: The newest row of its results.
        reward: What its agents are paid, see `reward.reward_of`.
        credit: What they learn from, see `sampling.credit`.
    """
    mapping = config.policy_mapping_fn if config.is_multi_agent else None
    text = {
        "version": VERSION,
        "algo": config.algo_class.__name__,
        "env": config.env if isinstance(config.env, str) else None,
        "markets": [*getattr(config, "markets", ())],
        "env_config": dict(config.env_config),
        "imitate": getattr(config, "imitate", None),
        "policies": getattr(mapping, "scheme", None),
        "reward": reward,
        "credit": credit,
        "seed": config.seed,
        **{name: (row or {}).get(name) for name in ("env_steps", "time_total_s", "cpu_time_s")},
        "row": row,
    }
    (folder / DESCRIPTION).write_text(json.dumps(text, indent=2, default=str) + "\n", encoding="utf-8")


def read_description(folder: Path, trust: bool = False) -> dict[str, Any]:
    """What a checkpoint or an export says of itself, once all its files were found to be whole.

    Args:
        folder: The checkpoint.
        trust: Take one without a manifest or without networks as plain data, whose pickles are then read.

    Raises:
        CheckpointError: if there is no such checkpoint, it is not one of `rllib train`, or it is damaged.
    """
    file = folder / DESCRIPTION
    if not folder.is_dir():
        raise CheckpointError(f"checkpoint: there is no folder '{folder}'")
    if not file.is_file():
        raise CheckpointError(f"checkpoint: '{folder}' is not a checkpoint of rllib train ({DESCRIPTION} is missing)")
    if (folder / MANIFEST).exists() or not trust:
        verify(folder)
    if not (has_modules(folder) or (trust and (folder / MODULE).is_dir())):
        raise CheckpointError(
            f"checkpoint: '{folder}' holds no networks as plain data, only what RLlib pickled, which may run any code: "
            "add --trust if you trust its author"
        )
    return parse_description(folder, trust)


def parse_description(folder: Path, trust: bool = False) -> dict[str, Any]:
    """The same of a checkpoint that was found to be whole before: its files are not measured again.

    Raises:
        CheckpointError: if the description is damaged, or of another version.
    """
    file = folder / DESCRIPTION
    try:
        about = parse_json(file.read_text("utf-8"))
    except ValueError as error:  # what is no UTF-8, too
        raise CheckpointError(f"checkpoint: '{file}' is damaged: {error}") from None
    if not isinstance(about, dict):
        raise CheckpointError(f"checkpoint: '{file}' is damaged: it holds no description")
    if about.get("version", VERSION if trust else None) != VERSION:
        raise CheckpointError(
            f"checkpoint: '{file}' has version {about.get('version')}, this package reads {VERSION}: write it anew"
        )
    missing = [name for name in FIELDS if name not in about]
    if missing or not isinstance(about["env_config"], dict):
        raise CheckpointError(f"checkpoint: '{file}' is damaged: it lacks {', '.join(missing) or 'env_config'}")
    return about


def is_exported(folder: Path) -> bool:
    """Whether a checkpoint is only for playing: without what RLlib needs to go on with a run."""
    return has_modules(folder) and not (folder / MODULE).is_dir()


def checkpoint_name(iteration: int) -> str:
    """The folder of a checkpoint within its run."""
    return f"checkpoint_{iteration:06d}"


def checkpoints_of(run: Path) -> list[Path]:
    """The complete checkpoints of a run, the oldest first."""
    return sorted(run.glob("checkpoint_" + "[0-9]" * 6))


def latest_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run."""
    found = checkpoints_of(run)
    return found[-1] if found else None
