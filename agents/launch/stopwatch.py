"""Where the time of a training run goes: start-up, sampling, learning, and what is neither."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.rllib.algorithms.impala.impala import IMPALA

EXTRAS = "evaluation and checkpoints"
PARTS = ("start-up", "sampling", "learning", EXTRAS)
COLUMN = "seconds"  # of results: wall-clock seconds by part


class Stopwatch:
    """Wall-clock seconds of a run by part.

    APPO and IMPALA learn in a thread beside their sampling: of them, both are counted as sampling.

    Args:
        started: When the run was asked for, `time.perf_counter()`.
    """

    def __init__(self, started: float) -> None:
        self.spent: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._started = started
        self._is_beside = False

    def go_on(self, before: Mapping[str, float]) -> None:
        """Start-up is over, and the first iteration begins; what a resumed run has taken so far is counted, too."""
        for part in PARTS:
            self.spent[part] += before.get(part, 0.0)
        self.spent["start-up"] += time.perf_counter() - self._started

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Count what is done within towards a part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent[part] += time.perf_counter() - start

    @contextmanager
    def iteration(self) -> Iterator[None]:
        """An iteration: what is neither learning nor evaluation in it is sampling."""
        start, before = time.perf_counter(), self.spent.copy()
        yield
        others = sum(self.spent[part] - before[part] for part in PARTS)
        self.spent["sampling"] += time.perf_counter() - start - others

    def watch(self, algorithm: Any) -> None:
        """Count the learner's updates and the evaluations of an RLlib algorithm."""
        group = algorithm.learner_group
        self._is_beside = isinstance(algorithm, IMPALA)
        if group is not None and not self._is_beside:
            group.update = self._counted("learning", group.update)
        algorithm.evaluate = self._counted(EXTRAS, algorithm.evaluate)

    def _counted(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(*arguments: Any, **options: Any) -> Any:
            with self.timed(part):
                return call(*arguments, **options)

        return counted

    def row(self) -> dict[str, float]:
        """Seconds so far, for the results."""
        return {part: round(seconds, 3) for part, seconds in self.spent.items()}

    def __str__(self) -> str:
        names = {part: part for part in PARTS}
        if self._is_beside:
            names["sampling"] = "sampling and learning side by side"
            del names["learning"]
        return ", ".join(f"{name} {self.spent[part]:.1f} s" for part, name in names.items())
