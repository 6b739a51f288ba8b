"""Figures of the leaderboard: scores over steps and time, intervals, performance profiles, what routers do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_experts.agents.plotting import new_figure, save_figure

from ..evaluation.metrics import mean_interval
from .bootstrap import bootstrap_band, bootstrap_interval, interquartile_mean, performance_profile
from .data import MIXTURE, Leaderboard, bare

LEVELS = np.linspace(0.0, 1.0, 101)
DIGEST = "Results"  # in the pictures' metadata: what they were drawn from


def draw_all(board: Leaderboard, folder: Path, digest: str) -> list[Path]:
    """Draw every figure into a folder.

    Args:
        board: What to draw.
        folder: Where the pictures go.
        digest: Of the results; pictures carry it, so that it can be told whether they are up to date.
    """
    figures = {"bench_scores.png": _draw_scores(board), "bench_profile.png": _draw_profile(board)}
    for env in board.envs:
        figures[f"bench_curves_{bare(env)}.png"] = _draw_curves(board, env)
        routed = _draw_routers(board, env)
        if routed is not None:
            figures[f"bench_routers_{bare(env)}.png"] = routed
    paths = []
    for name, figure in figures.items():
        path = folder / name
        save_figure(figure, path, dpi=100, metadata={DIGEST: digest})
        paths.append(path)
    return paths


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    figure = new_figure(*size)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _colours(board: Leaderboard) -> dict[str, Any]:
    """A colour for each algorithm, the same in all figures."""
    from matplotlib import colormaps

    names = sorted({name for cells in board.cells.values() for name in cells})
    palette = colormaps["tab20"]
    return {name: palette(i % 20) for i, name in enumerate(names)}


def _draw_scores(board: Leaderboard) -> Any:
    """Score of every algorithm on every environment, and of all together, with intervals."""
    names, colours = board.names[::-1], _colours(board)
    figure, axes = _figure(1, len(board.envs) + 1, (3.2 * (len(board.envs) + 1), 1.2 + 0.32 * len(names)))
    columns = [(bare(env), [mean_interval(board.runs(env, n)) for n in names]) for env in board.envs]
    columns.append(
        ("all: interquartile mean", [bootstrap_interval(interquartile_mean, board.scores(n)) for n in names])
    )
    for ax, (title, intervals) in zip(axes[0], columns, strict=True):
        for y, (name, one) in enumerate(zip(names, intervals, strict=True)):
            ax.plot([one.low, one.high], [y, y], color=colours[name], lw=7, alpha=0.5, solid_capstyle="butt")
            ax.plot(one.mean, y, "|", color="black", ms=11, mew=2)
        ax.set(title=title, yticks=range(len(names)), xlabel="normalised score")
        ax.set_yticklabels([board.title(n) for n in names] if ax is axes[0][0] else [])
        ax.grid(axis="x", alpha=0.3)
    return figure


def _draw_profile(board: Leaderboard) -> Any:
    """Share of runs above each score."""
    figure, axes = _figure(1, 1, (7.4, 4.4))
    colours = _colours(board)
    for name in board.names:
        scores = board.scores(name)
        axes[0][0].plot(LEVELS, performance_profile(scores, LEVELS), color=colours[name], label=board.title(name))
        low, high = bootstrap_band(lambda s: performance_profile(s, LEVELS), scores)
        axes[0][0].fill_between(LEVELS, low, high, color=colours[name], alpha=0.12)
    axes[0][0].set(xlabel="normalised score", ylabel="share of runs above it", title="performance profiles")
    axes[0][0].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axes[0][0].grid(alpha=0.3)
    return figure


def _draw_curves(board: Leaderboard, env: str) -> Any:
    """Score on evaluation episodes over environment steps and over processor time."""
    figure, axes = _figure(1, 2, (11.5, 4.2))
    colours = _colours(board)
    for name in board.ranked(env):
        runs = [result["curve"] for result in board.cells[env][name] if result["curve"]]
        if not runs:
            continue
        points = min(len(curve) for curve in runs)
        for ax, key in zip(axes[0], ("env_steps", "cpu_time_s"), strict=True):
            x = np.mean([[point[key] for point in curve[:points]] for curve in runs], axis=0)
            y = np.array([[point["normalised_score"] for point in curve[:points]] for curve in runs])
            ax.plot(x, y.mean(axis=0), color=colours[name], label=board.title(name), lw=1.6)
            ax.fill_between(x, y.min(axis=0), y.max(axis=0), color=colours[name], alpha=0.12)
    for policy, score in board.heuristics(env).items():
        for ax in axes[0]:
            ax.axhline(score, color="0.4", lw=1, ls=":")
        axes[0][0].annotate(policy, (0, score), xytext=(2, 2), textcoords="offset points", fontsize=7, color="0.3")
    axes[0][0].set(xlabel="environment steps", ylabel="normalised score", title=env, ylim=(-0.5, 1.02))
    axes[0][1].set(xlabel="processor time of training, s", title="mean and range over seeds", ylim=(-0.5, 1.02))
    axes[0][1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axes[0][0].xaxis.set_major_formatter(lambda x, _: f"{x / 1000:,.0f} k")
    for ax in axes[0]:
        ax.grid(alpha=0.3)
    return figure


def _draw_routers(board: Leaderboard, env: str) -> Any:
    """Which branch gets what, in the first run of every mixture's user policy."""
    from edge_experts.agents.mixture.metrics import heat_map

    shown = [
        (name, report)
        for name in sorted(board.cells[env], key=lambda name: name != MIXTURE)
        if (report := (board.cells[env][name][0].get("router") or {}).get("user")) is not None
    ]
    if not shown:
        return None
    maps = [(name, *heat_map(report)) for name, report in shown]
    rows = max(len(names) for _, names, _ in maps)
    figure, axes = _figure(1, len(maps), (2.2 + 2.4 * len(maps), 1.2 + 0.2 * rows))
    for ax, (name, labels, shares) in zip(axes[0], maps, strict=True):
        image = ax.imshow(shares, vmin=0.0, vmax=1.0, cmap="viridis", aspect="auto")
        ax.set(title=board.title(name), xlabel="branch", xticks=range(shares.shape[1]), yticks=range(len(labels)))
        ax.set_yticklabels(labels, fontsize=6)
    figure.colorbar(image, ax=axes[0][-1], label="share of the rows")
    return figure
