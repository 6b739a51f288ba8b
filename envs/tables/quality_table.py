"""Recorded quality of every prompt on every expert, as dense arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .expert_table import ExpertTable
from .reading import Sheet, TableError, read_sheet

KEYS = ("prompt", "category", "expert")
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
        dimensions: Further recorded dimensions in [0, 1]; NaN where a dimension was not rated for a prompt.
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
    dimensions: dict[str, Floats]
    status: dict[str, str]
    scale: str

    @classmethod
    def load(cls, path: str | Path, experts: ExpertTable | None = None) -> QualityTable:
        """Read and validate a quality table.

        Args:
            path: A CSV or Parquet file, or the name of a shipped table (`text`, `video`, `object3d`). Columns:
                `prompt`, `category`, `expert`, `quality` in [0, 1], `output_bits`, `work_units`, `n_ratings`, and any
                further dimension in [0, 1]. An optional sidecar `<name>.yaml` states `modality`, `scale`, `status`
                per column and `sha256`.
            experts: The experts that may appear; the shipped ones by default.

        Raises:
            TableError: for a duplicate, a missing cell, a value off its scale, an unknown expert or a wrong checksum;
                names file, row, column and value.
        """
        sheet = read_sheet(path)
        sheet.require(REQUIRED)
        known = experts if experts is not None else ExpertTable.load()
        where = _index_rows(sheet, known)
        names = tuple(sorted({key[2] for key in where}))
        keys = sorted({key[:2] for key in where}, key=lambda key: (key[1], _natural(key[0])))
        rows = np.array(
            [[_row_of(sheet, where, prompt, category, expert) for expert in names] for prompt, category in keys]
        )
        categories = tuple(sorted({category for _, category in keys}))
        return cls(
            path=sheet.path,
            sha256=sheet.sha256,
            modality=sheet.meta.get("modality", sheet.path.stem),
            prompts=tuple(prompt for prompt, _ in keys),
            categories=categories,
            category=np.array([categories.index(category) for _, category in keys], dtype=np.int64),
            experts=names,
            quality=_column(sheet, rows, "quality", 1.0),
            output_bits=_column(sheet, rows, "output_bits"),
            work_units=_column(sheet, rows, "work_units"),
            n_ratings=_column(sheet, rows, "n_ratings"),
            dimensions={name: _dimension(sheet, rows, name) for name in sheet.columns if name not in REQUIRED},
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
            dimensions={name: values[:, order] for name, values in self.dimensions.items()},
        )

    def split(self, name: str) -> NDArray[np.int64]:
        """Row indices of a split: `train` (80 %), `heldout` (20 %) or `all`, ascending.

        Prompts are ranked by a SHA-256 of their identity within each category, so that a prompt never changes sides
        when rows are reordered, and both sides hold the same share of each category.
        """
        if name not in SPLITS:
            raise ValueError(f"split: '{name}' is not one of {', '.join(SPLITS)}")
        rows = np.arange(len(self.prompts), dtype=np.int64)
        if name == "all":
            return rows
        digests = np.array(
            [
                hashlib.sha256(f"{self.modality}/{self.categories[c]}/{p}".encode()).hexdigest()
                for p, c in zip(self.prompts, self.category, strict=True)
            ]
        )
        heldout = np.zeros(len(rows), dtype=bool)
        for category in range(len(self.categories)):
            members = rows[self.category == category]
            ranked = members[np.argsort(digests[members])]
            heldout[ranked[: round(HELDOUT_SHARE * len(members))]] = True
        return rows[heldout if name == "heldout" else ~heldout]

    def prior(self, values: Floats, split: str = "train") -> Floats:
        """Mean of an (N, E) column over the prompts of each category in a split: (C, E) float64."""
        rows = self.split(split)
        return np.stack([values[rows[self.category[rows] == c]].mean(axis=0) for c in range(len(self.categories))])


def _natural(prompt: str) -> tuple[int, str]:
    return (int(prompt), prompt) if prompt.isdigit() else (-1, prompt)


def _index_rows(sheet: Sheet, known: ExpertTable) -> dict[tuple[str, ...], int]:
    where: dict[tuple[str, ...], int] = {}
    for index in range(len(sheet.rows)):
        key = tuple(sheet.text(index, name) for name in KEYS)
        if key[2] not in known.experts:
            raise sheet.error(
                f"is not an expert of {known.path.name}: add it there or correct the name", index, "expert", key[2]
            )
        if key in where:
            raise sheet.error(
                f"repeats row {where[key] + 2} (same prompt, category and expert): keep one", index, "prompt", key[0]
            )
        where[key] = index
    return where


def _row_of(sheet: Sheet, where: dict[tuple[str, ...], int], prompt: str, category: str, expert: str) -> int:
    try:
        return where[prompt, category, expert]
    except KeyError:
        raise sheet.error(
            f"has no row for expert '{expert}': every prompt needs every expert",
            column="prompt",
            value=f"{category}/{prompt}",
        ) from None


def _column(sheet: Sheet, rows: NDArray[np.int64], name: str, high: float = float("inf")) -> Floats:
    return np.array([[sheet.number(int(index), name, 0.0, high) for index in row] for row in rows])


def _dimension(sheet: Sheet, rows: NDArray[np.int64], name: str) -> Floats:
    values = np.full(rows.shape, np.nan)
    for i, row in enumerate(rows):
        rated = [int(index) for index in row if sheet.rows[int(index)][name]]
        if rated and len(rated) < len(row):
            missing = next(int(index) for index in row if int(index) not in rated)
            raise sheet.error(
                "the cell is empty, but other experts were rated for this prompt: fill it", missing, name, ""
            )
        if rated:
            values[i] = [sheet.number(int(index), name, 0.0, 1.0) for index in row]
    return values
