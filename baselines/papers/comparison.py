"""A paper's findings beside ours: question by question, with what of the paper could not be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.metrics import mean_interval
from ..leaderboard.bootstrap import bootstrap_interval, difference_of_means
from ..markdown import table

AGREES, DIFFERS, OPEN, UNSAID = "agrees", "differs", "cannot be told", "-"


@dataclass(frozen=True)
class Finding:
    """One thing that a paper says, and what is measured here."""

    question: str
    published: str
    ours: str
    verdict: str
    """`AGREES`, `DIFFERS` or `OPEN`; `UNSAID` where the paper does not say."""


@dataclass(frozen=True)
class Comparison:
    """A paper beside ours.

    Args:
        title: Of the paper.
        source: Where it stands.
        read: What of it could be read, and what could not.
        findings: Question by question.
        why: Why it agrees where it does, and why not where not.
    """

    title: str
    source: str
    read: str
    findings: Sequence[Finding]
    why: str

    def text(self) -> str:
        """As Markdown."""
        rows = [[f.question, f.published, f.ours, f.verdict] for f in self.findings]
        return "\n\n".join(
            [f"*{self.title}*, {self.source}. {self.read}", table(["", "published", "here", ""], rows), self.why]
        )


def runs_of(results: Path, env: str, name: str) -> list[dict[str, Any]]:
    """The results of an algorithm in an environment, by seed; none if it has not been run."""
    files = sorted((results / "bench" / env / name).glob("seed_*.json"))
    return [json.loads(file.read_text("utf-8")) for file in files]


def scores(runs: Sequence[dict[str, Any]]) -> list[float]:
    """Normalised scores."""
    return [float(run["normalised_score"]) for run in runs]


def told(values: Sequence[float], unit: str = "") -> str:
    """Mean and interval over runs, as far as there are runs."""
    if not values:
        return "not measured"
    if len(values) == 1:
        return f"{values[0]:.3f}{unit} (one run)"
    return f"{mean_interval(values)}{unit} ({len(values)} runs)"


def gain(first: Sequence[float], second: Sequence[float]) -> tuple[str, str]:
    """The difference of two means of runs with its interval, as on the leaderboard, and whether it is above zero.

    Returns:
        The text, and `AGREES` if the interval is above zero, `DIFFERS` if it is below, else `OPEN`.
    """
    if min(len(first), len(second)) < 2:
        return "not measured often enough", OPEN
    found = bootstrap_interval(difference_of_means, [np.asarray(first)], [np.asarray(second)])
    text = f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    return text, AGREES if found.low > 0 else DIFFERS if found.high < 0 else OPEN
