"""A log played again in the market: how far what is simulated is from what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import Scenario, World, load_scenario
from edge_experts.envs.physics.economics import CREDITS_PER_USD
from edge_experts.envs.sim.params import load_params
from edge_experts.envs.sim.state import PRESENT

from ..plan import PlanError
from .log import Header, Question, checksums, read_log

WORLDS = 64  # in each of which a question is another recorded prompt of its category
MEASURES = ("latency_s", "words", "usd", "quality")
ALL = "all"
Floats = NDArray[np.float64]


class Gap(NamedTuple):
    """A measure of an expert's answers, measured and simulated.

    Attributes:
        expert: Its name, or `all`.
        measure: `latency_s` (seconds), `words`, `usd` (dollars) or `quality` (in [0, 1]).
        questions: How many have both figures.
        measured: Their mean.
        simulated: Their mean, over questions and worlds.
        gap: Simulated less measured.
        error: Mean absolute difference of single questions, the simulated one being the mean over worlds.
    """

    expert: str
    measure: str
    questions: int
    measured: float
    simulated: float
    gap: float
    error: float


@dataclass(frozen=True)
class Twin:
    """What came of playing a log again.

    Attributes:
        header: Of the log.
        answered: Questions with an answer.
        others: How many questions ended otherwise, by how.
        refused: Share of the answered questions that the simulated queues did not take.
        gaps: By expert and measure, all experts first.
        rows: By question, what was measured and simulated.
    """

    header: Header
    answered: int
    others: dict[str, int]
    refused: float
    gaps: list[Gap]
    rows: list[dict[str, Any]]


def replay(path: Path, file: Path | None = None, seed: int = 0) -> Twin:
    """Play a log again in the market that it was made in.

    Every question goes to the expert that it went to, in the slot in which it was placed; what it takes and is worth is
    what the market says of recorded prompts of its category.

    Args:
        path: The log.
        file: The market's scenario; None: the file that the log names.
        seed: Of the worlds and of the recorded prompts.

    Raises:
        PlanError: if it is not a log, holds no answer, or is of another market.
        ScenarioError: if the market is not valid.
    """
    header, questions = read_log(path)
    scenario = _market_of(path, header, file)
    _check_names(path, scenario, questions)
    placed = [one for one in questions if one.expert is not None and one.status in ("answered", "left")]
    answered = [one for one in placed if one.status == "answered"]
    if not answered:
        raise PlanError(f"{path}: holds no question that was answered: there is nothing to compare")
    simulated = _Replay(scenario, placed, seed).run()
    kept = [(one, simulated[one.question]) for one in answered]
    others: dict[str, int] = defaultdict(int)
    for one in questions:
        if one.status != "answered":
            others[one.status] += 1
    return Twin(
        header=header,
        answered=len(answered),
        others=dict(others),
        refused=float(np.mean([np.isnan(found["latency_s"]).mean() for _, found in kept])),
        gaps=list(_gaps(header, kept)),
        rows=[_row(one, found) for one, found in kept],
    )


def _market_of(path: Path, header: Header, file: Path | None) -> Scenario:
    found = file or Path(header.scenario)
    if not found.is_file():
        raise PlanError(f"{path}: its market '{found}' is not there: say where it is with --scenario")
    scenario = load_scenario(found)
    now = checksums(found, scenario)
    for name in sorted({*now, *header.checksums}):
        if now.get(name) != header.checksums.get(name):
            raise PlanError(
                f"{path}: is of another market than '{found}' ({name} differs): name its own with --scenario"
            )
    return scenario


def _check_names(path: Path, scenario: Scenario, questions: Sequence[Question]) -> None:
    """See that what a log names is there."""
    categories = {name for table in load_params(scenario)[1] for name in table.categories}
    for one in questions:
        if one.category not in categories or one.expert not in (None, *scenario.experts) or not one.action:
            raise PlanError(
                f"{path}: question {one.question} has the category '{one.category}' and the expert '{one.expert}', "
                f"which its market does not have"
            )


class _Replay:
    """The worlds in which a log is played again."""

    def __init__(self, scenario: Scenario, questions: Sequence[Question], seed: int) -> None:
        self._slots: dict[int, list[Question]] = defaultdict(list)
        for one in sorted(questions, key=lambda one: (one.placed_s or 0.0, one.question)):
            self._slots[int((one.placed_s or 0.0) / scenario.episode.slot_s)].append(one)
        changes = {
            "devices.count": max(len(slot) for slot in self._slots.values()),
            "devices.scripted": 0,
            "devices.churn": 0.0,
            "episode.slots": max(self._slots) + 2,
            "episode.requests_per_user": 0,
        }
        self._world = World(scenario.replace(changes), WORLDS, seed)
        self._rng = np.random.default_rng(seed)
        self._categories = [name for table in self._world.tables for name in table.categories]

    def run(self) -> dict[int, dict[str, Floats]]:
        """By question, each measure in all worlds; not a number where the market's queue did not take it."""
        world, found = self._world, {}
        world.reset()
        for slot in range(max(self._slots) + 1):
            asked = self._slots.get(slot, [])
            actions = self._ask(asked)
            world.step(actions, None)
            users, parts = world.state.users, world.state.parts
            for u, one in enumerate(asked):
                taken = users.placed[:, u] >= 0
                values = {
                    "latency_s": users.part_latency_s[:, u],
                    "words": parts.work[:, u, 0],
                    "usd": -users.payment[:, u] / CREDITS_PER_USD,
                    "quality": parts.quality[:, u, 0],
                }
                found[one.question] = {name: np.where(taken, value, np.nan) for name, value in values.items()}
        return found

    def _ask(self, asked: Sequence[Question]) -> NDArray[np.int64]:
        """Let nobody ask anything but what the log says of a slot, in its order."""
        world, state = self._world, self._world.state
        users, actions = state.users, world.default_actions("user")
        users.open[:], users.presence[:], users.battery_j[:] = False, PRESENT, world.constants.battery_j
        state.order[:] = np.arange(world.sizes.U)
        for u, one in enumerate(asked):
            rows = np.flatnonzero(world.params.category == self._categories.index(one.category))
            prompts = self._rng.choice(rows, WORLDS)
            kinds = world.params.kind[prompts]
            users.open[:, u], users.strict[:, u], users.unread[:, u] = True, False, False
            users.kind[:, u], users.prompt[:, u], users.context_bits[:, u] = kinds, prompts, one.bits
            users.age[:, u], users.done[:, u], users.last_expert[:, u], users.finish_s[:, u] = 0, 0, -1, 0.0
            state.parts.prompt[:, u] = prompts[:, None]
            actions[:, u, 0] = world.scenario.experts.index(one.expert or "")
            actions[:, u, -1] = one.action[-1]
        return actions


def _measured(one: Question) -> dict[str, float | None]:
    return {"latency_s": one.latency_s, "words": float(one.words), "usd": one.usd, "quality": one.quality}


def _mean(values: Floats) -> float | None:
    return float(np.nanmean(values)) if not np.isnan(values).all() else None


def _row(one: Question, found: dict[str, Floats]) -> dict[str, Any]:
    simulated = {name: _mean(values) for name, values in found.items()}
    return {"question": one.question, "expert": one.expert, "measured": _measured(one), "simulated": simulated}


def _gaps(header: Header, kept: Sequence[tuple[Question, dict[str, Floats]]]) -> Iterator[Gap]:
    """The gaps of all experts together, then of each that was asked."""
    for expert in (ALL, *header.experts):
        rows = [_row(one, found) for one, found in kept if expert in (ALL, one.expert)]
        for measure in MEASURES:
            pairs = [(row["measured"][measure], row["simulated"][measure]) for row in rows]
            both = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
            if len(both):
                measured, simulated = both.mean(axis=0).tolist()
                error = float(np.abs(both[:, 1] - both[:, 0]).mean())
                yield Gap(expert, measure, len(both), measured, simulated, simulated - measured, error)
