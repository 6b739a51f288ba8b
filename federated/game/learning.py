"""The training itself, compiled: a client's epochs, its quantised update, and the accuracy of the shared head."""

from __future__ import annotations

import math

from edge_experts.envs.physics import rng
from edge_experts.envs.physics.bitexact import exp
from edge_experts.envs.physics.jit import jit

from .images import Images
from .settings import FULL_BITS
from .state import Rules, Worlds

ROUNDING = 14  # concern of the draws, beside those of `physics.rng`


@jit
def train(b: int, k: int, epochs: int, w: Worlds, images: Images, r: Rules) -> None:
    """Leave in `w.local` the shared head after a client's epochs: gradient descent on cross-entropy, batch by batch."""
    D, C = w.local.shape
    for d in range(D):
        for c in range(C):
            w.local[d, c] = w.model[b, d, c]
    start, count = w.first[b, k], w.first[b, k + 1] - w.first[b, k]
    batches = max(1, count // r.batch)
    for _ in range(epochs):
        for batch in range(batches):
            low, high = start + batch * count // batches, start + (batch + 1) * count // batches
            for d in range(D):
                for c in range(C):
                    w.slope[d, c] = 0.0
            for i in range(low, high):
                image = w.order[b, i]
                answer(image, w, images)
                w.chances[images.train_labels[image]] -= 1.0
                for d in range(D):
                    for c in range(C):
                        w.slope[d, c] += images.train[image, d] * w.chances[c]
            for d in range(D):
                for c in range(C):
                    w.local[d, c] -= r.rate / (high - low) * w.slope[d, c]


@jit
def answer(image: int, w: Worlds, images: Images) -> None:
    """Leave in `w.chances` the softmax of the local head for a training image."""
    D, C = w.local.shape
    for c in range(C):
        w.chances[c] = 0.0
    for d in range(D):
        for c in range(C):
            w.chances[c] += images.train[image, d] * w.local[d, c]
    highest = w.chances[0]
    for c in range(1, C):
        highest = max(highest, w.chances[c])
    total = 0.0
    for c in range(C):
        w.chances[c] = exp(max(w.chances[c] - highest, -700.0))
        total += w.chances[c]
    for c in range(C):
        w.chances[c] /= total


@jit
def send(b: int, k: int, bits: int, share: float, key: rng.Key, w: Worlds) -> None:
    """Add a client's update to the sum, by its share of the images.

    At fewer than 32 bits each number is rounded at random to one of `2^(bits - 1) - 1` equal steps up to the largest,
    so that its mean is right (QSGD, arXiv 1610.02132, section 3.1, with the largest entry in place of the norm).
    """
    D, C = w.local.shape
    largest = 0.0
    for d in range(D):
        for c in range(C):
            w.local[d, c] -= w.model[b, d, c]
            largest = max(largest, abs(w.local[d, c]))
    if bits < FULL_BITS and largest > 0.0:
        steps = 2.0 ** (bits - 1) - 1.0
        for d in range(D):
            for c in range(C):
                place = w.local[d, c] / largest * steps
                below = float(math.floor(place))
                drawn = rng.uniforms(key, ROUNDING, (k * D + d) * C + c)[0]
                w.local[d, c] = (below + (1.0 if drawn < place - below else 0.0)) / steps * largest
    for d in range(D):
        for c in range(C):
            w.update[d, c] += share * w.local[d, c]


@jit
def measure(b: int, w: Worlds, images: Images) -> None:
    """Accuracy of the shared head on all test images, and weighed by each client's mix of their classes."""
    D, C = w.local.shape
    M, right = len(images.test_labels), 0.0
    for c in range(C):
        w.right[0, c] = w.right[1, c] = 0.0
    for i in range(M):
        for c in range(C):
            w.chances[c] = 0.0
        for d in range(D):
            for c in range(C):
                w.chances[c] += images.test[i, d] * w.model[b, d, c]
        best = 0
        for c in range(1, C):
            if w.chances[c] > w.chances[best]:
                best = c
        label = images.test_labels[i]
        w.right[1, label] += 1.0
        if best == label:
            w.right[0, label] += 1.0
            right += 1.0
    w.gain[b], w.accuracy[b] = right / M - w.accuracy[b], right / M
    for k in range(w.mix.shape[1]):
        found = weight = 0.0
        for c in range(C):
            if w.right[1, c] > 0.0:
                found += w.mix[b, k, c] * w.right[0, c] / w.right[1, c]
                weight += w.mix[b, k, c]
        own = found / weight if weight > 0.0 else 0.0
        w.own_gain[b, k], w.own_accuracy[b, k] = own - w.own_accuracy[b, k], own
