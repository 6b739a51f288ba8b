"""What branches add to a policy as experts specialise: MoE-PPO less its controls, by protocol `configs/law.yaml`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_experts.envs.io.strict_yaml import read_yaml
from edge_experts.envs.tables.reading import TABLES_DIR

from .page import interval, name_of

MIXTURE = "moe_ppo"
CONTROLS = {"dense_ppo": "equal size", "dense_work": "equal work"}


def mixtures(folder: Path) -> list[dict[str, Any]]:
    """A row for each result of `edge-experts bench` under a folder, those of the least concentration first.

    A row has the `concentration` that the market's table was trained at (`None`: evenly), `name`, `seed`, and `score`:
    0 what random play reaches in that market, 1 the reference.

    Raises:
        ValueError: if a market's table is not of federated experts.
    """
    rows = []
    for file in sorted(folder.glob("*/*/seed_*.json")):
        found = json.loads(file.read_text("utf-8"))
        table = Path(found["provenance"]["scenario"]["tables"]["quality"])
        sheet = table.with_suffix(".yaml") if table.suffix else TABLES_DIR / f"{table}.yaml"
        about = read_yaml(sheet)
        if "plan" not in about:
            raise ValueError(f"{file}: '{table}' is no table of `edge-experts federate --table`; remove the result")
        concentration = about["plan"]["split"]["concentration"]
        row = {"concentration": concentration, "name": found["name"], "seed": found["seed"]}
        rows.append({**row, "score": found["normalised_score"], "env_steps": found["env_steps"]})
    return sorted(rows, key=lambda row: (row["concentration"] is None, row["concentration"] or 0.0))


def differences(rows: list[dict[str, Any]], control: str) -> dict[float | None, list[float]]:
    """Scores of MoE-PPO less those of a control on the same seeds, by concentration."""
    found: dict[float | None, list[float]] = {}
    for value in dict.fromkeys(row["concentration"] for row in rows):
        mine, other = (
            {row["seed"]: row["score"] for row in rows if row["concentration"] == value and row["name"] == name}
            for name in (MIXTURE, control)
        )
        if common := [seed for seed in mine if seed in other]:
            found[value] = [mine[seed] - other[seed] for seed in common]
    return found


def mixtures_table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of MoE-PPO's score and of its differences: a row for each concentration."""
    heads = [f"less dense PPO of {what}" for what in CONTROLS.values()]
    lines = [f"| concentration | MoE-PPO | {' | '.join(heads)} | seeds |", f"|---|---|{'---|' * len(CONTROLS)}---|"]
    by_control = {control: differences(rows, control) for control in CONTROLS}
    for value in dict.fromkeys(row["concentration"] for row in rows):
        scores = [row["score"] for row in rows if row["concentration"] == value and row["name"] == MIXTURE]
        cells = ["{:.3f} ± {:.3f}".format(*interval(scores))]
        for found in by_control.values():
            cells.append("{:+.3f} ± {:.3f}".format(*interval(found[value])) if value in found else "-")
        lines.append(f"| {name_of(value)} | {' | '.join(cells)} | {len(scores)} |")
    return "\n".join(lines)
