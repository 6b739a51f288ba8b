"""Folders of training runs: which one a run gets, and that no two runs write into one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..checkpoints.metadata import checkpoints_of, read_description
from ..checkpoints.weights import located
from ..errors import CheckpointError, SetupError

LOCK = ".lock"


def place(base: Path, resume: bool, restore: Path | None, trust: bool = False) -> tuple[Path, Path | None]:
    """The folder of a run and the checkpoint that it begins from.

    Args:
        base: The folder of the first run of its name; others are numbered.
        resume: Whether the last one goes on.
        restore: A checkpoint to begin a new one from.
        trust: Whoever wrote that.

    Raises:
        SetupError: if there is nothing to resume.
        CheckpointError: if `restore` is no checkpoint.
    """
    taken = sorted(
        (p for p in base.parent.glob(f"{base.name}*") if p.is_dir() and _number(p, base) is not None),
        key=lambda p: _number(p, base) or 0,
    )
    if resume:
        if not taken or not checkpoints_of(taken[-1]):
            raise SetupError(f"--resume: there is no run with a checkpoint under '{base}'; start it without --resume")
        return taken[-1], _newest_whole(taken[-1])
    begun = None if restore is None else located(restore)
    if begun is not None:
        read_description(begun, trust)
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


def _newest_whole(run: Path) -> Path:
    """The newest checkpoint of a run that is not damaged; says which ones are."""
    checkpoints = checkpoints_of(run)
    for checkpoint in reversed(checkpoints):
        try:
            read_description(checkpoint)
        except CheckpointError as error:
            print(f"--resume: {error}", file=sys.stderr)
        else:
            if checkpoint != checkpoints[-1]:
                print(f"--resume: goes on from '{checkpoint}'", file=sys.stderr)
            return checkpoint
    raise SetupError(f"--resume: no checkpoint of '{run}' is whole; start it without --resume")


def _number(path: Path, base: Path) -> int | None:
    """1 for `base` itself, n for `base-n`, None for another name."""
    if path.name == base.name:
        return 1
    rest = path.name.removeprefix(f"{base.name}-")
    return int(rest) if rest.isdigit() and rest != path.name else None
