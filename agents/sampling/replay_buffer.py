"""A replay buffer of transitions on arrays, uniform or with priorities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs.io.atomic import replacing

Array = NDArray[Any]
WEIGHTS = "weights"
COLUMN = "column_"  # before the names of columns in a file


class ReplayBuffer:
    """The newest transitions, drawn with a probability that grows with their temporal-difference errors.

    A row is drawn with probability `p_i ** alpha / sum(p ** alpha)` and weighed by `(n * probability) ** -beta`, at
    most 1.
    Source: Schaul et al., "Prioritized experience replay", ICLR 2016, equations 1 and 2.

    Args:
        capacity: Rows kept; the oldest go first.
        alpha: 0 draws all rows alike.
        beta: How much the weights make up for the drawing.
        seed: Key of the draws.
    """

    alpha: float
    beta: float
    capacity: int
    count: int

    def __init__(self, capacity: int, alpha: float = 0.6, beta: float = 0.4, seed: int | None = None) -> None:
        self.capacity, self.alpha, self.beta = capacity, alpha, beta
        self._rng = np.random.default_rng(seed)
        self._columns: dict[str, Array] = {}
        self._priorities = np.zeros(0)
        self._next, self.count = 0, 0

    def add(self, rows: dict[str, Array]) -> None:
        """Add rows (n, ...), with the highest priority so far."""
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

    def save(self, file: Path) -> None:
        """Write the rows, their priorities and the state of the draws as an .npz file, whole or not at all."""
        about = {"next": self._next, "count": self.count, "draws": self._rng.bit_generator.state}
        kept: dict[str, Any] = {f"{COLUMN}{name}": column[: self.count] for name, column in self._columns.items()}
        with replacing(file) as part:
            np.savez(part, about=json.dumps(about), priorities=self._priorities[: self.count], **kept)

    def load(self, file: Path) -> None:
        """Take over what another buffer of at least this capacity saved.

        Raises:
            ValueError: if the file holds more rows than this buffer keeps.
        """
        with np.load(file, allow_pickle=False) as saved:
            about = json.loads(str(saved["about"]))
            if about["count"] > self.capacity:
                raise ValueError(
                    f"replay_buffer_config.capacity: {self.capacity} is below the {about['count']} rows in '{file}': "
                    "leave it as it was, or begin a new run"
                )
            rows = {name.removeprefix(COLUMN): saved[name] for name in saved.files if name.startswith(COLUMN)}
            priorities = saved["priorities"]
        if not rows:
            return
        self.add(rows)
        self._priorities[: self.count] = priorities
        self._next = int(about["next"])
        self._rng.bit_generator.state = about["draws"]
