"""What runs of the game say, in a table, in sentences and in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..markdown import table
from .runs import Row
from .solvers import TITLES

TOLERANCE = 0.05  # list prices

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
    """Whether learned prices lie above the constant one that pays a deviating provider best; nothing without rules."""
    told = []
    for label, solver, runs in _groups(rows):
        found = [best for run in runs if (best := _best_constant(run)) is not None]
        if found:
            replies = "/".join(f"{price:g}" for price in sorted(set(found)))
            prices = [run["price"] for run in runs]
            above = min(prices) > max(found) + TOLERANCE
            where = f" ({label})" if len(_variants(rows)) > 1 else ""
            told.append(
                f"{TITLES[solver]}{where}: {np.mean(prices):.2f} learned, {replies} the best constant price of one "
                "provider" + (", so the learned one lies above it" if above else "")
            )
    if not told:
        return ""
    verdict = "above" if any("lies above" in text for text in told) else "nowhere above"
    note = ", a sign of it but no proof: the best is one provider's, the learned the mean of all" * (verdict == "above")
    return (
        f"Prices in list prices: {'; '.join(told)}. Prices that are kept up together would lie above what pays one "
        f"provider best while the others keep to theirs; here they lie {verdict} it{note}."
    )


def _best_constant(run: Row) -> float | None:
    """The constant price that paid a deviating provider best on the episodes of the choice, in list prices."""
    gains = {
        float(name.split()[1]): gain
        for name, gain in run["deviations"]["provider"]["starts"].items()
        if name.startswith("always ")
    }
    return max(gains, key=lambda price: gains[price]) if gains else None


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
