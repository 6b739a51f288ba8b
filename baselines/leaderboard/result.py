"""What a result of the benchmark must say, whoever made it."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

Count = Annotated[int, Field(ge=0, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Name = Annotated[str, Field(min_length=1)]
OPEN = ConfigDict(extra="allow")


class Point(TypedDict):
    """A checkpoint on the way."""

    env_steps: Count
    time_total_s: Number
    cpu_time_s: Number
    normalised_score: Number


class Score(TypedDict):
    """On a held-out twin."""

    __pydantic_config__ = OPEN  # type: ignore[misc]

    normalised_score: Number


class Provenance(TypedDict):
    """What was played, by which code."""

    __pydantic_config__ = OPEN  # type: ignore[misc]

    scenario: dict[str, Any]
    scenario_hash: Name


class ResultForm(TypedDict):
    """One training run of one algorithm on one scenario, scored."""

    __pydantic_config__ = OPEN  # type: ignore[misc]

    name: Name
    title: Name
    env: Name
    seed: Count
    episodes: NotRequired[Annotated[int, Field(ge=1, strict=True)]]
    normalised_score: Number
    env_steps: Count
    time_total_s: Number
    cpu_time_s: Number
    curve: list[Point]
    measures: dict[str, Any]
    heldout: dict[str, Score]
    provenance: Provenance
    knows: NotRequired[Name]
    weights_sha256: NotRequired[Name]
