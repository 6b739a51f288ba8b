"""Objects by reference: `module:name` or `file.py:name`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any


class LoadError(ValueError):
    """A reference leads nowhere. Names it and the nearest one that does."""


def is_reference(name: str) -> bool:
    """Whether a name has the form of a reference."""
    return ":" in name


def load_object(reference: str) -> Any:
    """The object behind `module:name` or `file.py:name`.

    Raises:
        LoadError: if the module, the file or the name in it cannot be found, or importing it fails.
    """
    place, _, name = reference.rpartition(":")
    try:
        module = _load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except LoadError:
        raise
    except Exception as error:  # whatever the user's own code raises
        raise LoadError(f"'{reference}': '{place}' cannot be imported: {type(error).__name__}: {error}") from None
    try:
        return getattr(module, name)
    except AttributeError:
        near = get_close_matches(name, dir(module), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise LoadError(f"'{place}' has no '{name}'{hint}") from None


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise LoadError(f"there is no file '{path}'")
    file = path.resolve()
    # files of one name in different folders are different modules
    name = f"edge_experts_user_{path.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that its classes can be pickled
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
