"""Every notebook in examples/ runs, cell by cell, in this process; what is stored holds no outputs."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, said

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def cells(file: Path, kind: str) -> Iterator[str]:
    for cell in json.loads(file.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == kind:
            yield "".join(cell["source"])


def run(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell; returns the value of its last line, if that is an expression that a notebook would show."""
    body = ast.parse(cell).body
    last = body.pop() if isinstance(body[-1], ast.Expr) and not cell.rstrip().endswith(";") else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last is not None else None  # type: ignore[attr-defined]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = [value for cell in cells(file, "code") if (value := run(cell, names)) is not None]
    tables = [value._repr_html_() for value in shown if hasattr(value, "_repr_html_")]
    assert tables and all(text.startswith("<table>") and len(text) < 4000 for text in tables)
    told = capsys.readouterr().out
    assert told.strip() and "nan" not in told


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_small_and_linked(file: Path) -> None:
    notebook = json.loads(file.read_text("utf-8"))
    assert (notebook["nbformat"], file.stat().st_size < 12_000) == (4, True)
    assert all(not cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    first = next(cells(file, "markdown"))
    assert first.startswith("# ") and "pip install" in first and f"`{file.name}`" in said("using.md")
