"""Networks as tensors and JSON: what they are, how they are built, and their weights. Reading them runs no code.

A network's class is imported only from this package and from RLlib, unless whoever reads it trusts who wrote it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.rllib.core.models.catalog import Catalog
from ray.rllib.core.rl_module.apis import TargetNetworkAPI
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModule
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from edge_experts.envs.io.strict_json import parse_json

from ..errors import CheckpointError
from ..policy_mapping import policy_of
from .spaces import space_from_json, space_to_json

WEIGHTS, MODULES = "weights.safetensors", "modules.json"
TRUSTED = ("edge_experts.", "ray.rllib.")  # packages that networks are imported from


def save_modules(modules: Mapping[str, Any], folder: Path) -> None:
    """Write networks into a folder.

    Args:
        modules: RLModules by name; those of one policy on several markets (`policy@market`) have the same weights,
            which are written once.
        folder: Where to.

    Raises:
        TypeError: if one has a space or a setting that has no plain form.
    """
    said: dict[str, Any] = {}
    tensors: dict[str, Any] = {}
    for name, module in modules.items():
        module = module.unwrapped()
        policy = policy_of(name)
        if not any(policy_of(other) == policy for other in said):
            tensors |= {f"{policy}/{key}": value.clone().contiguous() for key, value in module.state_dict().items()}
        said[name] = _describe(module)
    text = json.dumps(said)  # fails here before anything is written
    save_file(tensors, folder / WEIGHTS)
    (folder / MODULES).write_text(text + "\n", encoding="utf-8")


def sha256_of_weights(folder: Path) -> str:
    """SHA-256 of the weights, which are the same bytes in a checkpoint and in its export."""
    with open(folder / WEIGHTS, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_modules(folder: Path) -> bool:
    """Whether a folder holds what `save_modules` wrote."""
    return (folder / MODULES).is_file() and (folder / WEIGHTS).is_file()


def read_modules(folder: Path, trust: bool = False) -> dict[str, Any]:
    """The networks in a folder, by name, ready to play.

    Args:
        folder: Of a checkpoint or an export.
        trust: Import the classes of networks from wherever they are.

    Raises:
        CheckpointError: if a network cannot be built, or its tensors are missing or of another form.
    """
    said = _said(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint: '{folder}' cannot be read: {error}") from None
    return {name: _build(folder, name, about, tensors, trust) for name, about in said.items()}


def add_targets(module: Any, state: Mapping[str, Any]) -> None:
    """Give a network target networks, which only learners have, where a state that it is to take has them."""
    if isinstance(module, TargetNetworkAPI) and not state.keys() <= module.state_dict().keys():
        module.make_target_networks()


def settings_of_modules(folder: Path) -> dict[str, dict[str, Any]]:
    """The `model_config` that the networks in a folder were built with, by name.

    Raises:
        CheckpointError: if that cannot be read.
    """
    try:
        return {name: dict(about["model_config"]) for name, about in _said(folder).items()}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint: '{folder / MODULES}' cannot be read: {error}") from None


def _said(folder: Path) -> dict[str, Any]:
    """The descriptions of networks, by name."""
    try:
        said = parse_json((folder / MODULES).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint: '{folder}' cannot be read: {error}") from None
    if not isinstance(said, dict) or not said:
        raise CheckpointError(f"checkpoint: '{folder / MODULES}' is damaged: it describes no network")
    return said


def _describe(module: Any) -> dict[str, Any]:
    settings, catalog = module.model_config, getattr(module, "catalog", None)
    is_plain = not dataclasses.is_dataclass(settings)
    return {
        "class": _reference(type(module)),
        "observation_space": space_to_json(module.observation_space),
        "action_space": space_to_json(module.action_space),
        "inference_only": bool(module.inference_only),
        "model_config": dict(settings or {}) if is_plain else dataclasses.asdict(settings),
        "model_config_class": None if is_plain else _reference(type(settings)),
        "catalog": None if catalog is None else _reference(type(catalog)),
    }


def _reference(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _build(folder: Path, name: str, said: Any, tensors: Mapping[str, Any], trust: bool) -> Any:
    try:
        kind = _found(said["class"], RLModule, trust)
        settings = said["model_config"]
        if said.get("model_config_class") is not None:
            settings = _found(said["model_config_class"], DefaultModelConfig, trust)(**settings)
        catalog = {} if said.get("catalog") is None else {"catalog_class": _found(said["catalog"], Catalog, trust)}
        module = kind(
            observation_space=space_from_json(said["observation_space"]),
            action_space=space_from_json(said["action_space"]),
            inference_only=bool(said["inference_only"]),
            model_config=settings,
            **catalog,
        )
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint: '{folder}': {name}: {error}") from None
    except Exception as error:  # whatever a network makes of a description that somebody else wrote
        raise CheckpointError(
            f"checkpoint: '{folder / MODULES}': '{name}' cannot be built: {type(error).__name__}: {error}"
        ) from None
    prefix = f"{policy_of(name)}/"
    own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    add_targets(module, own)
    wanted = module.state_dict()
    for key in sorted(wanted.keys() ^ own.keys()):
        raise CheckpointError(
            f"checkpoint: '{folder / WEIGHTS}' is damaged: '{prefix}{key}' "
            f"{'is missing' if key in wanted else 'belongs to no network'}"
        )
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        raise CheckpointError(f"checkpoint: '{folder / WEIGHTS}' does not fit: {str(error).splitlines()[-1]}") from None
    wrong = [key for key, value in own.items() if value.is_floating_point() and not value.isfinite().all()]
    if wrong:
        raise CheckpointError(f"checkpoint: '{folder / WEIGHTS}': '{prefix}{wrong[0]}' is not finite")
    return module.eval()


def _found(reference: Any, kind: type, trust: bool) -> Any:
    """The class behind `module:name`."""
    place, _, name = str(reference).partition(":")
    if not trust and not place.startswith(TRUSTED):
        raise CheckpointError(
            f"its network '{reference}' is code from elsewhere, which is not run: add --trust if you trust its author"
        )
    try:
        found: Any = importlib.import_module(place)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise CheckpointError(f"its network '{reference}' cannot be imported: {error}") from None
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise CheckpointError(f"'{reference}' is not a {kind.__name__}")
    return found
