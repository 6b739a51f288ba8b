"""Prompts from JSONL or CSV, and whether a table of them will have every category in both splits."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from edge_experts.envs.io.strict_json import parse_json
from edge_experts.envs.tables.quality_table import is_heldout

from .plan import PlanError

FIELDS = ("id", "category", "text")
MODALITY = "text"


class Prompt(NamedTuple):
    """A prompt as it was given."""

    id: str
    category: str
    text: str


class Prompts(NamedTuple):
    """All prompts of a plan, and the checksum of their file."""

    rows: tuple[Prompt, ...]
    sha256: str


def read_prompts(path: Path) -> Prompts:
    """Read and validate prompts.

    Args:
        path: JSONL, an object a line, or CSV with a header: `id`, `category`, `text`; further fields are left alone.

    Raises:
        PlanError: naming the file, the line, the field and the fix.
    """
    if not path.is_file():
        raise PlanError(f"prompts: there is no file '{path}'")
    if path.suffix not in (".jsonl", ".csv"):
        raise PlanError(f"prompts: '{path}' must end in .jsonl or .csv")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(f"{path}: is not UTF-8 text: {error}") from None
    records = _csv(text) if path.suffix == ".csv" else _jsonl(path, text)
    rows = tuple(_row(path, line, record) for line, record in records)
    if not rows:
        raise PlanError(f"{path}: holds no prompts")
    for name, count in Counter(row.id for row in rows).items():
        if count > 1:
            raise PlanError(f"{path}: id '{name}' stands there {count} times: give each prompt an id of its own")
    return Prompts(rows, hashlib.sha256(text.encode()).hexdigest())


def check_split(path: Path, rows: tuple[Prompt, ...]) -> None:
    """See that every category has prompts that a policy can be trained on, before anything is paid.

    Raises:
        PlanError: naming the category.
    """
    heldout = is_heldout(MODALITY, [row.id for row in rows])
    training = {row.category for row, out in zip(rows, heldout, strict=True) if not out}
    for category in sorted({row.category for row in rows} - training):
        raise PlanError(
            f"{path}: category '{category}': all of its prompts are in the held-out fifth: add prompts, or merge "
            f"categories"
        )


def _csv(text: str) -> list[tuple[int, Any]]:
    reader = csv.DictReader(text.splitlines(keepends=True))
    return [(reader.line_num, row) for row in reader]


def _jsonl(path: Path, text: str) -> list[tuple[int, Any]]:
    records = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                records.append((number, parse_json(line)))
            except ValueError as error:
                raise PlanError(f"{path}, line {number}: {error}") from None
    return records


def _row(path: Path, line: int, record: Any) -> Prompt:
    if not isinstance(record, dict):
        raise PlanError(f"{path}, line {line}: must be an object with {', '.join(FIELDS)}")
    values = []
    for field in FIELDS:
        value = record.get(field)
        value = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(value, str) or not value.strip():
            raise PlanError(f"{path}, line {line}: {field}: {value!r} is missing or no text: fill it")
        values.append(value.strip())
    return Prompt(*values)
