"""Where compiled code is kept: the user's cache folder, by what it was compiled from, never in the package.

Files of a compiler inside an installed package would stay behind when it is uninstalled, and hide what is installed
next. Under a key of the sources all installations of a user share what one of them has compiled.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import numba
from numba.core import caching
from platformdirs import user_cache_dir

PACKAGE = Path(__file__).parents[1]  # edge_experts.envs
KEPT = 24  # folders; a version of the package has about three
_ours: set[CodeType] = set()


def keep(function: Callable[..., Any]) -> None:
    """Let numba keep the machine code of this function here, once it is asked to cache it."""
    _ours.add(function.__code__)


class UserFolder(caching._CacheLocator):  # type: ignore[misc]
    """Tells numba the folder of a function, and a checksum of its sources.

    Numba only watches the file that a function stands in. The functions it calls live in other files, so the checksum
    is of all of them: an edit of any takes effect at once.
    """

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._py_file, self._line = file, function.__code__.co_firstlineno  # numba reads the first
        self._stamp = _stamp(Path(file).parent)
        package = (function.__module__ or "").rpartition(".")[0] or function.__module__
        self._folder = root() / f"{package}-{self._stamp[:16]}-numba{numba.__version__}"

    def get_cache_path(self) -> str:
        """The folder."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """The checksum."""
        return self._stamp

    def get_disambiguator(self) -> str:
        """The line, which tells functions of one name apart."""
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> UserFolder | None:
        """The place of a function; `None`, so that numba looks elsewhere, if it is none of ours.

        Raises:
            RuntimeError: if the folder cannot be written.
        """
        if py_func.__code__ not in _ours:
            return None
        place = cls(py_func, py_file)
        try:
            _open_folder(place._folder)
            place.ensure_cache_path()
        except OSError as error:
            raise RuntimeError(f"compiled code cannot be kept in {place._folder}: {error}") from None
        return place


caching.CacheImpl._locator_classes = [UserFolder, *caching.CacheImpl._locator_classes]


def root() -> Path:
    """`NUMBA_CACHE_DIR` if that is set, else the user's cache folder, as `~/.cache/edge-experts` on Linux."""
    chosen = numba.config.CACHE_DIR
    return Path(chosen, "edge-experts") if chosen else Path(user_cache_dir("edge-experts", appauthor=False))


@cache
def _open_folder(folder: Path) -> None:
    """Make a folder, or note that it is used; of the others only the last used are left."""
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    others = [(other.stat().st_mtime, other) for other in folder.parent.iterdir() if other != folder]
    for _, old in sorted(others, reverse=True)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


@cache
def _stamp(folder: Path) -> str:
    return fingerprint(folder, PACKAGE)


def fingerprint(*folders: Path) -> str:
    """Checksum of every source file below some folders, the same in every process."""
    digest = hashlib.sha256()
    for file in sorted({file for folder in folders for file in folder.rglob("*.py")}):
        digest.update(file.read_bytes())
    return digest.hexdigest()
