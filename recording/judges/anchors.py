"""Scores that people gave to some of the answers, to see how far judges are from them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..plan import Plan, PlanError
from ..records import Record

COLUMNS = ("prompt", "part", "expert", "score")


class Place(NamedTuple):
    """Which answer a person scored: an expert's first one to a part of a prompt."""

    prompt: str
    part: int
    expert: str


def read_anchors(plan: Plan, prompts: Sequence[str]) -> dict[Place, float]:
    """The people's scores that a plan names; none if it names no file.

    Args:
        plan: Whose `anchors` is a CSV file with `prompt`, `part`, `expert` and `score` (0 to 10).
        prompts: Ids that there are.

    Raises:
        PlanError: naming the file, the line, the column and the fix.
    """
    if not plan.anchors:
        return {}
    path = Path(plan.anchors)
    if not path.is_file():
        raise PlanError(f"anchors: there is no file '{path}'")
    found: dict[Place, float] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        for name in COLUMNS:
            if name not in (reader.fieldnames or ()):
                raise PlanError(f"{path}: column '{name}' is missing: the columns are {', '.join(COLUMNS)}")
        for row in reader:
            place, score = _read(plan, prompts, f"{path}, line {reader.line_num}", row)
            found[place] = score
    return found


def _read(plan: Plan, prompts: Sequence[str], where: str, row: Mapping[str, str]) -> tuple[Place, float]:
    known = {
        "prompt": list(prompts),
        "part": [str(part) for part in range(plan.parts)],
        "expert": [expert.name for expert in plan.experts],
    }
    for name, values in known.items():
        if row[name] not in values:
            raise PlanError(f"{where}: {name}: {row[name]!r} is not one of the plan's")
    try:
        score = float(row["score"])
    except (TypeError, ValueError):
        raise PlanError(f"{where}: score: {row['score']!r} is not a number") from None
    if not 0 <= score <= 10:
        raise PlanError(f"{where}: score: {score:g} is outside 0 to 10")
    return Place(row["prompt"], int(row["part"]), row["expert"]), score


def beside_people(judge: str, records: Sequence[Record], anchors: Mapping[Place, float]) -> dict[str, Any] | None:
    """How a judge's scores stand beside people's.

    Returns:
        `mean` of the judge's score less people's, in points of 10, `correlation` (Pearson; None where one of them never
        varies) and the number `n`; None without a common answer.
    """
    pairs = []
    for record in records:
        for part in record.parts:
            for expert, answers in part.answers.items():
                person = anchors.get(Place(record.prompt.id, part.index, expert))
                score = answers[0].scores.get(judge) if answers else None
                if person is not None and score is not None:
                    pairs.append((score, person))
    if not pairs:
        return None
    mine, people = np.array(pairs).T
    varied = len(pairs) > 1 and np.ptp(mine) > 0 and np.ptp(people) > 0
    correlation = float(np.corrcoef(mine, people)[0, 1]) if varied else None
    return {"mean": float((mine - people).mean()), "correlation": correlation, "n": len(pairs)}
