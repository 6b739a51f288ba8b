"""Write files and folders so that nothing half-written is left behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_target(path: Path) -> None:
    """See that a file or a folder can be put where it is to go.

    Raises:
        ValueError: if its folder does not exist, or what is there is neither a file nor a folder, as a device.
    """
    if not path.parent.is_dir():
        raise ValueError(f"output: there is no folder '{path.parent}'; create it first")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"output: '{path}' is not a regular file, and is left alone; take another name")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write a file or a folder under, which takes the place of `path` when the block ends.

    If the block fails, what it wrote is removed and `path` stays as it was. The name has the ending of `path`, by
    which many writers choose a format.

    Raises:
        ValueError: as `check_target` says.
    """
    check_target(path)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    _remove(part)
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        _remove(part)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        ValueError: if its folder does not exist.
    """
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
