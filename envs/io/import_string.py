"""Objects by reference: `module:name` or `file.py:name`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from .suggestions import nearest

OURS = "edge_experts."
_theirs: set[str] = set()  # files of code that was referred to
_asking: ContextVar[tuple[str, str | None] | None] = ContextVar("asking", default=None)


class LoadError(ValueError):
    """A reference leads nowhere. Names it and the nearest one that does."""


def is_reference(name: str) -> bool:
    """Whether a name has the form of a reference."""
    return ":" in name


@contextmanager
def without_imports(author: str, but: str | None = None) -> Iterator[None]:
    """Within the block no reference is followed: what is in it was written by somebody else, whose code is not run.

    Args:
        author: What names the references, for messages.
        but: A reference that the user gave, which is followed.
    """
    token = _asking.set((author, but))
    try:
        yield
    finally:
        _asking.reset(token)


def their_files() -> frozenset[str]:
    """The files of all code that was loaded by reference, by which a fault in it is told from one of this package."""
    return frozenset(_theirs)


def load_object(reference: str) -> Any:
    """The object behind `module:name` or `file.py:name`.

    Raises:
        LoadError: if the module, the file or the name in it cannot be found, or importing it fails; or if it is not to
            be imported, see `without_imports`.
    """
    asking = _asking.get()
    if asking is not None and reference != asking[1]:
        raise LoadError(
            f"{asking[0]} names '{reference}', whose code would be run: add --trust if you trust its author"
        )
    place, _, name = reference.rpartition(":")
    try:
        module = load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        if not module.__name__.startswith(OURS):
            _theirs.add(str(getattr(module, "__file__", None)))
    except LoadError as error:
        raise LoadError(f"'{reference}': {error}" if Path(place).is_file() else str(error)) from None
    except (Exception, SystemExit) as error:  # whatever the user's own code raises
        raise LoadError(f"'{reference}': '{place}' cannot be imported: {type(error).__name__}: {error}") from None
    try:
        return getattr(module, name)
    except AttributeError:
        near = nearest(name, dir(module))
        hint = f"; did you mean '{near}'?" if near else ""
        raise LoadError(f"'{place}' has no '{name}'{hint}") from None


def load_file(path: Path, anew: bool = False) -> ModuleType:
    """The module that a Python file defines; run once in a process.

    Args:
        path: The file.
        anew: Run it again, for what its user may have changed since.

    Raises:
        LoadError: if there is no such file, or running it fails.
    """
    if not path.is_file():
        raise LoadError(f"there is no file '{path}'")
    file = path.resolve()
    # files of one name in different folders are different modules
    _theirs.add(str(file))
    name = f"edge_experts_user_{path.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules and not anew:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that its classes can be pickled
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise LoadError(f"'{path}' cannot be imported: {type(error).__name__}: {error}") from None
    return module
