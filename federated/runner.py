"""Run a plan: every method and seed once, each saved whole, so that a killed run is resumed where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from edge_experts.envs.io.atomic import replacing, write_text

from .data import load_data
from .engine import Engine
from .messages.sharing import epsilon
from .messages.traffic import Recorder
from .plan import Plan
from .training.clients import gather
from .training.evaluation import score
from .training.methods import Lab, Outcome

ROW = ("method", "seed", "global", "personal", "worst", "rounds", "bits_up", "bits_down", "seconds", "joules")


def federate(
    plan: Plan,
    save: Path,
    resume: bool = False,
    progress: Callable[[list[Any]], Any] = list,
    engine: Engine | None = None,
) -> list[dict[str, Any]]:
    """Train all methods of a plan, and write what they came to.

    Args:
        plan: What to run.
        save: A folder to make: `results.json` (a row for each method and seed), `details.json` (curves, load, epsilon,
            rounds and bits to the target), `plan.yaml`, and in `cells/` traffic and weights of each.
        resume: Go on with a run that was stopped.
        progress: Wraps the list of pairs of seed and method.
        engine: Where clients train; in this process by default.

    Returns:
        The rows of `results.json`.

    Raises:
        ValueError: if the data do not fit the plan, or the folder holds a run that this is not.
    """
    data = load_data(plan.data)
    for seed in range(plan.seeds):  # whatever is wrong is said before any work starts
        gather(plan, data, seed)
    _open(plan, save, resume)
    torch.use_deterministic_algorithms(True)
    lab: Lab | None = None
    for seed, method in progress([(seed, method) for seed in range(plan.seeds) for method in plan.methods]):
        cell = save / "cells" / f"{method}_{seed}"
        if cell.is_dir():
            continue
        if lab is None or lab.clients.seed != seed:
            lab = Lab(gather(plan, data, seed, engine))
        _save(cell, *describe(lab, method, lab.run(method)))
    cells = [
        json.loads((save / "cells" / f"{method}_{seed}" / "cell.json").read_text("utf-8"))
        for method in plan.methods
        for seed in range(plan.seeds)
    ]
    rows = [{name: cell[name] for name in ROW} for cell in cells]
    write_text(save / "results.json", json.dumps(rows, indent=1) + "\n")
    write_text(save / "details.json", json.dumps(cells, indent=1) + "\n")
    return rows


def describe(lab: Lab, method: str, outcome: Outcome) -> tuple[dict[str, Any], Outcome]:
    """What is written of an outcome, with the outcome."""
    clients, plan, recorder = lab.clients, lab.clients.plan, outcome.recorder
    found = score(outcome.answers, clients.test_labels, clients.mixes)
    reached = next((i + 1 for i, value in enumerate(outcome.curve) if value >= plan.target), None)
    bits = sum(m.bits for m in recorder.messages if m.direction == "up" and reached and m.round < reached)
    row = {
        "method": method,
        "seed": clients.seed,
        "global": found.everywhere,
        "personal": found.personal,
        "worst": found.worst,
        "rounds": outcome.rounds,
        "bits_up": recorder.bits("up"),
        "bits_down": recorder.bits("down"),
        "seconds": sum(recorder.seconds),
        "joules": sum(recorder.joules),
        "curve": outcome.curve,
        "load": outcome.load,
        "rounds_to_target": reached,
        "bits_up_to_target": bits if reached else None,
        "epsilon": epsilon(plan.sharing, outcome.releases),
    }
    return row, outcome


def _open(plan: Plan, save: Path, resume: bool) -> None:
    if not save.parent.is_dir():
        raise ValueError(f"--save: there is no folder '{save.parent}'; create it first")
    noted = save / "plan.yaml"
    if save.exists() and not resume:
        raise ValueError(f"--save: '{save}' exists; take another folder, or go on with --resume")
    if noted.is_file() and yaml.safe_load(noted.read_text("utf-8")) != plan.to_dict():
        raise ValueError(f"--resume: '{save}' holds a run of another plan; see {noted}")
    (save / "cells").mkdir(parents=True, exist_ok=True)
    write_text(noted, yaml.safe_dump(plan.to_dict(), sort_keys=False))
    for part in (save / "cells").glob(".*"):  # what a killed run left
        shutil.rmtree(part)


def _save(cell: Path, row: dict[str, Any], outcome: Outcome) -> None:
    from safetensors.torch import save_file

    with replacing(cell) as part:
        part.mkdir()
        (part / "cell.json").write_text(json.dumps(row) + "\n", "utf-8")
        (part / "traffic.csv").write_text(_traffic(outcome.recorder), "utf-8")
        if outcome.weights:
            save_file(outcome.weights, part / "weights.safetensors")


def _traffic(recorder: Recorder) -> str:
    lines = [f"{m.stage},{m.round},{m.client},{m.direction},{m.kind},{m.bits},{m.peer}" for m in recorder.messages]
    return "\n".join(["stage,round,client,direction,kind,bits,peer", *lines]) + "\n"
