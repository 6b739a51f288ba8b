"""Shuffled minibatches over the batches of several modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch


class Minibatches:
    """Minibatches in which every module's rows are covered exactly once an epoch.

    RLlib's own iterator gives every module minibatches of the same size and repeats the smaller ones: with 16 users
    and 4 providers the providers' rows would be used four times as often.

    Args:
        batch: Tensors by module and column; columns may be nested.
        epochs: Passes over the batch.
        size: Environment steps in a minibatch; it holds the rows of all agents of so many steps.
    """

    def __init__(self, batch: MultiAgentBatch, epochs: int, size: int) -> None:
        self._batch, self._epochs = batch, epochs
        rows = {module: columns.count for module, columns in batch.policy_batches.items()}
        self._rows = rows
        self.count: int = min(max(1, round(batch.env_steps() / size)), min(rows.values()))

    def __len__(self) -> int:
        return self._epochs * self.count

    def __iter__(self) -> Iterator[MultiAgentBatch]:
        for _ in range(self._epochs):
            order = {module: torch.randperm(rows) for module, rows in self._rows.items()}
            for i in range(self.count):
                part = {}
                for module, rows in self._rows.items():
                    edges = np.linspace(0, rows, self.count + 1).astype(int)
                    chosen = order[module][edges[i] : edges[i + 1]]
                    part[module] = SampleBatch(_take(dict(self._batch.policy_batches[module]), chosen))
                yield MultiAgentBatch(part, self._batch.env_steps() // self.count)


def _take(columns: Any, rows: torch.Tensor) -> Any:
    if isinstance(columns, dict):
        return {name: _take(value, rows) for name, value in columns.items()}
    return columns[rows]
