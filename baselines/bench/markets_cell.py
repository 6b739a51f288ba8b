"""One cell of the benchmark on several markets: one policy trained on all of them, scored on each and on twins.

Where all of them are shipped ones, also on those shipped ones that were left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edge_experts.agents.checkpoints.metadata import checkpoints_of, read_description
from edge_experts.agents.market_names import markets_of
from edge_experts.agents.networks.actor_critic import active_count, parameter_count
from edge_experts.configs.train.common import budget
from edge_experts.envs import heldout_ids, load_scenario, shipped_ids

from ..provenance import provenance
from .cell import (
    PROGRESS,
    command_of,
    described,
    job_of,
    normalised,
    policies_of,
    score_on,
    train_on,
    validated,
    write_result,
)
from .protocol import MODES, Task

VALIDATION_EPISODES = 16  # of each market, by which a mode of play is chosen


def run_markets_cell(task: Task, references: Mapping[str, Any]) -> dict[str, Any]:
    """Train unless it is done, evaluate, and write the result; a run that was killed goes on."""
    cell = task.cell
    folder, markets = cell.folder(task.runs), markets_of(cell.env)
    steps = task.benchmark.steps or budget(cell.env)
    job = job_of(cell, steps, 1, folder)
    train_on(job, folder, steps)
    checkpoint = checkpoints_of(folder)[-1]
    about, policies = read_description(checkpoint), policies_of(checkpoint)
    mode = mode_of(policies, markets, references)
    policy = policies[mode]
    scores = {market: score_on(policy, market, references) for market in markets}
    heldout = {twin: score_on(policy, twin, references) for market in markets for twin in heldout_ids(market)}
    unseen = [market for market in shipped_ids() if market not in markets] if set(markets) <= {*shipped_ids()} else []
    modules = [module.unwrapped() for module in policy.modules.values()]
    result = {
        **described(cell),
        "mode": mode,
        "normalised_score": float(np.mean(list(scores.values()))),
        "scores": scores,
        "heldout": heldout,
        "unseen": {market: score_on(policy, market, references) for market in unseen},
        **{name: about[name] for name in PROGRESS},
        "parameters": max(parameter_count(module) for module in modules),
        "active_parameters": max(active_count(module) for module in modules),
        "command": command_of(job),
        "provenance": {market: provenance(load_scenario(market)) for market in markets},
    }
    write_result(task, result)
    return result


def mode_of(policies: Mapping[str, Any], markets: Iterable[str], references: Mapping[str, Any]) -> str:
    """The mode of play that does best on the validation episodes of all markets together."""
    tried: dict[str, list[float]] = {mode: [] for mode in MODES}
    for market in markets:
        scenario = load_scenario(market)
        for mode, score in validated(dict(policies), scenario, VALIDATION_EPISODES).items():
            tried[mode].append(normalised(score, references[scenario.hash()]))
    return max(MODES, key=lambda m: np.mean(tried[m]))
