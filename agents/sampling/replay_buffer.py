"""A replay buffer of transitions on arrays, uniform or with priorities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
WEIGHTS = "weights"


class Replay:
    """The newest transitions, drawn with a probability that grows with how surprising they were.

    A row is drawn with probability `p_i ** alpha / sum(p ** alpha)` and weighed by `(n * probability) ** -beta`, at most 1.
    Source: Schaul et al., "Prioritized experience replay", ICLR 2016, equations 1 and 2.

    Args:
        capacity: Rows kept; the oldest go first.
        alpha: 0 draws all rows alike.
        beta: How much the weights make up for the drawing.
        seed: Key of the draws.
    """

    def __init__(self, capacity: int, alpha: float = 0.6, beta: float = 0.4, seed: int | None = None) -> None:
        self.capacity, self.alpha, self.beta = capacity, alpha, beta
        self._rng = np.random.default_rng(seed)
        self._columns: dict[str, Array] = {}
        self._priorities = np.zeros(0)
        self._next, self.count = 0, 0

    def add(self, rows: dict[str, Array]) -> None:
        """Add rows (n, ...); they count as surprising as the most surprising one so far."""
        rows = {name: value[-self.capacity :] for name, value in rows.items()}
        n = len(next(iter(rows.values())))
        if not self._columns:
            self._columns = {name: np.empty((self.capacity, *v.shape[1:]), v.dtype) for name, v in rows.items()}
            self._priorities = np.zeros(self.capacity)
        places = (self._next + np.arange(n)) % self.capacity
        for name, value in rows.items():
            self._columns[name][places] = value
        self._priorities[places] = self._priorities[: self.count].max(initial=0.0) or 1.0
        self._next, self.count = int((self._next + n) % self.capacity), min(self.capacity, self.count + n)

    def sample(self, n: int) -> tuple[dict[str, Array], NDArray[np.int64]]:
        """Draw n rows, with replacement: columns (n, ...) with `WEIGHTS` among them, and where they are."""
        if self.alpha == 0:
            places = self._rng.integers(self.count, size=n)
            weights = np.ones(n, np.float32)
        else:
            edges = np.cumsum(self._priorities[: self.count])
            places = np.searchsorted(edges, self._rng.random(n) * edges[-1], side="right").clip(max=self.count - 1)
            chance = self._priorities[places] / edges[-1]
            weights = (self.count * chance) ** -self.beta
            weights = (weights / weights.max()).astype(np.float32)
        return {**{name: column[places] for name, column in self._columns.items()}, WEIGHTS: weights}, places

    def update(self, places: NDArray[np.int64], errors: Array) -> None:
        """Set the priorities of rows from their temporal-difference errors: (n,) each."""
        self._priorities[places] = (np.abs(errors) + 1e-6) ** self.alpha
