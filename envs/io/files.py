"""Write files so that nothing half-written is left behind."""

from __future__ import annotations

from pathlib import Path


def check_folder(path: Path) -> None:
    """Raise `ValueError` if the folder that a file is to be written to does not exist."""
    if not path.parent.is_dir():
        raise ValueError(f"output: there is no folder '{path.parent}'; create it first")


def write_text(path: Path, text: str) -> None:
    """Write to a temporary name, then rename."""
    check_folder(path)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
