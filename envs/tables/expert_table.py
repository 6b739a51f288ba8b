"""The edge experts themselves: size, speed, power, host class and price of each generative model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from ..io.suggestions import did_you_mean
from .reading import Sheet, TableWarning, read_sheet

HOST_CLASSES = ("edge", "cloud", "device")
NUMBERS = ("parameters", "memory_gb", "seconds_per_unit", "power_w", "price_usd_per_unit")
REQUIRED = ("expert", "modality", "unit", "host_class", "reference_device", *NUMBERS)
FILLED = tuple(name for name in REQUIRED if name != "parameters")  # that was never published of some models
COLUMNS = (*REQUIRED, *(f"{name}_source" for name in NUMBERS))  # a table may leave out sources, with a warning
COMPACT = ("base", "quality_factor", "hallucination_rate")  # columns that a table may leave out


@dataclass(frozen=True)
class Expert:
    """One edge expert.

    Attributes:
        name: As in the quality tables.
        modality: `text`, `video` or `object3d`.
        unit: What one unit of work is (`token`, `clip`, `asset`).
        host_class: `edge` (occupies the host's memory), `cloud` (always available, behind the backhaul) or `device`
            (compact enough for a user's device; a host can run it too).
        reference_device: The machine that `seconds_per_unit` and `power_w` refer to.
        parameters: Number of weights; NaN where it was never published.
        memory_gb: Memory the loaded expert occupies at its edge host, in gigabytes; 0 for a cloud expert.
        seconds_per_unit: Seconds of compute per unit of work at nominal speed.
        power_w: Electrical power while computing at nominal speed, in watts.
        price_usd_per_unit: List price per unit of work, in US dollars.
        base: The expert that it was compressed from, whose recorded scores it shares; empty: none.
        quality_factor: What compression leaves of the recorded quality.
        hallucination_rate: Share of answers that claim what their context does not bear; NaN where it was not
            published.
        sources: For each numeric column, where the value comes from, or why it is modelled; `unstated` where the table
            does not say.
    """

    name: str
    modality: str
    unit: str
    host_class: str
    reference_device: str
    parameters: float
    memory_gb: float
    seconds_per_unit: float
    power_w: float
    price_usd_per_unit: float
    base: str
    quality_factor: float
    hallucination_rate: float
    sources: dict[str, str]

    @property
    def is_cloud(self) -> bool:
        """Whether requests travel over the backhaul to reach this expert."""
        return self.host_class == "cloud"

    @property
    def recorded_as(self) -> str:
        """The name under which the quality tables hold its scores."""
        return self.base or self.name


@dataclass(frozen=True)
class ExpertTable:
    """All known experts by name."""

    path: Path
    sha256: str
    experts: dict[str, Expert]

    @classmethod
    def load(cls, path: str | Path = "experts") -> ExpertTable:
        """Read and validate a table of experts.

        Args:
            path: A CSV or Parquet file, or the name of a shipped table.

        Raises:
            TableError: naming file, row, column and value of the first fault found, and all that is missing.

        Warns:
            TableWarning: if it does not say where its figures come from.
        """
        sheet = read_sheet(path)
        sheet.require(REQUIRED, FILLED)
        if unstated := _unstated(sheet):
            told = f"{sheet.path}: does not say where its figures come from: {', '.join(unstated)} may tell"
            warnings.warn(told, TableWarning, stacklevel=2)
        experts: dict[str, Expert] = {}
        for index in range(len(sheet.rows)):
            expert = _read_expert(sheet, index)
            if expert.name in experts:
                raise sheet.error("is listed twice: keep one row", index, "expert", expert.name)
            experts[expert.name] = expert
        for index, expert in enumerate(experts.values()):
            if expert.base and (expert.base not in experts or experts[expert.base].base):
                raise sheet.error("is not an uncompressed expert of this table: correct it", index, "base", expert.base)
        return cls(sheet.path, sheet.sha256, experts)

    def __getitem__(self, name: str) -> Expert:
        if name not in self.experts:
            raise KeyError(f"unknown expert '{name}' in {self.path.name}; {did_you_mean(name, sorted(self.experts))}")
        return self.experts[name]


def _unstated(sheet: Sheet) -> list[str]:
    """Columns of sources that are missing, or empty beside a figure."""
    optional = [name for name in COMPACT[1:] if any(row.get(name) for row in sheet.rows)]
    return [
        f"{name}_source"
        for name in (*NUMBERS, *optional)
        if any(not row.get(f"{name}_source") for row in sheet.rows if name in NUMBERS or row.get(name))
    ]


def _read_expert(sheet: Sheet, index: int) -> Expert:
    host_class = sheet.text(index, "host_class")
    if host_class not in HOST_CLASSES:
        raise sheet.error(f"is not one of {', '.join(HOST_CLASSES)}", index, "host_class", host_class)
    optional = {name: sheet.rows[index].get(name, "") for name in ("parameters", *COMPACT)}
    sources = [*NUMBERS, *(name for name in COMPACT[1:] if optional[name])]
    return Expert(
        name=sheet.text(index, "expert"),
        modality=sheet.text(index, "modality"),
        unit=sheet.text(index, "unit"),
        host_class=host_class,
        reference_device=sheet.text(index, "reference_device"),
        parameters=sheet.number(index, "parameters", 1.0) if optional["parameters"] else float("nan"),
        memory_gb=sheet.number(index, "memory_gb", 0.0),
        seconds_per_unit=sheet.number(index, "seconds_per_unit", 1e-9),
        power_w=sheet.number(index, "power_w", 0.0),
        price_usd_per_unit=sheet.number(index, "price_usd_per_unit", 0.0),
        base=optional["base"],
        quality_factor=sheet.number(index, "quality_factor", 0.0, 1.0) if optional["quality_factor"] else 1.0,
        hallucination_rate=sheet.number(index, "hallucination_rate", 0.0, 1.0)
        if optional["hallucination_rate"]
        else float("nan"),
        sources={name: sheet.rows[index].get(f"{name}_source") or "unstated" for name in sources},
    )
