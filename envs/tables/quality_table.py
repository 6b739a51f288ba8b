"""Recorded quality of every prompt on every expert, as dense arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .expert_table import ExpertTable
from .reading import Sheet, TableError, listed, read_sheet

KEYS = ("prompt", "category", "expert")
MEASURED = ("seconds", "usd")
OPTIONAL = ("part", "feature_bits", *MEASURED)  # not dimensions
REQUIRED = (*KEYS, "quality", "output_bits", "work_units", "n_ratings")
HELDOUT_SHARE = 0.2
SPLITS = ("train", "heldout", "all")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class QualityTable:
    """Measured scores of N prompts on E experts; every array below is (N, E) float64 unless it says otherwise.

    Attributes:
        path: The file it was read from.
        sha256: Checksum of that file.
        modality: `text`, `video`, `object3d`, or what the sidecar of your own table says.
        prompts: N prompt ids.
        categories: The C category names, sorted.
        category: (N,) int64, index into `categories`.
        experts: E expert names.
        quality: In [0, 1], rescaled from the source's own scale.
        output_bits: Size of the output, bits.
        work_units: Compute work, in the expert's units (tokens, clips, assets).
        n_ratings: Number of ratings behind `quality`.
        part: (N,) int64, the part of a request that a prompt may be; `None` if any prompt may be any part.
        feature_bits: (N,) bits of features that are sent up for a prompt; `None` if the table does not say.
        measured: What an answer took in `seconds`, alone on its machine at nominal speed, and cost in `usd` at list
            price, where the table says. A host then computes and bills exactly that; a device's own expert is another
            machine and takes what its units take.
        dimensions: Further recorded dimensions in [0, 1]; NaN where a dimension was not rated for a prompt. `gate` is
            what a recorded gate said of every expert.
        status: `recorded`, `modelled` or `unstated` for each column, from the sidecar.
        scale: The source's own scale of `quality`, from the sidecar.
    """

    path: Path
    sha256: str
    modality: str
    prompts: tuple[str, ...]
    categories: tuple[str, ...]
    category: NDArray[np.int64]
    experts: tuple[str, ...]
    quality: Floats
    output_bits: Floats
    work_units: Floats
    n_ratings: Floats
    part: NDArray[np.int64] | None
    feature_bits: Floats | None
    measured: dict[str, Floats]
    dimensions: dict[str, Floats]
    status: dict[str, str]
    scale: str

    @classmethod
    def load(cls, path: str | Path, experts: ExpertTable | None = None) -> QualityTable:
        """Read and validate a quality table.

        Args:
            path: A CSV or Parquet file, or the name of a shipped table (`text`, `video`, `object3d`). Columns:
                `prompt`, `category`, `expert`, `quality` in [0, 1], `output_bits`, `work_units`, `n_ratings`; if you
                like `part` (0, 1, ... for rows that are only this part of a request), `feature_bits` (what is sent up
                for a prompt), `seconds` and `usd` (what an answer took and cost) and any further dimension in [0, 1],
                of which `gate` is what a recorded gate says. An
                optional sidecar `<name>.yaml` states `modality`, `scale`, `status` per column, `sha256`, and as
                `partial` the dimensions that some experts were not rated on.
            experts: The experts that may appear; the shipped ones by default.

        Raises:
            TableError: for a duplicate, a missing cell, a value off its scale, an unknown expert or a wrong checksum;
                names file, row, column and value; of what is missing, all of it.
        """
        sheet = read_sheet(path)
        sheet.require(REQUIRED)
        if not isinstance(sheet.meta.get("status", {}), dict):
            raise TableError(sheet.path.with_suffix(".yaml"), "status must be a mapping, as {quality: recorded}")
        known = experts if experts is not None else ExpertTable.load()
        where = _index_rows(sheet, known)
        names = tuple(sorted({key.expert for key in where}))
        keys = sorted({key._replace(expert="") for key in where}, key=_order)
        _check_rows(sheet, where, keys, names)
        rows = np.array([[where[key._replace(expert=expert)] for expert in names] for key in keys])
        categories = tuple(sorted({key.category for key in keys}))
        return cls(
            path=sheet.path,
            sha256=sheet.sha256,
            modality=sheet.meta.get("modality", sheet.path.stem),
            prompts=tuple(key.prompt for key in keys),
            categories=categories,
            category=np.array([categories.index(key.category) for key in keys], dtype=np.int64),
            experts=names,
            quality=_column(sheet, rows, "quality", 1.0),
            output_bits=_column(sheet, rows, "output_bits"),
            work_units=_column(sheet, rows, "work_units"),
            n_ratings=_column(sheet, rows, "n_ratings"),
            part=np.array([key.part for key in keys]) if "part" in sheet.columns else None,
            feature_bits=_of_prompts(sheet, rows, "feature_bits") if "feature_bits" in sheet.columns else None,
            measured={name: _column(sheet, rows, name) for name in MEASURED if name in sheet.columns},
            dimensions={
                name: _dimension(sheet, rows, name) for name in sheet.columns if name not in (*REQUIRED, *OPTIONAL)
            },
            status={name: sheet.meta.get("status", {}).get(name, "unstated") for name in sheet.columns},
            scale=sheet.meta.get("scale", "[0, 1]"),
        )

    def select(self, experts: Sequence[str]) -> QualityTable:
        """The same table with only `experts`, in that order.

        Raises:
            TableError: if an expert has no recorded scores here.
        """
        for name in experts:
            if name not in self.experts:
                raise TableError(
                    self.path, f"has no recorded scores of expert '{name}'; it has {', '.join(self.experts)}"
                )
        order = [self.experts.index(name) for name in experts]
        return replace(
            self,
            experts=tuple(experts),
            quality=self.quality[:, order],
            output_bits=self.output_bits[:, order],
            work_units=self.work_units[:, order],
            n_ratings=self.n_ratings[:, order],
            measured={name: values[:, order] for name, values in self.measured.items()},
            dimensions={name: values[:, order] for name, values in self.dimensions.items()},
        )

    def split(self, name: str) -> NDArray[np.int64]:
        """Row indices of a split: `train` (80 %), `heldout` (20 %) or `all`, ascending.

        Prompts are ranked by a SHA-256 of their identity within each category, so that a prompt never changes sides
        when rows are reordered, and both sides hold the same share of each category. Where prompts have parts, they are
        ranked as wholes, so that the parts of a prompt stay together.
        """
        if name not in SPLITS:
            raise ValueError(f"split: '{name}' is not one of {', '.join(SPLITS)}")
        rows = np.arange(len(self.prompts), dtype=np.int64)
        if name == "all":
            return rows
        if self.part is None:
            named = [f"{self.categories[c]}/{p}" for p, c in zip(self.prompts, self.category, strict=True)]
            group = self.category
        else:
            named, group = list(self.prompts), np.zeros(len(rows), dtype=np.int64)
        heldout = np.zeros(len(rows), dtype=bool)
        for members in (rows[group == g] for g in np.unique(group)):
            heldout[members] = is_heldout(self.modality, [named[i] for i in members])
        return rows[heldout if name == "heldout" else ~heldout]

    def prior(self, values: Floats, split: str = "train") -> Floats:
        """Mean of an (N, E) column over the prompts of each category in a split: (C, E) float64."""
        rows = self.split(split)
        for c in np.setdiff1d(np.arange(len(self.categories)), self.category[rows]):
            raise TableError(
                self.path,
                f"has no prompt of this category in the split '{split}': add prompts, or merge categories",
                column="category",
                value=self.categories[c],
            )
        return np.stack([values[rows[self.category[rows] == c]].mean(axis=0) for c in range(len(self.categories))])


def is_heldout(modality: str, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which of some prompts are held out, by a SHA-256 of their names: (N,) bool; equal names stay together."""
    digests = np.array([hashlib.sha256(f"{modality}/{name}".encode()).hexdigest() for name in names])
    ranked = np.unique(digests)
    return np.isin(digests, ranked[: round(HELDOUT_SHARE * len(ranked))])


