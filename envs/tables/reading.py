"""Read the rows of a table from CSV or Parquet, check its checksum, and word its errors."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..io.strict_yaml import read_yaml, shortened

TABLES_DIR = Path(__file__).parent
MOST_SHOWN = 8  # places in a message


class TableWarning(UserWarning):
    """A table says less than it could; it is used all the same."""


class TableError(ValueError):
    """A table does not say what it must. Names the file, the row, the column, the value and the fix."""

    def __init__(
        self, path: Path, problem: str, *, row: int | None = None, column: str | None = None, value: object = None
    ) -> None:
        place = [str(path)]
        if row is not None:
            place.append(f"row {row}")
        if column is not None:
            place.append(f"column '{column}'")
        shown = "" if value is None else f"value {shortened(value)} "
        text = f"{', '.join(place)}: {shown}{problem}"
        super().__init__(" ".join(text.split()))  # what is quoted may hold line breaks


@dataclass(frozen=True)
class Sheet:
    """The text of a table: its path, column names, rows as strings, and the sidecar's metadata.

    `rows[i]` is row `i + 2` of a CSV file: row 1 holds the column names.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    sha256: str
    meta: dict[str, Any] = field(default_factory=dict)

    def error(
        self, problem: str, index: int | None = None, column: str | None = None, value: object = None
    ) -> TableError:
        """A `TableError` about this sheet; `index` counts data rows from 0."""
        return TableError(self.path, problem, row=None if index is None else index + 2, column=column, value=value)

    def require(self, columns: Sequence[str], filled: Sequence[str] | None = None) -> None:
        """See that columns are there, and that no cell of them is empty.

        Args:
            columns: That must be there.
            filled: Those of them whose cells must say something; all by default.

        Raises:
            TableError: naming every column and every cell that is missing, in one message.
        """
        if missing := [name for name in columns if name not in self.columns]:
            named = f"column '{missing[0]}': is" if len(missing) == 1 else f"columns {_quoted(missing)}: are"
            raise TableError(
                self.path,
                f"{named} missing: add {'it' if len(missing) == 1 else 'them'}; the columns found are "
                f"{', '.join(self.columns)}",
            )
        checked = columns if filled is None else filled
        empty = [(i, name) for i, row in enumerate(self.rows) for name in checked if not row[name]]
        if len(empty) == 1:
            raise self.error("the cell is empty: fill it", *empty[0], "")
        if empty:
            raise self.error(f"{len(empty)} cells are empty: fill {listed(f'row {i + 2} {n!r}' for i, n in empty)}")

    def text(self, index: int, column: str) -> str:
        """The non-empty text of a cell."""
        value = self.rows[index][column]
        if not value:
            raise self.error("the cell is empty: fill it", index, column, value)
        return value

    def number(self, index: int, column: str, low: float, high: float = float("inf")) -> float:
        """The number in a cell, which must lie in [low, high]."""
        value = self.text(index, column)
        try:
            number = float(value)
        except ValueError:
            raise self.error("is not a number", index, column, value) from None
        if not low <= number <= high:
            raise self.error(f"is outside [{low:g}, {high:g}]: rescale or correct it", index, column, value)
        return number


def listed(places: Iterable[str]) -> str:
    """The first few of some places, and how many more there are."""
    every = list(places)
    more = f" and {len(every) - MOST_SHOWN} more" if len(every) > MOST_SHOWN else ""
    return ", ".join(every[:MOST_SHOWN]) + more


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def resolve(path: str | Path) -> Path:
    """The file behind a path, or behind the bare name of a table that ships with the package (`"text"`)."""
    given = Path(path)
    shipped = TABLES_DIR / f"{given}.csv"
    if given.suffix == "" and len(given.parts) == 1 and shipped.exists():
        return shipped
    if not given.is_file():  # a pipe never ends
        names = ", ".join(sorted(p.stem for p in TABLES_DIR.glob("*.csv")))
        raise TableError(given, f"there is no such file; give a .csv or .parquet path, or one of: {names}")
    return given


class Stamp(NamedTuple):
    """A table's file in the state that it is in."""

    path: Path
    states: tuple[tuple[int, int] | None, ...]  # time of change and size of the file and of its sidecar


def stamped(path: str | Path) -> Stamp:
    """The file of a table, and when it and its sidecar were changed.

    Raises:
        TableError: if there is no such file.
    """
    file = resolve(path)
    states = [found.stat() if found.exists() else None for found in (file, file.with_suffix(".yaml"))]
    return Stamp(file.resolve(), tuple((state.st_mtime_ns, state.st_size) if state else None for state in states))


def read_sheet(path: str | Path) -> Sheet:
    """Read a table and, if a YAML sidecar of the same name lies beside it, check the checksum the sidecar states."""
    file = resolve(path)
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    sidecar = file.with_suffix(".yaml")
    meta = _read_sidecar(sidecar) if sidecar.exists() else {}
    stated = meta.get("sha256")
    if stated is not None and stated != digest:
        raise TableError(
            file,
            f"does not match the sha256 stated in {sidecar.name} ({digest} was computed): "
            "restore the file, or update the sidecar if the change was meant",
            column="sha256",
            value=stated,
        )
    columns, rows = _read_parquet(file) if file.suffix == ".parquet" else _read_csv(file)
    if not rows:
        raise TableError(file, "holds no rows")
    return Sheet(file, columns, rows, digest, meta)


def _read_sidecar(sidecar: Path) -> dict[str, Any]:
    try:
        meta = read_yaml(sidecar) or {}
    except ValueError as error:
        raise TableError(sidecar, str(error).removeprefix(f"{sidecar}: ")) from None
    if not isinstance(meta, dict):
        raise TableError(sidecar, "must be a mapping, as modality: text")
    return meta


def _read_csv(file: Path) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    if file.suffix != ".csv":
        raise TableError(file, f"has the unknown ending '{file.suffix}': use .csv or .parquet")
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream, restkey="", restval="")
            rows = [{name: (value or "").strip() for name, value in row.items() if name} for row in reader]
            columns = tuple(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(file, f"is not readable as UTF-8 CSV ({error})") from None
    return columns, rows


def _read_parquet(file: Path) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise TableError(file, "reading Parquet needs pyarrow: pip install 'edge-experts[parquet]'") from None
    try:
        table = pyarrow.parquet.read_table(file)
    except (OSError, ValueError) as error:
        raise TableError(file, f"is not readable as Parquet ({error})") from None
    rows = [{name: "" if value is None else str(value) for name, value in row.items()} for row in table.to_pylist()]
    return tuple(table.column_names), rows
