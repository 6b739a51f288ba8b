"""What a checkpoint consists of: a list of its files, by which damage is found before anything is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from edge_experts.envs.io.strict_json import parse_json

from ..errors import CheckpointError

MANIFEST = "manifest.json"
VERSION = 1
REPLAY = "replay"  # folder of what off-policy algorithms replay; only the newest checkpoint of a run keeps it


def write_manifest(folder: Path) -> None:
    """List all files of a folder: size in bytes and SHA-256 by path."""
    about = {"version": VERSION, "files": {name: _measure(folder / name) for name in _files(folder)}}
    (folder / MANIFEST).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def verify(folder: Path) -> None:
    """See that a checkpoint is whole: all files of its manifest, unchanged, and none besides.

    Raises:
        CheckpointError: naming the first file that is missing, changed or not listed.
    """
    listed = _listed(folder)
    there = set(_files(folder))
    replay = {name for name in listed if name.startswith(f"{REPLAY}/")}
    expected = set(listed) - (replay if not (folder / REPLAY).exists() else set())
    for said, names in (("is missing", expected - there), ("is not of it", there - expected)):
        if names:
            raise CheckpointError(
                f"checkpoint: '{folder}' is damaged: '{min(names)}' {said}, by its {MANIFEST}; take another one"
            )
    for name in sorted(expected):
        if _measure(folder / name) != listed[name]:
            raise CheckpointError(f"checkpoint: '{folder}' is damaged: '{name}' was changed; take another one")


def _listed(folder: Path) -> dict[str, Any]:
    try:
        about = parse_json((folder / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"checkpoint: '{folder}' has no {MANIFEST}, so nobody can tell whether it is whole: write it anew"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint: '{folder / MANIFEST}' is damaged: {error}") from None
    if not isinstance(about, dict) or not isinstance(about.get("files"), dict):
        raise CheckpointError(f"checkpoint: '{folder / MANIFEST}' is damaged: it lists no files")
    if about.get("version") != VERSION:
        raise CheckpointError(
            f"checkpoint: '{folder / MANIFEST}' has version {about.get('version')}, this package reads {VERSION}"
        )
    return dict(about["files"])


def _files(folder: Path) -> list[str]:
    """Paths of all files but the manifest itself, in order."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in found if name != MANIFEST)


def _measure(path: Path) -> dict[str, Any]:
    if not path.is_file():  # a pipe or a device has no end
        return {"bytes": -1, "sha256": ""}
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