class _Key(NamedTuple):
    """What names a row."""

    category: str
    part: int
    prompt: str
    expert: str


def _order(key: _Key) -> tuple[Any, ...]:
    natural = (int(key.prompt), key.prompt) if key.prompt.isdigit() else (-1, key.prompt)
    return key.category, key.part, natural


def _index_rows(sheet: Sheet, known: ExpertTable) -> dict[_Key, int]:
    where: dict[_Key, int] = {}
    _check_names(sheet, known)
    for index in range(len(sheet.rows)):
        prompt, category, expert = (sheet.text(index, name) for name in KEYS)
        part = _part(sheet, index) if "part" in sheet.columns else 0
        key = _Key(category, part, prompt, expert)
        if expert not in known.experts:
            raise sheet.error(
                f"is not an expert of {known.path.name}: add it there or correct the name", index, "expert", expert
            )
        if key in where:
            raise sheet.error(
                f"repeats row {where[key] + 2} (same prompt, category and expert): keep one", index, "prompt", prompt
            )
        where[key] = index
    return where


def _check_names(sheet: Sheet, known: ExpertTable) -> None:
    """Every expert is one of those that are known; of a single stranger its row says so."""
    first: dict[str, int] = {}
    for index, row in enumerate(sheet.rows):
        if row["expert"] not in known.experts:
            first.setdefault(row["expert"], index)
    if len(first) > 1:
        places = listed(f"'{name}' (row {index + 2})" for name, index in first.items())
        raise sheet.error(
            f"{len(first)} experts are not in {known.path.name}: add them there or correct the names: {places}"
        )


