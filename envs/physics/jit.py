"""How kernel functions are compiled: numba, cached on disk, bit-exact (no fast-math), free of the GIL.

Kernels allocate nothing: what they need stands in the world's own buffers. So they are compiled without numba's
reference counting, whose atomic increments would otherwise take half of the time.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, TypeVar

from numba import cfunc, njit, typeof
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher
from numba.core.event import Event, Listener, install_listener
from tqdm import tqdm

from .kept_code import keep, root

F = TypeVar("F", bound=Callable[..., Any])
USUAL_S, SECOND = 30, 1.0  # what compiling takes, and how often a bar moves meanwhile
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
    """Compile a function that Python calls, and keep its machine code in the user's cache folder (`kept_code`)."""
    keep(function)
    try:
        return njit(cache=True, **OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # that folder cannot be written
        return njit(**OPTIONS)(function)  # type: ignore[no-any-return]


def callback(signature: Any, function: Callable[..., Any]) -> Any:
    """Compile a function of a given signature that kernels are handed as an argument, and keep it likewise."""
    keep(function)
    try:
        return cfunc(signature, cache=True)(function)
    except RuntimeError:
        return cfunc(signature)(function)


def bind(function: F, *arguments: Any) -> F:
    """The machine code of an entry point for arguments of given types, from the disk or compiled now.

    Called directly it saves numba's look-up of the types, half of the time of one slot of one world. It does not check
    them either: pass nothing else.
    """
    if not isinstance(function, Dispatcher):
        return function  # NUMBA_DISABLE_JIT=1
    signature = tuple(typeof(argument) for argument in arguments)
    kept = not isinstance(function._cache, NullCache)  # type: ignore[attr-defined]
    with install_listener("numba:compile", _Announcement(kept)):
        try:
            function.compile(signature)
        except (AttributeError, ImportError, UnpicklingError):  # kept by another version, whose types are gone
            function._cache.flush()  # type: ignore[attr-defined]
            function.compile(signature)
    return function.overloads[signature].entry_point  # type: ignore[no-any-return]


class _Announcement(Listener):  # type: ignore[misc]
    """Says once in a process that the kernel is being compiled, and shows in a terminal that it goes on."""

    made = False

    def __init__(self, kept: bool) -> None:
        self._kept = kept
        self._depth = 0
        self._over = threading.Event()
        self._ticking: threading.Thread | None = None

    def on_start(self, event: Event) -> None:
        """Called when numba begins to compile; functions that others are made of are compiled within these."""
        self._depth += 1
        if not _Announcement.made:
            _Announcement.made = True
            once = "once" if self._kept else f"every time, as {root()} cannot be written: set NUMBA_CACHE_DIR"
            print(f"edge-experts: compiling the simulation for this machine (half a minute, {once})", file=sys.stderr)
        if self._ticking is None and sys.stderr.isatty():
            self._over.clear()
            self._ticking = threading.Thread(target=self._tick, daemon=True)
            self._ticking.start()

    def on_end(self, event: Event) -> None:
        """Called when numba has compiled."""
        self._depth -= 1
        if self._depth == 0 and self._ticking is not None:
            self._over.set()
            self._ticking.join()
            self._ticking = None

    def _tick(self) -> None:
        """Move a bar every second, towards what it takes on a machine of these days."""
        with tqdm(total=USUAL_S, desc="compiling", bar_format="{desc} {bar} {elapsed}", leave=False) as bar:
            while not self._over.wait(SECOND):
                bar.update(bar.n < USUAL_S - 1)
