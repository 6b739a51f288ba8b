"""JSON of a known form: what is missing, of another type or not finite is named before anything is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from .strict_json import parse_json
from .strict_yaml import explain

T = TypeVar("T")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: naming the file, if it is not JSON, a number is not finite, or a key comes twice.
        OSError: if it cannot be read.
    """
    try:
        return parse_json(path.read_text("utf-8"))
    except ValueError as error:  # what is no UTF-8, too
        raise ValueError(f"'{path}' is damaged: {error}") from None


def read_typed(path: Path, form: type[T]) -> T:
    """The content of a JSON file of a form.

    Args:
        path: The file.
        form: A `TypedDict`, which may have more keys than it names, or another type that Pydantic knows.

    Raises:
        ValueError: naming the file, the field and what is wrong with it.
        OSError: if it cannot be read.
    """
    return typed(read_json(path), form, f"'{path}' is damaged")


def typed(data: Any, form: type[T], where: str) -> T:
    """The same of what was read already.

    Raises:
        ValueError: beginning with `where`.
    """
    try:
        return TypeAdapter(form).validate_python(data)
    except ValidationError as error:
        raise ValueError(f"{where}: {explain(error)}") from None
