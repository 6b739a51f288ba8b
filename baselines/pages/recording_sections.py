"""What the dashboard shows of a recording of `edge-experts record`: its judges, its fusions, what it cost."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from edge_experts.envs.io.strict_yaml import read_yaml
from edge_experts.envs.io.typed_json import read_typed, typed

from .dashboard_html import Traces, facts_table, panels

JUDGES = "judges.json"
MEASURES = {
    "flips": "Pairs whose winner changes with their order",
    "first_place": "How often the first of two wins",
    "padding": "Points for padding",
    "injection": "Points for a command to the judge",
    "own_family": "Points for the own family",
    "repeat_variance": "Variance when asked again",
}


class Mean(TypedDict):
    """What a judge was measured to do."""

    mean: float | None


class Judges(TypedDict):
    """What `judges.json` says."""

    alpha: float | None
    flags: list[str]
    judges: dict[str, dict[str, Mean | Any | None]]


class Fit(TypedDict):
    """Of the composition rule to judged fusions."""

    factor: float | None
    low: float | None
    high: float | None
    r2: float | None


class Spent(TypedDict):
    """By a role."""

    usd: float


class Sidecar(TypedDict):
    """What is shown of the table's sidecar."""

    rows: int
    smoke: bool
    spent: list[Spent]
    coherence: Fit


def recording_sections(folder: Path) -> list[str]:
    """Facts, judges and fusions of a recording, as HTML.

    Args:
        folder: What `edge-experts record` saved to.
    """
    report = read_typed(folder / JUDGES, Judges)
    sidecar = typed(read_yaml(folder / "table.yaml"), Sidecar, f"'{folder / 'table.yaml'}' is damaged")
    fit = sidecar["coherence"]
    facts = {
        "rows": sidecar["rows"],
        "smoke": "a small model answered: no figure means anything" if sidecar["smoke"] else None,
        "dollars": sum(line["usd"] for line in sidecar["spent"]),
        "Krippendorff's alpha": report["alpha"],
        "coherence factor": fit["factor"],
        "its 95 % interval": f"{fit['low']:.3f} to {fit['high']:.3f}" if fit["low"] is not None else None,
        "R² of the composition rule": fit["r2"],
        **{f"beware ({i})": flag for i, flag in enumerate(report["flags"], 1)},
    }
    return [facts_table(facts), panels("Judges", _judge_panels(report["judges"])), _fusions(folder)]


def _judge_panels(judges: dict[str, Any]) -> list[tuple[str, str, Traces]]:
    found: list[tuple[str, str, Traces]] = []
    for name, title in MEASURES.items():
        told = {judge: of[name]["mean"] for judge, of in judges.items() if of[name] and of[name]["mean"] is not None}
        if told:
            found.append((title, "bar", [(title, list(told), list(told.values()))]))
    return found


def _fusions(folder: Path) -> str:
    """Judged fusions over what the composition rule says of them."""
    with (folder / "fused.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["predicted"] and row["quality"]]
    traces = [
        (
            f"{changes} changes of expert",
            [float(row["predicted"]) for row in rows if row["changes"] == changes],
            [float(row["quality"]) for row in rows if row["changes"] == changes],
        )
        for changes in sorted({row["changes"] for row in rows})
    ]
    return panels("Fusions", [("Judged quality", "mean of the parts (mark: a fusion)", traces)])
