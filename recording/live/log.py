"""The log of a live twin: a header, and a line for each question with what the policy saw, did and got; no texts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from edge_experts.envs import Scenario
from edge_experts.envs.io.strict_json import parse_json
from edge_experts.envs.io.strict_yaml import explain
from edge_experts.envs.schema import Index, NonNegative, Share, strict
from edge_experts.envs.tables.reading import stamped

from ..plan import PlanError

VERSION = 1
Status = Literal["answered", "failed", "left", "expired"]


@strict
class Header:
    """What stands above an episode."""

    format: Literal["edge-experts-route"] = "edge-experts-route"
    version: Annotated[int, Field(ge=VERSION, le=VERSION)] = VERSION
    scenario: str
    """The file of the market."""
    checksums: dict[str, str]
    """SHA-256 of the scenario and of its tables, by what they are."""
    policy: str
    """As it was named."""
    experts: tuple[str, ...]
    """In the scenario's order, which that of all lists below is."""
    slot_s: NonNegative
    """Length of the market's slot, seconds."""
    fields: dict[str, tuple[int, int]]
    """Where each field of an observation begins and ends."""
    started_at: str
    """ISO 8601, UTC."""


@strict
class Question:
    """A question: what was seen, what was done, what came of it. Seconds count from the start of the log."""

    question: Index
    """Counted from 0, as they arrived."""
    user: Index
    """Who asked, in the market."""
    arrived_s: NonNegative
    placed_s: NonNegative | None = None
    """When the policy chose an expert; null: never."""
    slot: Index
    """Of the market, in which the policy chose last."""
    category: str
    category_from: Literal["model", "gate", "only"]
    """Who said so: the question's model, the gate, or there is but one."""
    readings: dict[str, float] | None
    """The gate's, by expert; null: it gave none, and the policy saw the category's means."""
    gate_s: NonNegative
    """Seconds that the gate took."""
    bits: NonNegative
    """Of the question."""
    waited_slots: Index
    observation: list[float]
    """Of the user, when the policy chose last, as the market's environments show it."""
    action_mask: list[int]
    action: list[int]
    """The user's: expert and transmit power."""
    backlog_s: list[float]
    """Seconds of work queued at each expert."""
    seconds_per_word: list[float]
    usd_per_word: list[float]
    expert: str | None = None
    """Whom the policy chose; null: it waited until the deadline."""
    status: Status
    """`answered`; `failed`: no answer came; `left`: who asked went away; `expired`."""
    http: Index = 0
    """Status of the expert's endpoint; 0: none came."""
    queue_s: NonNegative = 0.0
    """Seconds until its endpoint took the question."""
    first_s: NonNegative = 0.0
    """Seconds from placement to the first words."""
    latency_s: NonNegative = 0.0
    """Seconds from placement to the end of the answer."""
    words: Index = 0
    answer_bits: Index = 0
    tokens_in: Index = 0
    tokens_out: Index = 0
    usd: NonNegative = 0.0
    scores: dict[str, float | None] = Field(default_factory=dict)
    """By judge, from 0 to 10."""
    quality: Share | None = None
    """Their mean, in [0, 1]; null: not scored."""


_HEADER, _QUESTION = TypeAdapter(Header), TypeAdapter(Question)


class RouteLog:
    """A log that is being written; every line is out of the process when it is noted.

    Args:
        path: A new file; its folder exists.
        header: What stands above.

    Raises:
        PlanError: if the file is there already.
    """

    path: Path
    questions: int

    def __init__(self, path: Path, header: Header) -> None:
        self.path, self.questions = path, 0
        try:
            self._file = path.open("x", encoding="utf-8")
        except FileExistsError:
            raise PlanError(f"--log: '{path}' is there already: take another name") from None
        self._write(asdict(header))  # type: ignore[call-overload]

    def note(self, question: dict[str, Any]) -> None:
        """Note a question, as the fields of `Question`."""
        self.questions += 1
        self._write(question)

    def _write(self, data: dict[str, Any]) -> None:
        self._file.write(json.dumps(data, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


def read_log(path: Path) -> tuple[Header, list[Question]]:
    """A log; a last line that was cut off when its writer was killed is left out.

    Raises:
        PlanError: if it is not one, naming the line, the field and the fix.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise PlanError(f"{path}: is not a log of `edge-experts route`") from None
    lines = text.split("\n")[:-1]  # what stands behind the last line end is cut off
    if not lines:
        raise PlanError(f"{path}: is empty: it is not a log of `edge-experts route`")
    first = _read(path, 1, lines[0], _HEADER)
    return first, [_read(path, i, line, _QUESTION) for i, line in enumerate(lines[1:], 2)]


def _read(path: Path, number: int, line: str, kind: TypeAdapter[Any]) -> Any:
    try:
        return kind.validate_python(parse_json(line))
    except ValidationError as error:
        raise PlanError(f"{path}, line {number}: {explain(error, lambda name: '')}") from None
    except ValueError as error:
        raise PlanError(f"{path}, line {number}: {error}") from None


def checksums(scenario: Path, market: Scenario) -> dict[str, str]:
    """SHA-256 of a market's files, by what they are."""
    files = {"scenario": scenario, "experts": stamped(market.tables.experts).path}
    files |= {f"quality {i}": stamped(name).path for i, name in enumerate(market.quality_tables)}
    return {name: hashlib.sha256(Path(file).read_bytes()).hexdigest() for name, file in files.items()}
