"""A recording as files: a quality table with its sidecar, the experts, the fusions, and a scenario that is ready."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edge_experts.envs.scenarios import load_scenario
from edge_experts.envs.sim.params import load_params
from edge_experts.envs.tables.expert_table import COLUMNS

from .judges.coherence import Fit, predicted
from .plan import Expert, Plan, PlanError
from .prompts import MODALITY
from .records import Answer, Part, Record

FILES = ("table.csv", "table.parquet", "table.yaml", "experts.csv", "fused.csv", "judges.json", "scenario.yaml")
TEXTS = "texts.jsonl"
SCALE = (
    "0..10, mean of the judges {names}, each the expectation over the digits' log-probabilities or the mean of three"
)
CREDITS_PER_USD = 1000
SLOT_S = 5.0
Row = dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """All that is exported.

    Attributes:
        plan: What was asked for.
        records: What was recorded.
        judges: The judges' report.
        fit: Of the composition rule.
        spent: Calls, tokens and dollars by role and model.
        smoke: Whether the small local model answered: then the scores mean nothing.
    """

    plan: Plan
    records: Sequence[Record]
    judges: Mapping[str, Any]
    fit: Fit
    spent: Sequence[Mapping[str, Any]]
    smoke: bool


def export(recording: Recording, folder: Path, keep_text: bool) -> list[Path]:
    """Write all files; none of them if the market does not take them.

    Args:
        recording: What to write.
        folder: Where to.
        keep_text: Also write prompts and answers.

    Raises:
        PlanError: if no sub-prompt was scored.
        TableError: if a category lost so many prompts that the table cannot be used.
        ScenarioError: as `TableError`.
    """
    rows, left_out = table_rows(recording)
    if not rows:
        raise PlanError(f"record: no sub-prompt has a score of every expert; {left_out[0]['why']}")
    part = folder / ".export.part"
    shutil.rmtree(part, ignore_errors=True)  # of an export that was killed
    part.mkdir()
    try:
        table = part / f"table.{recording.plan.format}"
        (_write_csv if table.suffix == ".csv" else _write_parquet)(table, rows)
        _write_csv(part / "experts.csv", [_expert_row(recording, expert) for expert in recording.plan.experts])
        _write_csv(part / "fused.csv", fused_rows(recording), fused_columns(recording.plan))
        _write_yaml(part / "table.yaml", sidecar(recording, rows, left_out, table))
        (part / "judges.json").write_text(json.dumps(recording.judges, indent=1) + "\n", "utf-8")
        _write_yaml(part / "scenario.yaml", scenario_of(recording, rows, _slug(folder)))
        load_params(load_scenario(part / "scenario.yaml"))
        if keep_text:
            lines = (json.dumps(line, ensure_ascii=False) for line in texts(recording))
            (part / TEXTS).write_text("\n".join(lines) + "\n", "utf-8")
        written = [file for file in (*FILES, TEXTS) if (part / file).exists()]
        for old in ("table.yaml", "table.csv", "table.parquet"):  # the first states the checksum of what goes
            (folder / old).unlink(missing_ok=True)
        for file in written:
            os.replace(part / file, folder / file)
    finally:
        shutil.rmtree(part)
    return [folder / file for file in written]


def table_rows(recording: Recording) -> tuple[list[Row], list[Row]]:
    """The rows of the quality table, and the sub-prompts that are left out, with the reason.

    The column `part` is there if a prompt was split; `gate` if the gate read one; `judge_NAME` is what one judge says.
    """
    plan, rows, left_out = recording.plan, [], []
    read = any(part.readings for record in recording.records for part in record.parts)
    split = any(len(record.parts) > 1 for record in recording.records)
    for record in recording.records:
        for part in record.parts:
            why = _why_not(plan, part, read)
            if why:
                left_out.append({"prompt": record.prompt.id, "part": part.index, "why": why})
                continue
            for expert in plan.experts:
                row: Row = {"prompt": record.prompt.id, "category": record.prompt.category, "expert": expert.name}
                row |= _figures(plan, part.answers[expert.name])
                row |= {"part": part.index} if split else {}
                row |= {"gate": round(part.readings[expert.name], 6)} if read and part.readings else {}
                rows.append(row)
    return rows, left_out


def _why_not(plan: Plan, part: Part, read: bool) -> str:
    for expert in plan.experts:
        if not part.answers[expert.name]:
            return f"expert '{expert.name}' gave no usable answer"
        if all(answer.quality is None for answer in part.answers[expert.name]):
            return f"no judge scored expert '{expert.name}' in the form asked for"
    return "the gate gave no reading in the form asked for" if read and not part.readings else ""


def _figures(plan: Plan, answers: Sequence[Answer]) -> Row:
    """What is recorded of an expert's answers to a sub-prompt: means over the replicas that were scored."""
    scored = [answer for answer in answers if answer.quality is not None]

    def mean(values: Sequence[float | None]) -> float | str:
        given = [value for value in values if value is not None]
        return round(float(np.mean(given)), 9) if given else ""

    return {
        "quality": mean([answer.quality for answer in scored]),
        "output_bits": mean([8 * len(answer.text.encode()) for answer in scored]),
        "work_units": mean([answer.words for answer in scored]),
        "n_ratings": sum(answer.ratings for answer in scored),
        "seconds": mean([answer.reply.seconds for answer in scored]),
        "usd": mean([answer.reply.usd for answer in scored]),
    } | {f"judge_{judge.name}": mean([_tenth(answer, judge.name) for answer in scored]) for judge in plan.judges}


