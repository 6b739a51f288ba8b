"""Read YAML, and say in one line what is wrong with it or with the fields in it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError


def read_yaml(source: Path, error: type[ValueError] = ValueError) -> Any:
    """The content of a YAML file.

    Args:
        source: The file.
        error: The class of what is raised.

    Raises:
        error: if it is not UTF-8 text or not YAML, naming the file and the place.
    """
    try:
        return parse_yaml(source.read_text(encoding="utf-8"), str(source), error)
    except UnicodeDecodeError as problem:
        raise error(f"{source}: is not valid YAML: {problem}") from None


def read_config(name: str) -> Any:
    """The content of a file that ships in `configs`, by its path there."""
    return yaml.safe_load(resources.files("edge_experts.configs").joinpath(name).read_text("utf-8"))


def parse_yaml(text: str, source: str, error: type[ValueError] = ValueError) -> Any:
    """The content of YAML text.

    Args:
        text: The text.
        source: What messages call it.
        error: The class of what is raised.

    Raises:
        error: if it is not YAML, naming the source and the place.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise error(f"{source}: is not valid YAML: {' '.join(str(problem).split())}") from None


def explain(error: ValidationError, hint: Any = lambda field: "") -> str:
    """The first fault that Pydantic found: field, value, what is wrong, and how many faults there are besides.

    Args:
        error: What Pydantic raised.
        hint: From the name of an unknown field to what to add, as `; did you mean 'x'?`.
    """
    first = error.errors()[0]
    field = " ".join(".".join(str(part) for part in first["loc"]).split())  # a name may hold a line break
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "unexpected_keyword_argument":
        return f"{field}: unknown field{hint(field)}{more}"
    if first["type"] in ("missing", "missing_argument"):
        return f"{field}: is required{more}"
    if not field:
        return str(first["ctx"]["error"]) if "ctx" in first else first["msg"]
    return f"{field}: {first['input']!r} is not valid: {first['msg']}{more}"
