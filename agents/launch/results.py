"""The rows of a training run's results, one for each iteration, as lines of JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from edge_experts.envs.io.strict_json import parse_json
from edge_experts.envs.io.typed_json import typed

RESULTS = "results.jsonl"
Count = Annotated[int, Field(ge=0, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Row(TypedDict):
    """One iteration: how far the run is, and what its agents earned."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    training_iteration: Count
    env_steps: Count
    time_total_s: Number
    cpu_time_s: Number
    seconds: NotRequired[dict[str, Number]]
    episode_return_mean: Number | None
    module_returns: NotRequired[dict[str, Number]]
    normalised_score: NotRequired[Number | None]


def read_rows(path: Path) -> list[Row]:
    """The rows of a run; a last one that a kill has torn is left out, and said to be.

    Raises:
        ValueError: if another one is damaged.
        OSError: if the file cannot be read.
    """
    rows: list[Row] = []
    text = path.read_text("utf-8", errors="replace")
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        where = f"'{path}', line {number}"
        try:
            rows.append(typed(parse_json(line), Row, where))
        except ValueError as error:
            if number < len(lines) or text.endswith("\n"):
                reason = str(error).removeprefix(f"{where}: ")
                raise ValueError(f"{where} is damaged: {reason}; take that line out") from None
            print(f"the last line of '{path}' is torn, and left out", file=sys.stderr)
    return rows