def _tenth(answer: Answer, judge: str) -> float | None:
    score = answer.scores.get(judge)
    return None if score is None else score / 10


def _answers_of(recording: Recording, expert: str) -> list[Answer]:
    return [answer for record in recording.records for _, name, answer in record.answers() if name == expert]


def _expert_row(recording: Recording, expert: Expert) -> Row:
    """An expert's row: seconds and dollars a word are all that its answers took, over all their words."""
    answers = _answers_of(recording, expert.name)
    words = max(1, sum(answer.words for answer in answers))
    measured = f"measured: {len(answers)} answers with {words} words"
    stated = "stated in the plan" if expert.host_class != "cloud" else "an endpoint's host is not known"
    values = {
        "expert": expert.name,
        "modality": MODALITY,
        "unit": "word",
        "host_class": expert.host_class,
        "reference_device": f"the endpoint of {expert.model}",
        "parameters": "" if expert.parameters is None else expert.parameters,
        "parameters_source": "not known" if expert.parameters is None else "stated in the plan",
        "memory_gb": expert.memory_gb,
        "memory_gb_source": stated,
        "seconds_per_unit": max(1e-9, sum(answer.reply.seconds for answer in answers) / words),
        "seconds_per_unit_source": f"{measured}, from the question to the end of the answer",
        "power_w": expert.power_w,
        "power_w_source": "stated in the plan" if expert.power_w else "not known; the price covers it",
        "price_usd_per_unit": sum(answer.reply.usd for answer in answers) / words,
        "price_usd_per_unit_source": f"{measured}, at {expert.usd_in:g} and {expert.usd_out:g} USD a million tokens",
    }
    return {name: values[name] for name in COLUMNS}


def fused_columns(plan: Plan) -> list[str]:
    """The columns of `fused.csv`: `predicted` is what the composition rule says without a loss at changes of expert."""
    parts = [f"expert_{i}" for i in range(plan.parts)]
    judges = [f"judge_{judge.name}" for judge in plan.judges]
    figures = ["quality", "predicted", "output_bits", "words", "seconds", "usd", "n_ratings"]
    return ["prompt", "category", "how", *parts, "changes", *figures, *judges]


def fused_rows(recording: Recording) -> list[Row]:
    """The judged fusions."""
    rows = []
    for record in recording.records:
        for fusion in record.fusions:
            row: Row = {"prompt": record.prompt.id, "category": record.prompt.category, "how": fusion.how}
            row |= {f"expert_{i}": name for i, name in enumerate(fusion.experts)}
            row |= _figures(recording.plan, [fusion.answer])
            rule = predicted(record, fusion, 1.0)
            row |= {"changes": fusion.changes, "predicted": "" if rule is None else round(rule, 9)}
            row["words"] = row.pop("work_units")
            rows.append(row)
    return rows


