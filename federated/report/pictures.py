"""Pictures of stored runs: `python -m edge_experts.federated.report.pictures results/federated results/images`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_experts.envs.io.atomic import replacing

from ..data import load_data
from ..plan import load_plan
from ..training.clients import gather
from .law import CHOICES
from .mixtures import CONTROLS, differences, mixtures
from .page import interval, name_of


def draw_splits(runs: list[Path], file: Path) -> None:
    """Clients by classes for the first seed of each run: how many images of a class a client has."""
    figure, axes = _grid(len(runs))
    for axis, run in zip(axes, runs, strict=True):
        plan = load_plan(run / "plan.yaml")
        clients = gather(plan, load_data(plan.data), 0)
        counts = np.array([np.bincount(labels.numpy(), minlength=clients.classes) for labels in clients.labels])
        image = axis.imshow(counts, cmap="viridis", aspect="auto")
        figure.colorbar(image, ax=axis, label="images")
        axis.set(title=run.name, xlabel="class", ylabel="client", xticks=range(clients.classes))
    _save(figure, file)


def draw_curves(runs: list[Path], file: Path) -> None:
    """Global accuracy against rounds, means over seeds; the band reaches from the lowest seed to the highest."""
    figure, axes = _grid(len(runs))
    for axis, run in zip(axes, runs, strict=True):
        cells = json.loads((run / "details.json").read_text("utf-8"))
        for method in dict.fromkeys(cell["method"] for cell in cells if cell["curve"]):
            curves = np.array([cell["curve"] for cell in cells if cell["method"] == method])
            rounds = np.arange(1, curves.shape[1] + 1)
            (line,) = axis.plot(rounds, curves.mean(axis=0), label=method)
            axis.fill_between(rounds, curves.min(axis=0), curves.max(axis=0), color=line.get_color(), alpha=0.2)
        axis.set(title=run.name, xlabel="round", ylabel="global accuracy", ylim=(0, 1))
        axis.legend()
    _save(figure, file)


def draw_law(rows: list[dict[str, Any]], file: Path, trained: Sequence[dict[str, Any]] = ()) -> None:
    """What each way to choose experts is worth against the concentration; bars are 95% intervals over seeds.

    Args:
        rows: Of `law`.
        file: To write.
        trained: Of `mixtures`, if there are any: MoE-PPO less its controls, beside it.
    """
    import matplotlib.pyplot as plt

    columns = 2 if trained else 1
    figure, axes = plt.subplots(1, columns, figsize=(6 * columns, 3.6), squeeze=False, layout="constrained")
    dealt = list(dict.fromkeys(row["concentration"] for row in rows))
    worth = {
        name: {value: [row[name] for row in rows if row["concentration"] == value] for value in dealt}
        for name in CHOICES
    }
    _draw_lines(axes[0, 0], dealt, worth, "probability of the right class")
    if trained:
        gains = {f"less dense PPO of {what}": differences(list(trained), name) for name, what in CONTROLS.items()}
        axes[0, 1].axhline(0.0, color="grey", linewidth=0.8)
        _draw_lines(axes[0, 1], dealt, gains, "MoE-PPO's score less its control's")
    _save(figure, file)


def _draw_lines(axis: Any, dealt: list[float | None], lines: dict[str, Any], label: str) -> None:
    """A line for each name, where it has values: means against the concentration, with intervals."""
    for name, by_concentration in lines.items():
        there = [i for i, value in enumerate(dealt) if value in by_concentration]
        found = [interval(by_concentration[dealt[i]]) for i in there]
        axis.errorbar(there, [m for m, _ in found], [half for _, half in found], label=name, marker="o", capsize=3)
    axis.set(xlabel="concentration of the split", ylabel=label, xticks=range(len(dealt)), xlim=(-0.3, len(dealt) - 0.7))
    axis.set_xticklabels([name_of(value) for value in dealt])
    axis.legend()


def _grid(count: int) -> tuple[Any, list[Any]]:
    """A figure of so many axes, three in a row."""
    import matplotlib.pyplot as plt

    rows = -(-count // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(12, 3.2 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, list(axes.flat[:count])


def _save(figure: Any, file: Path) -> None:
    import matplotlib.pyplot as plt

    with replacing(file) as part:
        figure.savefig(part, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Draw splits and curves of all stored runs."""
    parser = argparse.ArgumentParser(prog="python -m edge_experts.federated.report.pictures", description=__doc__)
    parser.add_argument("results", type=Path, help="a folder with a folder for each run")
    parser.add_argument("images", type=Path, help="where the pictures go")
    parser.add_argument("--mixture", type=Path, metavar="DIR", help="results of the benchmark `configs/law.yaml`")
    arguments = parser.parse_args()
    runs = sorted(path.parent for path in arguments.results.glob("*/results.json"))
    if not runs:
        parser.error(f"'{arguments.results}' holds no run; make one with edge-experts federate PLAN --save DIR")
    draw_splits(runs, arguments.images / "federated_splits.png")
    draw_curves(runs, arguments.images / "federated_curves.png")
    if (found := arguments.results / "law.json").is_file():
        rows, trained = (
            json.loads(found.read_text("utf-8"))["rows"],
            mixtures(arguments.mixture) if arguments.mixture else [],
        )
        draw_law(rows, arguments.images / "federated_law.png", trained)


if __name__ == "__main__":
    main()
