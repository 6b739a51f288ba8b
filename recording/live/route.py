"""From a plan and a policy to a router that is ready to serve."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from edge_experts.envs import Policy, Scenario, World, load_scenario
from edge_experts.envs.sim.spec import Sizes, slices

from ..calls.budget import Budget
from ..calls.caller import Caller
from ..calls.store import FILE
from ..plan import Plan, PlanError, load_plan
from ..prompts import read_prompts
from .log import Header, RouteLog, checksums
from .market import LiveMarket
from .router import Nowhere, Router

SCENARIO = "scenario.yaml"


class Ready(NamedTuple):
    """What a live twin needs, read and checked.

    Attributes:
        plan: Whose experts answer.
        file: Of the market.
        scenario: The market.
    """

    plan: Plan
    file: Path
    scenario: Scenario


def prepare(path: Path, file: Path | None = None) -> Ready:
    """A plan, and the market that was recorded with it.

    Args:
        path: The plan.
        file: Of the market; None: the recording of this plan that lies beside it.

    Raises:
        PlanError: if they do not fit.
        ScenarioError: if the market is not valid.
    """
    plan = load_plan(path)
    found = file or _recorded_with(path, plan)
    scenario = load_scenario(found)
    asked, there = {expert.name for expert in plan.experts}, set(scenario.experts)
    if asked != there:
        raise PlanError(
            f"--scenario: '{found}' has the experts {', '.join(sorted(there))}, the plan has "
            f"{', '.join(sorted(asked))}: take the scenario that was recorded with this plan"
        )
    return Ready(plan, found, scenario)


def _recorded_with(path: Path, plan: Plan) -> Path:
    """The scenario in the one folder beside a plan that holds a recording of it."""
    digest = plan.digest(read_prompts(Path(plan.prompts)).sha256)
    found = [file for file in sorted(path.parent.glob(f"*/{SCENARIO}")) if _digest(file.parent / FILE) == digest]
    if len(found) == 1:
        return found[0]
    what = f"several recordings of '{path}'" if found else f"no recording of '{path}'"
    raise PlanError(f"--scenario: beside the plan there is {what}: name the {SCENARIO} that `record` wrote")


def _digest(store: Path) -> str | None:
    """The digest of the plan that a store of calls is of."""
    if not store.is_file():
        return None
    try:
        db = sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)
        try:
            row = db.execute("SELECT digest FROM plan").fetchone()
        finally:
            db.close()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def make_router(
    ready: Ready, policy: Callable[[World], Policy], name: str, log: Path, scores: bool = False, seed: int = 0
) -> Router:
    """A router that is ready to serve; its log is begun.

    Args:
        ready: Of `prepare`.
        policy: Makes the policy for the world that it will see.
        name: The policy's, for the log.
        log: A new file.
        scores: Whether the plan's judges score every answer.
        seed: Of the market.

    Raises:
        PlanError: if a key is missing, the market has what cannot be had live, or the log is there already.
    """
    plan, scenario = ready.plan, ready.scenario
    keys = plan.keys(("gate", "experts", *(["judges"] if scores else [])))
    parallel = {expert.name: expert.parallel for expert in plan.experts}
    market = LiveMarket(scenario, [parallel[expert] for expert in scenario.experts], seed)
    player = policy(market.world)
    player.act(market.world)  # compiles what it needs, so that no question waits for it
    caller = Caller(plan, keys, Nowhere(), Budget(None, 0.0), lambda: None)
    return Router(plan, market, player, caller, RouteLog(log, _header(ready, name, market.world.sizes)), scores)


def _header(ready: Ready, policy: str, sizes: Sizes) -> Header:
    return Header(  # type: ignore[call-arg]
        scenario=str(ready.file),
        checksums=checksums(ready.file, ready.scenario),
        policy=policy,
        experts=ready.scenario.experts,
        slot_s=ready.scenario.episode.slot_s,
        fields={name: (at.start, at.stop) for name, at in slices("user", sizes).items()},
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
