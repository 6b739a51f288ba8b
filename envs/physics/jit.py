"""How kernel functions are compiled: numba, cached on disk, bit-exact (no fast-math), free of the GIL.

Kernels allocate nothing: what they need stands in the world's own buffers. So they are compiled without numba's
reference counting, whose atomic increments would otherwise take half of the time.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

from numba import njit, typeof
from numba.core.dispatcher import Dispatcher
from numba.core.event import Event, Listener, install_listener

PACKAGE = Path(__file__).parents[1]  # edge_experts.envs
F = TypeVar("F", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}


def formula(function: F) -> F:
    """Compile a pure function of numbers, callable from kernels and from Python alike.

    It becomes part of each caller's machine code, so that a loop over it can be compiled to vector instructions.
    """
    return njit(forceinline=True, **OPTIONS)(function)  # type: ignore[no-any-return]


def jit(function: F) -> F:
    """Compile a part of a kernel; only other compiled functions may call it.

    It becomes part of its callers' machine code: the state of a world is some twenty arrays, which a call would pass by
    value, and that would take a third of the time.
    """
    return njit(no_cpython_wrapper=True, forceinline=True, **OPTIONS)(function)  # type: ignore[no-any-return]


def inline(function: F) -> F:
    """Compile a function into each of its callers: for what numba cannot return, as a tuple that holds a record."""
    return njit(inline="always", **OPTIONS)(function)  # type: ignore[no-any-return]


def entry(function: F) -> F:
    """Compile a function that Python calls, and keep its machine code on disk.

    Numba only watches the file that an entry point stands in. The functions it calls live in other files, so the cache
    is stamped with a checksum of all of them: an edit of any takes effect at once.
    """
    try:
        compiled = njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither the installation nor the user's cache folder can be written
        return njit(**OPTIONS)(function)  # type: ignore[no-any-return]
    if hasattr(compiled, "_cache"):  # absent under NUMBA_DISABLE_JIT=1, where functions stay plain Python
        compiled._cache._cache_file._source_stamp = _stamp(Path(function.__code__.co_filename).parent)
    return compiled  # type: ignore[no-any-return]


def bind(function: F, *arguments: Any) -> F:
    """The machine code of an entry point for arguments of given types, from the disk or compiled now.

    Called directly it saves numba's look-up of the types, half of the time of one slot of one world. It does not check
    them either: pass nothing else.
    """
    if not isinstance(function, Dispatcher):
        return function  # NUMBA_DISABLE_JIT=1
    signature = tuple(typeof(argument) for argument in arguments)
    with install_listener("numba:compile", _Announcement()):
        try:
            function.compile(signature)
        except (AttributeError, ImportError, UnpicklingError):  # kept by another version, whose types are gone
            function._cache.flush()  # type: ignore[attr-defined]
            function.compile(signature)
    return function.overloads[signature].entry_point  # type: ignore[no-any-return]


class _Announcement(Listener):  # type: ignore[misc]
    """Says once in a process that the kernel is being compiled."""

    made = False

    def on_start(self, event: Event) -> None:
        """Called when numba begins to compile."""
        if not _Announcement.made:
            _Announcement.made = True
            print("edge-experts: compiling the simulation for this machine (half a minute, once)", file=sys.stderr)

    def on_end(self, event: Event) -> None:
        """Called when numba has compiled; nothing is printed."""


@cache
def _stamp(folder: Path) -> str:
    return fingerprint(folder, PACKAGE)


def fingerprint(*folders: Path) -> str:
    """Checksum of every source file below some folders, the same in every process."""
    digest = hashlib.sha256()
    for file in sorted({file for folder in folders for file in folder.rglob("*.py")}):
        digest.update(file.read_bytes())
    return digest.hexdigest()
