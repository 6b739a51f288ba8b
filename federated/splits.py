"""Deal images to clients: evenly, by Dirichlet shares of each class, or two classes a client."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .plan import Split
from .random import stream

FEWEST = 10
"""Images that every client has at least; the client that has most gives them."""

Indices = NDArray[np.int64]


def hold_out(count: int, share: float, seed: int) -> tuple[Indices, Indices]:
    """Indices of the training and of the test images, drawn at random."""
    order = stream(seed, "hold out").permutation(count)
    tests = max(1, round(count * share))
    return order[tests:], order[:tests]


def split_clients(labels: NDArray[np.int64], clients: int, split: Split, seed: int) -> list[Indices]:
    """Indices of each client's images, ascending; every image goes to one client.

    Args:
        labels: (n,) classes.
        clients: How many clients there are.
        split: How to deal.
        seed: Of the draw.

    Raises:
        ValueError: if there are too few images for so many clients.
    """
    if len(labels) < clients * FEWEST:
        raise ValueError(f"clients: {clients} need {clients * FEWEST} training images, and there are {len(labels)}")
    rng = stream(seed, "split")
    if split.kind == "iid":
        parts = np.array_split(rng.permutation(len(labels)), clients)
    elif split.kind == "shards":
        parts = _shards(labels, clients, rng)
    else:
        parts = _dirichlet(labels, clients, split.concentration or 1.0, rng)
    _fill(parts, rng)
    return [np.sort(part) for part in parts]


def histogram(labels: NDArray[np.int64], parts: list[Indices], classes: int) -> NDArray[np.float64]:
    """(clients, classes) share of each class among a client's images."""
    return np.array([np.bincount(labels[part], minlength=classes) / len(part) for part in parts])


def _dirichlet(
    labels: NDArray[np.int64], clients: int, concentration: float, rng: np.random.Generator
) -> list[Indices]:
    dealt: list[list[Indices]] = [[] for _ in range(clients)]
    for label in range(int(labels.max()) + 1):
        found = rng.permutation(np.flatnonzero(labels == label))
        shares = rng.dirichlet([concentration] * clients)
        for k, part in enumerate(np.split(found, (np.cumsum(shares)[:-1] * len(found)).astype(int))):
            dealt[k].append(part)
    return [np.concatenate(part) for part in dealt]


def _shards(labels: NDArray[np.int64], clients: int, rng: np.random.Generator) -> list[Indices]:
    order = rng.permutation(len(labels))
    shards = np.array_split(order[np.argsort(labels[order], kind="stable")], 2 * clients)
    drawn = rng.permutation(2 * clients)
    return [np.concatenate([shards[drawn[2 * k]], shards[drawn[2 * k + 1]]]) for k in range(clients)]


def _fill(parts: list[Indices], rng: np.random.Generator) -> None:
    for k in range(len(parts)):
        while len(parts[k]) < FEWEST:
            rich = max(range(len(parts)), key=lambda j: len(parts[j]))
            taken = rng.permutation(len(parts[rich]))
            missing = FEWEST - len(parts[k])
            parts[k] = np.concatenate([parts[k], parts[rich][taken[:missing]]])
            parts[rich] = parts[rich][taken[missing:]]
