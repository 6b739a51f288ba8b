"""Read YAML, and say in one line what is wrong with it or with the fields in it."""

from __future__ import annotations

import reprlib
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

MOST_BYTES, MOST_ALIASES = 4_000_000, 100
SHOWN = 80  # characters of a value in a message


def read_yaml(source: Path, error: type[ValueError] = ValueError) -> Any:
    """The content of a YAML file.

    Args:
        source: The file.
        error: The class of what is raised.

    Raises:
        error: if it is not UTF-8 text or not YAML, naming the file and the place.
    """
    try:
        if source.stat().st_size > MOST_BYTES:
            raise error(f"{source}: has more than {MOST_BYTES:,} bytes, which no file of settings needs")
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
        error: if it is not YAML, has a key twice, or holds more aliases than anybody writes; names source and place.
    """
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.YAMLError as problem:
        raise error(f"{source}: is not valid YAML: {' '.join(str(problem).split())}") from None
    except RecursionError:
        raise error(f"{source}: is not valid YAML: it is nested too deeply") from None


class _StrictLoader(yaml.SafeLoader):
    """Plain data only; a key may come once, and aliases cannot make a small file a large one."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > MOST_ALIASES:
                raise yaml.MarkedYAMLError(
                    problem=f"more than {MOST_ALIASES} aliases", problem_mark=self.peek_event().start_mark
                )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key '{key.value}' comes twice: leave one out", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = SHOWN
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12


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
        return str(first["ctx"]["error"]) if "error" in first.get("ctx", {}) else first["msg"]
    return f"{field}: {shortened(first['input'])} is not valid: {first['msg']}{more}"


def shortened(value: Any) -> str:
    """A value as a message shows it: on one line, and not longer than anybody reads."""
    shown = " ".join(_SHORT.repr(value).split())
    return shown if len(shown) <= 2 * SHOWN else f"{shown[:SHOWN]} ... {shown[-SHOWN // 2 :]}"
