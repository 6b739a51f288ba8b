"""How kernel functions are compiled: numba, cached on disk, bit-exact (no fast-math), free of the GIL."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def formula(function: F) -> F:
    """Compile a pure function of numbers, callable from kernels and from Python alike."""
    return njit(nogil=True, error_model="numpy")(function)  # type: ignore[no-any-return]


def jit(function: F) -> F:
    """Compile a part of a kernel; only other compiled functions may call it."""
    return njit(nogil=True, error_model="numpy", no_cpython_wrapper=True)(function)  # type: ignore[no-any-return]


def inline(function: F) -> F:
    """Compile a function into each of its callers: for what numba cannot return, as a tuple that holds a record."""
    return njit(nogil=True, error_model="numpy", inline="always")(function)  # type: ignore[no-any-return]


def entry(function: F) -> F:
    """Compile a function that Python calls, and keep its machine code on disk.

    Numba only watches the file that an entry point stands in. The functions it calls live in other files, so the cache
    is stamped with a checksum of all of them: an edit of any takes effect at once.
    """
    compiled = njit(nogil=True, error_model="numpy", cache=True)(function)
    if hasattr(compiled, "_cache"):  # absent under NUMBA_DISABLE_JIT=1, where functions stay plain Python
        compiled._cache._cache_file._source_stamp = _fingerprint(Path(function.__code__.co_filename).parent)
    return compiled  # type: ignore[no-any-return]


@cache
def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for folder_ in {folder, Path(__file__).parent}:
        for file in sorted(folder_.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
