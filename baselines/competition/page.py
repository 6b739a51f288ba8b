"""What `edge-experts compete` found, on the page about it."""

from __future__ import annotations

import json
from pathlib import Path

from .tables import collusion_sentence, outcome_table, providers_sentence


def competition_block(results: Path, name: str, field: str | None = None) -> str:
    """Table, picture and sentences of a file of runs; nothing if there is none.

    Args:
        results: Folder of all results.
        name: Of the file in `competition/`.
        field: Scenario field that varies.
    """
    file = results / "competition" / f"{name}.json"
    if not file.is_file():
        return ""
    rows = json.loads(file.read_text("utf-8"))["rows"]
    picture = Path("images") / f"competition_{name}.png"
    parts = [outcome_table(rows), collusion_sentence(rows), providers_sentence(rows, field) if field else ""]
    if (results / picture).exists():
        parts.append(f"![Prices over training]({picture.as_posix()})")
    return "\n\n".join(part for part in parts if part)
