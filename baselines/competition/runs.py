"""Runs of solvers on scenarios, as rows of a file that grows: what is there is not run again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edge_experts.envs import Scenario, load_scenario
from edge_experts.envs.seeds import REPORTED

from ..evaluation.evaluate import end_scores
from .game import Game
from .outcome import outcome
from .solvers import SOLVERS

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run: every solver with every seed on every variant of a scenario."""

    env: str
    changes: dict[str, Any]
    """Of the scenario, in all variants."""
    field: str | None = None
    """Scenario field in which the variants differ; one variant without it."""
    values: Sequence[Any] = ()
    solvers: Sequence[str] = tuple(SOLVERS)
    seeds: int = 1
    steps: int = 200_000
    """Environment steps that a solver trains for."""
    episodes: int = 64
    """That a profile is measured on."""
    deviator_steps: int = 50_000
    starts: int = 2

    def variants(self) -> list[dict[str, Any]]:
        """Changes of the scenario in each variant."""
        if self.field is None:
            return [self.changes]
        return [{**self.changes, self.field: value} for value in self.values]

    def cells(self) -> list[tuple[dict[str, Any], str, int]]:
        """Changes, solver and seed of every run, seed after seed."""
        return [(v, solver, seed) for seed in range(self.seeds) for v in self.variants() for solver in self.solvers]

    def settings(self) -> dict[str, int]:
        """What rows must have in common to be of one plan."""
        names = ("steps", "episodes", "deviator_steps", "starts")
        return {name: int(getattr(self, name)) for name in names}


def missing(plan: Plan, rows: Sequence[Row]) -> list[tuple[Scenario, dict[str, Any], str, int]]:
    """The runs that there is no row of.

    Raises:
        ValueError: if a row is of another plan or version, naming how it differs.
    """
    found = []
    scenarios = [(changes, load_scenario(plan.env, changes)) for changes in plan.variants()]
    for row in rows:
        for name, value in plan.settings().items():
            if row.get(name) != value:
                raise ValueError(
                    f"--json: its runs have {name} {row.get(name)}, this one {value}; "
                    f"give another file, or the same {name}"
                )
        for changes, scenario in scenarios:
            is_same = row["env"] == plan.env and row["changes"] == changes
            if is_same and row["scenario_hash"] != scenario.hash():
                raise ValueError(f"--json: its runs are of another version of {plan.env}; give another file")
    there = {(row["scenario_hash"], row["solver"], row["seed"]) for row in rows}
    for changes, solver, seed in plan.cells():
        scenario = next(scenario for known, scenario in scenarios if known == changes)
        if (scenario.hash(), solver, seed) not in there:
            found.append((scenario, changes, solver, seed))
    return found


def fill(plan: Plan, rows: Sequence[Row], advance: Callable[[str, int], None]) -> Iterator[list[Row]]:
    """Run what is missing.

    Args:
        plan: What there should be.
        rows: What there is.
        advance: Called with what is being done and the environment steps that were trained for it.

    Yields:
        All rows so far, after each run.
    """
    rows = list(rows)
    ends: dict[str, dict[str, float]] = {}
    for scenario, changes, solver, seed in missing(plan, rows):
        if scenario.hash() not in ends:
            ends[scenario.hash()] = end_scores(scenario, plan.episodes, REPORTED)
        began = time.process_time()
        game = Game(scenario, plan.steps, seed, advance=lambda steps, solver=solver: advance(solver, steps))
        sides = SOLVERS[solver](game)
        trained = time.process_time() - began
        known = ends[scenario.hash()]
        found = outcome(sides, scenario, known, plan.episodes, plan.deviator_steps, plan.starts, seed)
        about = {"env": plan.env, "changes": changes, "scenario_hash": scenario.hash(), "solver": solver, "seed": seed}
        rows.append(
            {**about, **plan.settings(), **found, "prices": game.prices, "trained": game.trained, "cpu_time_s": trained}
        )
        yield rows
