"""What the tests of the documentation share: its pages and their blocks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(python|bash|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w-]+\.(?:py|yaml))\b")


def blocks(page: Path) -> list[tuple[str, str, str | None]]:
    """Language, text and file name of every block of a page that is run, or written to a file."""
    found = []
    for language, text in BLOCK.findall(page.read_text("utf-8")):
        name = FILE.match(text)
        found.append((language, text, name[1] if name else None))
    return found


def said(page: str) -> str:
    """The text of a page of docs/, its lines joined."""
    return " ".join((ROOT / "docs" / page).read_text("utf-8").split())
