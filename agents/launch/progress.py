"""What a run shows while it goes on, and how it is interrupted."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from tqdm import tqdm


def width() -> dict[str, Any]:
    """How wide tqdm's bar is: as the terminal; 80 columns in one that does not know, where tqdm would draw nothing."""
    try:
        known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):  # no terminal
        known = True
    return {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}


class Progress:
    """A bar on the terminal: iteration, steps per second, return or score, remaining time; nothing elsewhere."""

    def __init__(self, stop: dict[str, float], rows: list[dict[str, Any]]) -> None:
        steps = stop.get("env_steps")
        self._key = "env_steps" if steps else "training_iteration"
        total = steps or stop.get("training_iteration")
        done = rows[-1][self._key] if rows else 0
        unit = "step" if steps else "it"
        self._bar = tqdm(
            total=int(total) if total else None,
            initial=done,
            unit=unit,
            unit_scale=bool(steps),
            disable=None,
            **width(),
            smoothing=0.1,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, row: dict[str, Any]) -> None:
        """Advance to a row of results."""
        shown = {"it": row["training_iteration"], "steps": row["env_steps"]}
        if row.get("normalised_score") is not None:
            shown["score"] = f"{row['normalised_score']:.3f}"
        elif row["episode_return_mean"] is not None:
            shown["return"] = f"{row['episode_return_mean']:.2f}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(row[self._key] - self._bar.n)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C or SIGTERM finish the iteration; the second one stops at once."""
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) > 1:
            raise KeyboardInterrupt
        tqdm.write("finishing the iteration and saving a checkpoint; once more stops at once")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
