"""Networks of one hidden layer as lists of tensors: an extractor, heads, gates, and their training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Weights = list[Tensor]


def extractor(pixels: int, hidden: int, rng: np.random.Generator) -> Weights:
    """Weights (pixels, hidden) by He's rule for ReLU (arXiv 1502.01852), and biases."""
    return [_normal(rng, (pixels, hidden), (2 / pixels) ** 0.5), torch.zeros(hidden)]


def head(hidden: int, outputs: int, rng: np.random.Generator) -> Weights:
    """Weights (hidden, outputs) and biases of a linear head."""
    return [_normal(rng, (hidden, outputs), 0.1), torch.zeros(outputs)]


def features(weights: Sequence[Tensor], images: Tensor) -> Tensor:
    """(n, hidden) features of (n, pixels) images."""
    return torch.relu(images @ weights[0] + weights[1])


def logits(weights: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """(n, outputs) of a linear head on (n, hidden) features."""
    return inputs @ weights[0] + weights[1]


def batches(count: int, size: int, epochs: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Indices of the images of each step; every epoch sees all, in another order."""
    for _ in range(epochs):
        for part in np.array_split(rng.permutation(count), max(1, count // size)):
            yield torch.from_numpy(part)


def descend(
    weights: Weights, loss: Callable[[Weights, Tensor], Tensor], steps: Iterator[Tensor], rate: float
) -> Weights:
    """New weights after a step of gradient descent on each batch.

    Args:
        weights: Where to begin; they stay as they are.
        loss: Of weights and the indices of a batch.
        steps: The batches.
        rate: Step size.
    """
    found = [tensor.clone().requires_grad_() for tensor in weights]
    for batch in steps:
        slopes = torch.autograd.grad(loss(found, batch), found)
        with torch.no_grad():
            for tensor, slope in zip(found, slopes, strict=True):
                tensor.sub_(slope, alpha=rate)
    return [tensor.detach() for tensor in found]


def label_loss(
    images: Tensor, labels: Tensor, anchor: Weights | None = None, pull: float = 0.0
) -> Callable[..., Tensor]:
    """Cross-entropy of extractor and head; with FedProx's pull to `anchor` (arXiv 1812.06127, equation 2)."""

    def loss(weights: Weights, batch: Tensor) -> Tensor:
        found = cross_entropy(logits(weights[2:], features(weights, images[batch])), labels[batch])
        if anchor is not None:
            found = found + pull / 2 * sum((a - b).square().sum() for a, b in zip(weights, anchor, strict=True))
        return found

    return loss


def _normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Tensor:
    return torch.from_numpy(rng.normal(0.0, scale, shape).astype(np.float32))
