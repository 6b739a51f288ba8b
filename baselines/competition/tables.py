"""What runs of the game say, in a table, in sentences and in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..evaluation.metrics import Interval
from ..leaderboard.bootstrap import bootstrap_interval, difference_of_means
from ..markdown import table
from .runs import Row
from .solvers import TITLES

HEADER = (
    "players", "runs", "welfare", "price of anarchy", "a user's surplus", "a provider's profit", "price", "Jain",
    "Gini", "user gains by deviating", "provider gains", "exploitability", "CPU-seconds",
)  # fmt: skip


def outcome_table(rows: Sequence[Row]) -> str:
    """A row for each solver, and variant if there are several: means over seeds."""
    varied = _variants(rows)
    lines = []
    for label, solver, runs in _groups(rows):
        deviations = [_gain(runs, role) for role in ("user", "provider")]
        numbers = [
            f"{_mean(runs, 'welfare'):.0f}",
            _ratio(runs),
            f"{_mean(runs, 'surplus'):.2f}",
            f"{_mean(runs, 'profit'):.2f}",
            f"{_mean(runs, 'price'):.2f}",
            f"{_mean(runs, 'jain'):.3f}",
            f"{_mean(runs, 'gini'):.3f}",
            *deviations,
            f"{_mean(runs, 'exploitability'):.0%}",
            f"{_mean(runs, 'cpu_time_s'):,.0f}",
        ]
        lines.append([*([label] if len(varied) > 1 else []), TITLES[solver], str(len(runs)), *numbers])
    return table([*(["market"] if len(varied) > 1 else []), *HEADER], lines)


def collusion_sentence(rows: Sequence[Row]) -> str:
    """Whether prices that are learned together lie above those of providers who see one slot ahead; else nothing."""
    by_solver = {solver: runs for label, solver, runs in _groups(rows)}
    if not {"together", "one_shot"} <= set(by_solver) or len(_variants(rows)) > 1:
        return ""
    prices = {name: np.array([row["price"] for row in by_solver[name]]) for name in ("together", "one_shot")}
    told = (
        f"Prices learned side by side end at {prices['together'].mean():.2f} list prices, those of providers who see "
        f"one slot ahead at {prices['one_shot'].mean():.2f}"
    )
    if min(map(len, prices.values())) < 2:
        return f"{told} (one run each)."
    found = bootstrap_interval(difference_of_means, [prices["together"]], [prices["one_shot"]])
    verdict = _verdict(found, "They lie above", "They lie below")
    return f"{told}: a difference of {_signed(found)}. {verdict} the one-shot price."


def providers_sentence(rows: Sequence[Row], field: str) -> str:
    """How the price moves with a scenario field, by solver; nothing where it does not vary."""
    values = sorted({row["changes"][field] for row in rows if field in row["changes"]})
    if len(values) < 2:
        return ""
    told = []
    for solver in dict.fromkeys(row["solver"] for row in rows):
        prices = [
            np.mean([row["price"] for row in rows if row["solver"] == solver and row["changes"].get(field) == value])
            for value in values
        ]
        falls = all(a > b for a, b in pairwise(prices))
        rises = all(a < b for a, b in pairwise(prices))
        moved = "falls" if falls else "rises" if rises else "neither rises nor falls throughout"
        told.append(f"{TITLES[solver]}: {', '.join(f'{price:.3f}' for price in prices)} list prices, which {moved}")
    return f"With {field} of {', '.join(map(str, values))}, the mean price is, {'; '.join(told)}."


def draw(rows: Sequence[Row], path: Path, field: str | None = None) -> None:
    """Posted prices over training, and, where a field varies, in the end against the field.

    Args:
        rows: Of `runs.fill`.
        path: Of the picture.
        field: That varies.
    """
    from edge_experts.agents.plotting import new_figure, save_figure

    values = sorted({row["changes"][field] for row in rows}) if field else []
    figure = new_figure(5.6 * (2 if len(values) > 1 else 1), 3.8)
    axes = np.ravel(figure.subplots(1, 2 if len(values) > 1 else 1))
    for label, solver, runs in _groups(rows):
        count = min(len(row["prices"]) for row in runs)
        curves = np.array([row["prices"][:count] for row in runs], float)
        name = f"{TITLES[solver]}, {label}" if len(values) > 1 else TITLES[solver]
        axes[0].plot(curves[0, :, 0], curves[..., 1].mean(axis=0), label=name, lw=1.4)
    axes[0].set(xlabel="environment steps", ylabel="mean posted price, list prices", title="prices over training")
    if len(values) > 1:
        for solver in dict.fromkeys(row["solver"] for row in rows):
            of = [
                [row["price"] for row in rows if row["solver"] == solver and row["changes"][field] == v] for v in values
            ]
            axes[1].errorbar(
                values,
                [np.mean(found) for found in of],
                [[np.mean(found) - min(found) for found in of], [max(found) - np.mean(found) for found in of]],
                marker="o",
                capsize=3,
                label=TITLES[solver],
            )
        axes[1].set(xlabel=field, xticks=values, title="price in the end, mean and range over seeds")
    for ax in axes:
        ax.legend(fontsize=6, frameon=False)
        ax.grid(alpha=0.3)
    save_figure(figure, path, dpi=110)


def _groups(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
    """Variant, solver and their runs, in the order of the rows."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((_label(row), row["solver"]), []).append(row)
    return [(label, solver, runs) for (label, solver), runs in found.items()]


def _label(row: Row) -> str:
    """A variant's environment and what was changed of it."""
    changes = ", ".join(f"{name}={value}" for name, value in row["changes"].items())
    return row["env"].rpartition("/")[2] + (f", {changes}" if changes else "")


def _variants(rows: Sequence[Row]) -> set[str]:
    return {_label(row) for row in rows}


def _mean(runs: Sequence[Row], name: str) -> float:
    return float(np.mean([row[name] for row in runs]))


def _ratio(runs: Sequence[Row]) -> str:
    known = [row["price_of_anarchy"] for row in runs]
    return "-" if None in known else f"{np.mean(known):.2f}"


def _gain(runs: Sequence[Row], role: str) -> str:
    """Of the deviators of a role: mean gain, and what the most of them did."""
    gains = [row["deviations"][role]["gain"]["mean"] for row in runs]
    starts = [row["deviations"][role]["start"] for row in runs]
    return f"{np.mean(gains):.2f} ({max(dict.fromkeys(starts), key=starts.count)})"


def _signed(found: Interval) -> str:
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _verdict(found: Interval, above: str, below: str) -> str:
    if found.low > 0.0:
        return above
    return below if found.high < 0.0 else "They cannot be told from"
