"""Markdown tables, and numbers with their intervals as table cells."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # needs SciPy, which tables do not
    from .evaluation.metrics import Interval


def table(head: Sequence[str], rows: Sequence[Sequence[str]], is_padded: bool = False) -> str:
    """A Markdown table, padded if it is for a terminal."""
    widths = [max(map(len, column)) if is_padded else 0 for column in zip(head, *rows, strict=True)]
    rule = "|".join("-" * (width + 2 if is_padded else 3) for width in widths)
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def full(interval: Interval) -> str:
    """A mean with its interval, or alone if it has none."""
    return _joined(interval, ".3f")


def short(interval: Interval) -> str:
    """The same in two digits."""
    return _joined(interval, ".2f")


def signed(interval: Interval) -> str:
    """The same of a difference."""
    return _joined(interval, "+.3f")


def _joined(interval: Interval, form: str) -> str:
    mean = format(interval.mean, form)
    return mean if isnan(interval.low) else f"{mean} [{interval.low:{form}}, {interval.high:{form}}]"
