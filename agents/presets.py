"""Short ways to say a run: shipped presets by name, and settings as `lr=3e-4` after the command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from edge_experts.envs.io.suggestions import did_you_mean
from edge_experts.envs.scenario import field_docs

from .errors import SetupError

SETTING = re.compile(r"[A-Za-z_][\w.]*=.*", re.DOTALL)
SHARED = ("__init__", "common")  # files beside the presets that are none


def presets() -> dict[str, Path]:
    """The files of the shipped presets, by name."""
    files = (Path(str(file)) for file in resources.files("edge_experts.configs.train").iterdir())
    return {file.stem: file for file in sorted(files) if file.suffix == ".py" and file.stem not in SHARED}


def preset_of(algo: str) -> Path | None:
    """The file of the shipped preset of an algorithm, as `moe_ppo.py` for `MoEPPO`; `None` where there is none."""
    return next((file for name, file in presets().items() if name.replace("_", "") == algo.lower()), None)


def gather(words: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """The words of a command with settings that stand anywhere behind its first word moved right behind that.

    Args:
        words: As `["train", "ppo", "--env", "text-v1", "lr=3e-4"]`.
        parser: Of the command, to tell a setting from the value of an option, as in `--set devices.count=3`.
    """
    flags = {name for action in parser._actions if action.nargs == 0 for name in action.option_strings}
    moved: list[str] = []
    kept = list(words[:1])
    for before, word in pairwise(words):
        is_value = before.startswith("-") and "=" not in before and before not in flags
        (moved if SETTING.fullmatch(word) and not is_value else kept).append(word)
    options = next((i for i, word in enumerate(kept) if word.startswith("-")), len(kept))
    return [*kept[:options], *moved, *kept[options:]]


def read_words(words: Sequence[str]) -> tuple[Path | None, dict[str, Any]]:
    """What stands behind `rllib train`: a preset's name or `file PATH`, then settings.

    Returns:
        The file that says what to train, if one is named, and the settings.

    Raises:
        SetupError: for words that are neither, and settings that are fields of a scenario.
    """
    named = [word for word in words if not SETTING.fullmatch(word)]
    settings = dict(_setting(word) for word in words if SETTING.fullmatch(word))
    if not named:
        return None, settings
    if len(named) == 2 and named[0] == "file":
        return Path(named[1]), settings
    if len(named) == 1 and named[0] in presets():
        return presets()[named[0]], settings
    hint = did_you_mean(named[0], ["file", *presets()], f"presets are {', '.join(presets())}")
    raise SetupError(
        f"train: {' '.join(named)!r} is not understood; write: rllib train PRESET, rllib train file X.py, or "
        f"--algo NAME --env ID; {hint}"
    )


def _setting(word: str) -> tuple[str, Any]:
    name, _, text = word.partition("=")
    if name in {field for field, _ in field_docs()}:
        raise SetupError(f"{name}: is a field of the scenario; write --set {word}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SetupError(f"{name}: {text!r} is not valid YAML; put a text with : or brackets in quotes") from None
    try:
        return name, float(value) if isinstance(value, str) else value  # 3e-4, which YAML takes for a text
    except ValueError:
        return name, value