def sidecar(recording: Recording, rows: Sequence[Row], left_out: Sequence[Row], table: Path) -> Row:
    """What stands beside the table: scale, status of each column, judges, coherence, what it cost, checksum."""
    plan = recording.plan
    judges = [f"judge_{judge.name}" for judge in plan.judges]
    figures = [name for name in rows[0] if name not in ("prompt", "category", "expert", "part")]
    cut = {e.name: sum(a.reply.finish == "length" for a in _answers_of(recording, e.name)) for e in plan.experts}
    return {
        "modality": MODALITY,
        "scale": SCALE.format(names=", ".join(judge.name for judge in plan.judges)) + "; divided by 10",
        "smoke": recording.smoke,
        "status": dict.fromkeys(figures, "smoke" if recording.smoke else "recorded"),
        "partial": judges,
        "models": {place: endpoint.model for place, endpoint in plan.endpoints()},
        "coherence": recording.fit._asdict(),
        "judges": {"alpha": recording.judges["alpha"], "flags": recording.judges["flags"]},
        "spent": [dict(line) for line in recording.spent],
        "cut_at_max_tokens": cut,
        "left_out": list(left_out),
        "rows": len(rows),
        "sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
    }


def scenario_of(recording: Recording, rows: Sequence[Row], slug: str) -> Row:
    """A market around the recorded experts, with what was recorded in place of defaults.

    A request is worth two to four times what the dearest expert takes for all its parts, but at least 4 to 8 credits,
    as in `text-v1`; its deadline leaves the slowest expert twice the time that it needs.
    """
    plan, parts = recording.plan, 1 + max(row.get("part", 0) for row in rows)
    usd = max(_mean(rows, expert, "usd") for expert in plan.experts)
    seconds = max(_mean(rows, expert, "seconds") for expert in plan.experts)
    tokens = [answer.reply.tokens_in for expert in plan.experts for answer in _answers_of(recording, expert.name)]
    worth = max(4.0, math.ceil(2 * parts * usd * CREDITS_PER_USD))
    requests = {
        "value_low": worth,
        "value_high": 2 * worth,
        "subtasks": parts,
        "split_work": False,
        "deadline_slots": max(4, math.ceil(2 * parts * seconds / SLOT_S)),
        "context_tokens": max(1.0, round(float(np.mean(tokens)), 1)),
    }
    if recording.fit.factor is not None:
        requests["coherence"] = recording.fit.factor
    names = ", ".join(expert.name for expert in plan.experts)
    return {
        "id": f"recorded/{slug}-v0",
        "title": f"{'Smoke test, not a measurement: ' if recording.smoke else ''}recorded experts {names}",
        "source": f"recorded by `edge-experts record`; models: {', '.join(e.model for e in plan.experts)}",
        "experts": [expert.name for expert in plan.experts],
        "episode": {"slot_s": SLOT_S},
        "tables": {"quality": f"table.{plan.format}", "experts": "experts.csv"},
        "requests": requests,
        "providers": {
            "count": min(4, len(plan.experts)),
            "memory_gb": max(18.0, *(expert.memory_gb for expert in plan.experts)),
        },
    }


def _mean(rows: Sequence[Row], expert: Expert, column: str) -> float:
    return float(np.mean([row[column] for row in rows if row["expert"] == expert.name]))


def texts(recording: Recording) -> list[Row]:
    """Prompts, sub-prompts, answers and fusions, as they were written."""
    lines: list[Row] = []
    for record in recording.records:
        where = {"prompt": record.prompt.id}
        lines.append({**where, "text": record.prompt.text})
        lines += [{**where, "part": part.index, "text": part.text} for part in record.parts]
        lines += [{**where, "part": p.index, "expert": name, "text": a.text} for p, name, a in record.answers()]
        lines += [{**where, "experts": list(f.experts), "text": f.answer.text} for f in record.fusions]
    return lines


def _slug(folder: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "table"


def _write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str] | None = None) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, columns or list(rows[0]), lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    """Write a table whose empty cells are null."""
    import pyarrow
    import pyarrow.parquet

    columns = {name: [None if row[name] == "" else row[name] for row in rows] for name in rows[0]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def _write_yaml(path: Path, data: Row) -> None:
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120), "utf-8")
