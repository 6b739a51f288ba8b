"""Build the shipped quality tables and arrival traces from a folder of recorded figures.

Run `python -m edge_experts.envs.tables.build FIGURES [OUT]`. Nothing at run time needs this script: the tables it
writes are part of the package. `experts.csv` comes from `build_experts.py`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from ..io.atomic import replacing, write_text

TOKENS_PER_WORD = 4 / 3  # OpenAI's rule of thumb: one token is about three quarters of an English word
CLIP_BITS = 6 * 5e6  # a 6 s clip at 5 Mbit/s, a common 720p streaming rate
MESH_BITS = 20e6 * 8  # a textured mesh of 20 MB
OPINIONS_3D = 107_520 // (1_280 * 4)  # annotations over assets and dimensions: 21 viewers

Row = dict[str, Any]


def build_text(rows: list[Row], second: list[Row]) -> list[Row]:
    """WildBench: a judge's 1..10 score, a second one's of six experts, bytes (recorded) and tokens (from words)."""
    judged = {(row["prompt"], row["expert"]): round((float(row["score"]) - 1) / 9, 6) for row in second}
    return [
        {
            "prompt": row["prompt"],
            "category": row["category"],
            "expert": row["expert"],
            "quality": round((float(row["score"]) - 1) / 9, 6),
            "output_bits": 8 * int(row["output_bytes"]),
            "work_units": round(TOKENS_PER_WORD * int(row["output_words"]), 2),
            "n_ratings": 1,
            "second_judge": judged.get((row["prompt"], row["expert"]), ""),
        }
        for row in rows
    ]


def build_video(rows: list[Row]) -> list[Row]:
    """Video-Bench: quality is the mean of the dimensions rated for a prompt, each rescaled from 1..top."""
    cells: dict[tuple[str, str, str], dict[str, tuple[float, int]]] = defaultdict(dict)
    for row in rows:
        rating = (float(row["mean_rating"]) - 1) / (float(row["scale_max"]) - 1)
        key = (row["prompt"], row["category"], row["expert"])
        cells[key][row["dimension"]] = (round(rating, 6), int(row["n_ratings"]))
    dimensions = sorted({row["dimension"] for row in rows})
    return [
        {
            "prompt": prompt,
            "category": category,
            "expert": expert,
            "quality": round(statistics.fmean(rating for rating, _ in rated.values()), 6),
            "output_bits": CLIP_BITS,
            "work_units": 1,
            "n_ratings": sum(count for _, count in rated.values()),
            **{name: rated[name][0] if name in rated else "" for name in dimensions},
        }
        for (prompt, category, expert), rated in cells.items()
    ]


def build_object3d(rows: list[Row]) -> list[Row]:
    """MATE-3D: mean opinion scores 0..10; quality is the viewers' own overall score."""
    return [
        {
            "prompt": row["prompt"],
            "category": row["category"],
            "expert": row["expert"],
            "quality": round(float(row["overall"]) / 10, 6),
            "output_bits": MESH_BITS,
            "work_units": 1,
            "n_ratings": OPINIONS_3D,
            **{name: round(float(row[name]) / 10, 6) for name in ("alignment", "geometry", "texture")},
        }
        for row in rows
    ]


META: dict[str, Row] = {
    "text": {
        "modality": "text",
        "scale": "1..10, one LLM judge (gpt-4o-2024-05-13), rescaled as (score - 1) / 9",
        "source": "WildBench v2 results, release v2.0625; second judge (gpt-4-turbo-2024-04-09): release v2.0522",
        "licence": "Apache-2.0",
        "status": {
            "quality": "recorded",
            "output_bits": "recorded",
            "work_units": "modelled",
            "n_ratings": "recorded",
            "second_judge": "recorded",
        },
        "partial": ["second_judge"],
    },
    "video": {
        "modality": "video",
        "scale": "1..5 or 1..3 by dimension, mean of human ratings, rescaled as (rating - 1) / (top - 1)",
        "source": "Video-Bench human annotations",
        "licence": "Apache-2.0",
        "status": {
            "quality": "recorded",
            "output_bits": "modelled",
            "work_units": "modelled",
            "n_ratings": "recorded",
            **dict.fromkeys(
                (
                    "action",
                    "aesthetic_quality",
                    "color",
                    "imaging_quality",
                    "motion_effects",
                    "object_class",
                    "scene",
                    "temporal_consistency",
                ),
                "recorded",
            ),
        },
    },
    "object3d": {
        "modality": "object3d",
        "scale": "0..10, mean opinion score of viewers, divided by 10",
        "source": "MATE-3D subjective scores, arXiv 2412.11170",
        "licence": "see DATASHEET.md",
        "status": {
            "quality": "recorded",
            "output_bits": "modelled",
            "work_units": "modelled",
            "n_ratings": "recorded",
            "alignment": "recorded",
            "geometry": "recorded",
            "texture": "recorded",
        },
    },
}
BUILDERS: dict[str, Callable[..., list[Row]]] = {"text": build_text, "video": build_video, "object3d": build_object3d}
FURTHER = {"text": ["text_second_judge"]}  # files that a table is built from beside its own
TRACES = ("conv", "code")


def write_table(path: Path, rows: Iterable[Row], meta: Row | None = None) -> None:
    """Write a CSV table, and its sidecar with the checksum, each by rename so that nothing half-written is left."""
    listed = list(rows)
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, listed[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
    if meta is not None:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        about = yaml.safe_dump({**meta, "rows": len(listed), "sha256": digest}, sort_keys=False)
        write_text(path.with_suffix(".yaml"), about)


def _read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def main() -> None:
    """Build every table from the figures folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path, help="folder with text.csv, text_second_judge.csv, video.csv, ...")
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parent, help="where the tables go")
    args = parser.parse_args()
    for name, build in BUILDERS.items():
        rows = sorted(
            build(*(_read(args.figures / f"{file}.csv") for file in (name, *FURTHER.get(name, [])))),
            key=lambda row: (row["category"], int(row["prompt"]), row["expert"]),
        )
        write_table(args.out / f"{name}.csv", rows, META[name])
    for name in TRACES:
        rows = [
            {"slot": row["slot_5s"], "requests": row["requests"]}
            for row in _read(args.figures / f"arrivals_{name}.csv")
        ]
        write_table(args.out / f"arrivals_{name}.csv", rows)


if __name__ == "__main__":
    main()
