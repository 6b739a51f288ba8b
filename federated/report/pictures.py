"""Pictures of stored runs: `python -m edge_experts.federated.report.pictures results/federated results/images`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from edge_experts.envs.io.atomic import replacing

from ..data import load_data
from ..plan import load_plan
from ..training.clients import gather
from .law import CHOICES
from .page import interval


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


def draw_law(rows: list[dict[str, Any]], file: Path) -> None:
    """What each way to choose experts is worth against the concentration; bars are 95% intervals over seeds."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
    dealt = list(dict.fromkeys(row["concentration"] for row in rows))
    for name in CHOICES:
        found = [interval([row[name] for row in rows if row["concentration"] == value]) for value in dealt]
        means, halves = zip(*found, strict=True)
        axis.errorbar(range(len(dealt)), means, yerr=halves, label=name, marker="o", capsize=3)
    labels = ["IID" if value is None else f"{value:g}" for value in dealt]
    axis.set(xlabel="concentration of the split", ylabel="probability of the right class", xticks=range(len(dealt)))
    axis.set_xticklabels(labels)
    axis.legend()
    _save(figure, file)


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
    arguments = parser.parse_args()
    runs = sorted(path.parent for path in arguments.results.glob("*/results.json"))
    if not runs:
        parser.error(f"'{arguments.results}' holds no run; make one with edge-experts federate PLAN --save DIR")
    draw_splits(runs, arguments.images / "federated_splits.png")
    draw_curves(runs, arguments.images / "federated_curves.png")
    if (found := arguments.results / "law.json").is_file():
        draw_law(json.loads(found.read_text("utf-8"))["rows"], arguments.images / "federated_law.png")


if __name__ == "__main__":
    main()