def _part(sheet: Sheet, index: int) -> int:
    number = sheet.number(index, "part", 0.0)
    if number != int(number):
        raise sheet.error(
            "is not a whole number: parts are counted 0, 1, ...", index, "part", sheet.rows[index]["part"]
        )
    return int(number)


def _check_rows(sheet: Sheet, where: dict[_Key, int], keys: list[_Key], names: tuple[str, ...]) -> None:
    """Every prompt needs every expert."""
    missing = [(key, name) for key in keys for name in names if key._replace(expert=name) not in where]
    if not missing:
        return
    (key, name), many = missing[0], len(missing) > 1
    if not many:
        raise sheet.error(
            f"has no row for expert '{name}': every prompt needs every expert",
            column="prompt",
            value=f"{key.category}/{key.prompt}",
        )
    places = listed(f"{key.category}/{key.prompt} of '{name}'" for key, name in missing)
    raise sheet.error(f"{len(missing)} rows are missing, as every prompt needs every expert: add {places}")


def _of_prompts(sheet: Sheet, rows: NDArray[np.int64], name: str) -> Floats:
    """A column that says the same in all rows of a prompt: (N,)."""
    values = _column(sheet, rows, name)
    for i, j in np.argwhere(values <= 0.0)[:1]:
        raise sheet.error("is not above 0: give the bits that are sent up", int(rows[i, j]), name, values[i, j])
    for i, j in np.argwhere(values != values[:, :1])[:1]:
        raise sheet.error(
            f"differs from {values[i, 0]:g} of another row of the prompt: it is the prompt's, not an expert's",
            int(rows[i, j]),
            name,
            sheet.rows[int(rows[i, j])][name],
        )
    return values[:, 0]


def _column(sheet: Sheet, rows: NDArray[np.int64], name: str, high: float = float("inf")) -> Floats:
    return np.array([[sheet.number(int(index), name, 0.0, high) for index in row] for row in rows])


def _dimension(sheet: Sheet, rows: NDArray[np.int64], name: str) -> Floats:
    values, partial = np.full(rows.shape, np.nan), sheet.meta.get("partial", ())
    for i, row in enumerate(rows):
        rated = [int(index) for index in row if sheet.rows[int(index)][name]]
        if rated and len(rated) < len(row) and name not in partial:
            missing = next(int(index) for index in row if int(index) not in rated)
            raise sheet.error(
                "the cell is empty, but other experts were rated for this prompt: fill it", missing, name, ""
            )
        for j, index in enumerate(row):
            if index in rated:
                values[i, j] = sheet.number(int(index), name, 0.0, 1.0)
    return values
