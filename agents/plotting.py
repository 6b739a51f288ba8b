"""Figures without a screen, and the learning curve of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_experts.envs.io.atomic import replacing


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
    """Write a figure in the format of the path's ending, whole or not at all."""
    with replacing(path) as part:
        figure.savefig(part, format=path.suffix[1:], **options)


def draw_curve(rows: list[dict[str, Any]], path: Path, title: str) -> bool:
    """Draw return, or normalised score where it is known, over environment steps.

    Args:
        rows: The run's results, one an iteration.
        path: PNG file to write.
        title: Of the picture.

    Returns:
        Whether there was anything to draw and matplotlib is installed.
    """
    key = "normalised_score" if any("normalised_score" in row for row in rows) else "episode_return_mean"
    points = [(row["env_steps"], row[key]) for row in rows if row.get(key) is not None]
    if not points:
        return False
    try:
        figure = new_figure(6.4, 4.0, dpi=110)
    except ImportError:
        return False
    axes = figure.subplots()
    axes.plot(*zip(*points, strict=True), lw=1.8)
    axes.set(xlabel="environment steps", ylabel=key.replace("_", " "), title=title)
    axes.grid(alpha=0.3)
    if key == "normalised_score":
        axes.axhline(0, color="0.5", lw=1, ls=":")
        axes.axhline(1, color="0.5", lw=1, ls=":")
        axes.annotate("reference", (points[0][0], 1), xytext=(0, 3), textcoords="offset points", fontsize=8)
        axes.annotate("random", (points[0][0], 0), xytext=(0, 3), textcoords="offset points", fontsize=8)
    save_figure(figure, path)
    return True
