"""A checkpoint's networks and what it says of itself: the one place where they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule

from ..errors import CheckpointError
from .metadata import MODULE, read_description
from .modules import has_modules, read_modules


def load_checkpoint(folder: Path, trust: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """The description and the networks, by name, of a checkpoint or an export; runs none of its author's code.

    Args:
        folder: Which.
        trust: Its author: import networks from elsewhere, and read what RLlib pickled where there is nothing else.

    Raises:
        CheckpointError: if it is none, damaged, or needs trust.
    """
    about = read_description(folder, trust)
    return about, read_modules(folder, trust) if has_modules(folder) else _unpickled(folder)


def _unpickled(folder: Path) -> dict[str, Any]:
    """Networks as RLlib saves them. A module that lacks its weights would play with random ones."""
    place = folder / MODULE
    bare = [path.name for path in place.iterdir() if path.is_dir() and not any(path.glob("module_state*"))]
    if bare:
        raise CheckpointError(f"checkpoint: '{folder}' is damaged: it holds no weights of '{min(bare)}'")
    try:
        return dict(MultiRLModule.from_checkpoint(str(place.resolve())).items())
    except Exception as error:  # whatever a damaged file raises
        raise CheckpointError(f"checkpoint: '{folder}' cannot be read: {type(error).__name__}: {error}") from None
