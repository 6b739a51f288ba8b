"""Figures without a screen, and files that appear only when they are complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def new_figure(width: float, height: float, **options: Any) -> Any:
    """An empty figure of a size in inches.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", **options)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path, **options: Any) -> None:
    """Write a PNG file to a temporary name, then rename."""
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, format="png", **options)
    os.replace(part, path)
