"""Folders of training runs: which one a run gets, and that no two runs write into one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..checkpoints.metadata import latest_checkpoint, read_description
from ..checkpoints.weights import is_exported, located
from ..errors import SetupError

LOCK = ".lock"


def place(base: Path, resume: bool, restore: Path | None) -> tuple[Path, Path | None]:
    """The folder of a run and the checkpoint that it begins from.

    Args:
        base: The folder of the first run of its name; others are numbered.
        resume: Whether the last one goes on.
        restore: A checkpoint to begin a new one from.

    Raises:
        SetupError: if there is nothing to resume.
        CheckpointError: if `restore` is no checkpoint.
    """
    taken = sorted(
        (p for p in base.parent.glob(f"{base.name}*") if p.is_dir() and _number(p, base) is not None),
        key=lambda p: _number(p, base) or 0,
    )
    if resume:
        found = latest_checkpoint(taken[-1]) if taken else None
        if found is None:
            raise SetupError(f"--resume: there is no run with a checkpoint under '{base}'; start it without --resume")
        return taken[-1], found
    begun = None if restore is None else located(restore)
    if begun is not None and not is_exported(begun):
        read_description(begun)
    last = _number(taken[-1], base) if taken else None
    return (base if last is None else base.with_name(f"{base.name}-{last + 1}")), begun


@contextmanager
def held(folder: Path, resume: bool) -> Iterator[Path]:
    """A run's folder while it runs, locked; the system frees it when the process dies.

    Args:
        folder: Its own, or that of a new run, which gets the next number if another process was first.
        resume: Whether it goes on in a folder that is there.

    Raises:
        SetupError: if another process is at work in the folder to resume.
    """
    while not resume:
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            stem, _, number = folder.name.rpartition("-")
            following = f"{stem}-{int(number) + 1}" if stem and number.isdigit() else f"{folder.name}-2"
            folder = folder.with_name(following)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SetupError(f"--resume: another process is training in '{folder}': wait for it, or start anew") from None
    try:
        yield folder
    finally:
        lock.release()


def _number(path: Path, base: Path) -> int | None:
    """1 for `base` itself, n for `base-n`, None for another name."""
    if path.name == base.name:
        return 1
    rest = path.name.removeprefix(f"{base.name}-")
    return int(rest) if rest.isdigit() and rest != path.name else None
