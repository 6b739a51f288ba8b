"""From rows that were sampled to the batches that RLlib's learners take."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from ..networks.recurrent import MEMORY, RESTARTS
from .gae import standardised

Array = NDArray[Any]


def collect(runners: Any, config: Any) -> tuple[MultiAgentBatch | None, list[Any]]:
    """Sample from all runners and join their batches as tensors, advantages standardised for each module."""
    batches, results = synchronous_parallel_sample(
        worker_set=runners,
        max_env_steps=config.total_train_batch_size,
        sample_timeout_s=config.sample_timeout_s,
        _uses_new_env_runners=True,
        _return_metrics=True,
    )
    if not batches:
        return None, results
    batch = joined(batches)
    for columns in batch.policy_batches.values():
        if Postprocessing.ADVANTAGES not in columns:
            continue
        columns[Postprocessing.ADVANTAGES] = standardised(
            columns[Postprocessing.ADVANTAGES], columns.get(Columns.LOSS_MASK)
        )
    return batch, results


def joined(batches: list[MultiAgentBatch]) -> MultiAgentBatch:
    """Batches of several runners as one, of tensors."""
    modules = {
        module: SampleBatch(_join([dict(batch.policy_batches[module]) for batch in batches]))
        for module in batches[0].policy_batches
    }
    return MultiAgentBatch(modules, env_steps=sum(batch.env_steps() for batch in batches))


def _join(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {key: _join([part[key] for part in parts]) for key in parts[0]}
    if len({part.shape[1:] for part in parts}) > 1:  # sequences: runners may have played a slot more or less
        longest = max(part.shape[1] for part in parts)
        parts = [np.pad(p, [(0, 0), (0, longest - p.shape[1]), *[(0, 0)] * (p.ndim - 2)]) for p in parts]
    # what came through Ray's object store alone cannot be written to, which torch warns of
    return torch.from_numpy(parts[0] if len(parts) == 1 and parts[0].flags.writeable else np.concatenate(parts))


def nested(columns: dict[str, Any]) -> dict[str, Any]:
    """Columns as RLlib's networks expect them: observation and mask under one name, memory under another."""
    rest = dict(columns)
    batch: dict[str, Any] = {Columns.OBS: {key: rest.pop(key) for key in ("action_mask", "observation")}}
    if MEMORY in rest:
        batch[Columns.STATE_IN] = {MEMORY: rest.pop(MEMORY)}
    return {**batch, **rest}


def thinned(masks: Array, nvec: Array, share: float, rng: np.random.Generator) -> Array:
    """Rows the learner gets: all with a choice, and a share of those without; (rows,) bool.

    Where one action is legal its probability is 1, so the row cannot teach the policy; the value function, which also
    passes through such rows, needs few of them.
    """
    without_choice = masks.reshape(-1, masks.shape[-1]).sum(axis=-1) == len(nvec)
    return ~without_choice | (rng.random(len(without_choice)) < share)


def as_sequences(data: dict[str, Array], ends: Array, counts: Array) -> dict[str, Array]:
    """Columns (T, N, ...) as a sequence for each agent, (N, T, ...), with the memory before it.

    Args:
        data: With `MEMORY` among the columns.
        ends: (T, ...) whether an agent's life ends with a slot, N entries a slot.
        counts: (T x N,) rows that the learner counts.
    """
    T = len(ends)
    ends = ends.reshape(T, -1)
    restarts = np.concatenate([np.zeros_like(ends[:1]), ends[:-1]])  # before the first slot the memory is as it was
    memory = data.pop(MEMORY)[0]
    data = {**data, RESTARTS: restarts, Columns.LOSS_MASK: counts.reshape(T, -1)}
    return {MEMORY: memory, **{key: np.ascontiguousarray(value.swapaxes(0, 1)) for key, value in data.items()}}
