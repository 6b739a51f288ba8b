"""Trained policies to give away: a checkpoint without what only its own run needs, the zoo, and where runs begin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE

from edge_experts.envs.io.atomic import replacing, write_text
from edge_experts.envs.io.suggestions import did_you_mean

from ..algorithms.mappo import CRITIC
from ..errors import CheckpointError
from ..policy_mapping import policy_of
from .manifest import write_manifest
from .metadata import DESCRIPTION, VERSION, is_exported, parse_description
from .modules import read_modules, save_modules, settings_of_modules

ZOO = "zoo:"  # before the name of a shipped policy


def export_policy(
    modules: Mapping[str, Any], description: Mapping[str, Any], folder: Path, notes: Mapping[str, Any]
) -> None:
    """Write trained policies as tensors and JSON.

    Args:
        modules: Networks by the policy, or the policy and market, that they play; a central critic is left out.
        description: Of the checkpoint, see `metadata.describe_checkpoint`.
        folder: Where to; made anew.
        notes: What else is to be said of them, as how they were trained.

    Raises:
        CheckpointError: if a network cannot be written so.
    """
    kept: dict[str, Any] = {}
    for name, module in modules.items():
        if name != CRITIC:
            kept.setdefault(policy_of(name), module)  # of several markets all have the same weights
    with replacing(folder) as part:
        part.mkdir()
        try:
            save_modules(kept, part)
        except TypeError as error:
            raise CheckpointError(f"checkpoint: its networks cannot be written as plain data: {error}") from None
        about = {**description, "version": VERSION, **notes}
        write_text(part / DESCRIPTION, json.dumps(about, indent=1) + "\n")
        write_manifest(part)


def check_fits(folder: Path, config: Any, option: str) -> None:
    """See that a run can begin from a checkpoint or an export.

    Args:
        folder: Which.
        config: Of the run.
        option: Of the command line that names it, for messages.

    Raises:
        CheckpointError: naming the setting in which they differ, both values and the fix.
    """
    included: Mapping[str, Any] = getattr(config, "_model_config_auto_includes", {})
    for policy, settings in settings_of_modules(folder).items():
        for name, value in settings.items():
            mine = included.get(name)
            mine = list(mine) if isinstance(mine, tuple) else mine
            if name in included and mine != value and policy != CRITIC:
                raise CheckpointError(
                    f"{option}: '{folder.name}' has {name} = {json.dumps(value)} in its '{policy}', the run "
                    f"{json.dumps(mine)}: add --config '{json.dumps({name: value})}'"
                )


def check_same_run(folder: Path, config: Any) -> None:
    """See that a run that goes on is the one that was begun; its checkpoint was found to be whole.

    Raises:
        CheckpointError: naming what differs: algorithm, environment, its settings, who shares a policy, or a network.
    """
    about = parse_description(folder)
    mapping = config.policy_mapping_fn if config.is_multi_agent else None
    now = {
        "algo": config.algo_class.__name__,
        "env": config.env if isinstance(config.env, str) else None,
        "markets": [*getattr(config, "markets", ())],
        "env_config": json.loads(json.dumps(dict(config.env_config), default=str)),
        "policies": getattr(mapping, "scheme", None),
    }
    for name, value in now.items():
        if about.get(name) != value:
            raise CheckpointError(
                f"--resume: the run was begun with {name} = {json.dumps(about.get(name))}, not {json.dumps(value)}: "
                "give what it was begun with, or begin a new one with --restore"
            )
    check_fits(folder, config, "--resume")


def begin_from(algorithm: Any, folder: Path, trust: bool = False) -> None:
    """Put the weights of a checkpoint or an export into an algorithm that has just been built.

    Raises:
        CheckpointError: if it has none for one of the policies, or they do not fit.
    """
    known: dict[str, Any] = {}
    for name, module in read_modules(folder, trust).items():
        known.setdefault(policy_of(name), module)
    states = {}
    for name in algorithm.config.policies:
        if name == CRITIC:
            continue
        policy = policy_of(name)
        found = known.get(policy) or known.get(policy.rpartition("_")[0])  # of a role, for each of its agents
        if found is None:
            raise CheckpointError(f"--restore: '{folder.name}' has no policy '{policy}'; it has {', '.join(known)}")
        states[name] = found.state_dict()
    try:
        algorithm.learner_group.set_state({COMPONENT_LEARNER: {COMPONENT_RL_MODULE: states}})
    except RuntimeError as error:
        raise CheckpointError(
            f"--restore: '{folder.name}' was trained with other networks or another environment than "
            f"{algorithm.config.env}: {str(error).splitlines()[-1].strip()}"
        ) from None
    algorithm.env_runner_group.sync_weights(
        from_worker_or_learner_group=algorithm.learner_group, policies=list(states), inference_only=False
    )


def zoo() -> dict[str, Path]:
    """The shipped policies: folders by name."""
    root = Path(str(resources.files("edge_experts.results") / "zoo"))
    return {folder.name: folder for folder in sorted(root.iterdir()) if is_exported(folder)} if root.is_dir() else {}


def located(given: str | Path) -> Path:
    """The folder of a checkpoint, an export, or `zoo:NAME`.

    Raises:
        CheckpointError: if there is no policy of that name in the zoo, with the nearest one.
    """
    text = str(given)
    if not text.startswith(ZOO):
        return Path(given)
    name, known = text.removeprefix(ZOO), zoo()
    if name not in known:
        raise CheckpointError(f"{text}: is not in the zoo; {did_you_mean(name, known, 'see: edge-experts zoo')}")
    return known[name]
