"""The reference of a package: its public names, whose docstrings the documentation's builder reads."""

from __future__ import annotations

import ast
from pathlib import Path


def public_names(folder: Path) -> list[str]:
    """What a package's `__init__.pyi` tells, in its order."""
    stub = ast.parse((folder / "__init__.pyi").read_text("utf-8"))
    return [alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]


def api_page(folder: Path) -> str:
    """A page of all public names of a package: classes and functions in the order of the alphabet, then the constants.

    Args:
        folder: Folder of the package, whose name is the last part of the package's.
    """
    package = f"edge_experts.{folder.name}"
    told = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
    head = [f"# {package}", "", told or "", "", f"Every name can be imported as `from {package} import NAME`.", ""]
    names = sorted(public_names(folder), key=lambda name: (name.isupper(), name.lower()))
    return "\n".join([*head, *(f"::: {package}.{name}\n" for name in names)])
