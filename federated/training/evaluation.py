"""What trained clients are worth: global, personal and worst accuracy, and the load of the experts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """Accuracies in [0, 1].

    Attributes:
        everywhere: Mean over clients of the accuracy on all test images.
        personal: Mean over clients of the accuracy weighed by the client's own mix of classes.
        worst: The least personal accuracy of a client.
    """

    everywhere: float
    personal: float
    worst: float


def score(probabilities: Tensor, labels: NDArray[np.int64], mixes: NDArray[np.float64]) -> Scores:
    """Scores of what clients answer.

    Args:
        probabilities: (clients, n, classes) of each client on each test image.
        labels: (n,) right classes.
        mixes: (clients, classes) share of each class at each client. A client's weights are those of its classes that
            the test images hold.
    """
    right = probabilities.argmax(dim=2).numpy() == labels
    weights = mixes[:, labels]
    weights = weights / weights.sum(axis=1, keepdims=True)
    personal = (weights * right).sum(axis=1)
    return Scores(float(right.mean()), float(personal.mean()), float(personal.min()))


def mixture(gate: Tensor, answers: Tensor, reach: NDArray[np.bool_], k: int) -> tuple[Tensor, Tensor]:
    """What a top-k mixture answers, and how it weighs the experts.

    The k best of the experts that are reached get the softmax of their logits: `softmax(top-k(h W + b))`.

    Args:
        gate: (n, experts) logits.
        answers: (experts, n, classes) probabilities.
        reach: (experts,) which are reached.
        k: How many answer.

    Returns:
        (n, classes) probabilities and (n, experts) weights.
    """
    open_gate = gate.masked_fill(~torch.from_numpy(reach), -torch.inf)
    best = open_gate.topk(k, dim=1)
    weights = torch.zeros_like(gate).scatter(1, best.indices, best.values.softmax(dim=1))
    return torch.einsum("nk,knc->nc", weights, answers), weights
