"""The shared extractor: FedCE (cross-entropy with a temporary head) or FedSC (spectral contrast of two views)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..messages.traffic import NUMBER_BITS, Message, Recorder
from ..random import stream
from .clients import Clients
from .networks import Weights, batches, descend, extractor, features, head, label_loss, logits

SCALE = 2.5
"""What FedSC's features are multiplied by: their root mean square is 0.54 to 0.61, as the loss fixes only that of the
embeddings, and FedCE's is 1.4. Experts and gates learn with one step size on either (seeds 7, 9, 10, 11)."""


def start(clients: Clients) -> Weights:
    """Extractor and head before training, the same for every method of a seed."""
    rng, hidden = stream(clients.seed, "start"), clients.plan.training.hidden
    return [*extractor(clients.pixels, hidden, rng), *head(hidden, clients.classes, rng)]


def supervised(clients: Clients, recorder: Recorder, pull: float = 0.0) -> tuple[Weights, list[float]]:
    """Extractor and head by FedAvg, or FedProx where `pull` is positive, and the global accuracy after each round."""
    settings, shared, curve = clients.plan.training, start(clients), []

    def local(number: int, k: int, shared: Weights, kept: Weights) -> tuple[Weights, Weights]:
        loss = label_loss(clients.images[k], clients.labels[k], shared if pull else None, pull)
        rng = stream(clients.seed, "supervised", number, k)
        steps = batches(len(clients.labels[k]), settings.batch, settings.local_epochs, rng)
        return descend(shared, loss, steps, settings.rate), kept

    work = 3.0 * settings.local_epochs * clients.macs
    rounds = clients.plan.rounds.features
    for after in clients.federation.average("features", rounds, shared, local, recorder, work):
        shared = after
        answers = logits(shared[2:], features(shared, clients.test_images)).argmax(dim=1)
        curve.append(float((answers.numpy() == clients.test_labels).mean()))
    return shared, curve


def contrastive(clients: Clients, recorder: Recorder) -> Weights:
    """Extractor by FedSC, without labels.

    The loss is the spectral contrastive one, `-2 E[z'z''] + |E[z z^T]|^2` (arXiv 2106.04156), of which the second
    term needs all clients: each shares its correlation matrix with its update, and repels its own batch from its own
    correlation by its share of the images, and from the last round's mean of all by the rest.
    """
    plan, hidden = clients.plan, clients.plan.training.hidden
    settings = plan.training
    begin = start(clients)[:2] + head(hidden, hidden, stream(clients.seed, "projector"))
    shared = [*begin, torch.zeros(hidden, hidden)]

    def local(number: int, k: int, shared: Weights, kept: Weights) -> tuple[Weights, Weights]:
        images, rng = clients.images[k], stream(clients.seed, "contrastive", number, k)
        own = clients.federation.sizes[k] / sum(clients.federation.sizes) if number else 1.0

        def loss(weights: Weights, batch: Tensor) -> Tensor:
            one, two = (embed(weights, view(images[batch], clients.side, rng)) for _ in range(2))
            both = torch.cat([one, two])
            here = both.T @ both / len(both)
            repelled = own * here.square().sum() + 2 * (1 - own) * (here * shared[4]).sum()
            return repelled - 2 * (one * two).sum(dim=1).mean()

        steps = batches(len(images), settings.batch, settings.local_epochs, rng)
        weights = descend(shared[:4], loss, steps, settings.contrastive_rate)
        z = embed(weights, images)
        return [*weights, z.T @ z / len(z)], kept

    kinds = ("update",) * 4 + ("correlation",)
    work = 6.0 * settings.local_epochs * (clients.macs + hidden * hidden)
    rounds = clients.federation.average("features", plan.rounds.features, shared, local, recorder, work, kinds)
    *_, shared = rounds
    return [SCALE * tensor for tensor in shared[:2]]


def embed(weights: Weights, images: Tensor) -> Tensor:
    """(n, hidden) embeddings: the projector's outputs on the features."""
    return logits(weights[2:4], features(weights, images))


def view(images: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    """Another view of each image: Gaussian noise and, where images are square, a shift of its own.

    It is shifted by up to 1/24 of the side, one pixel at least, and what leaves on one side comes in at the other.
    """
    found = images
    if side:
        reach = max(1, side // 24)
        moved = rng.integers(-reach, reach + 1, (2, len(images), 1)) + np.arange(side)
        down, right = torch.from_numpy(moved % side)  # (n, side) each
        rows = torch.arange(len(images))[:, None, None]
        found = images.reshape(-1, side, side)[rows, down[:, :, None], right[:, None, :]].reshape(len(images), -1)
    return found + torch.from_numpy(rng.normal(0.0, 0.1, tuple(found.shape)).astype(np.float32))


def ask_neighbours(clients: Clients, asked: list[Tensor], recorder: Recorder) -> None:
    """Note what it takes to have neighbours answer: features up to each, probabilities back, each once.

    Args:
        clients: Who asks, with their noisy features.
        asked: (n_k, experts) bool for each client, which expert answers which image.
        recorder: Takes the messages, as a round of its own.
    """
    hidden = clients.plan.training.hidden
    work = dict.fromkeys(range(clients.plan.clients), 0.0)
    for k, pairs in enumerate(asked):
        for e in range(clients.plan.clients):
            chosen = pairs[:, e].nonzero().flatten()
            work[e] += len(chosen) * hidden * clients.classes
            if e == k or not len(chosen):
                continue
            up, back = len(chosen) * hidden * NUMBER_BITS, len(chosen) * clients.classes * NUMBER_BITS
            recorder.send(Message("ask", 0, k, "up", "features", up, e), [clients.shared_features[k][chosen]])
            recorder.send(Message("ask", 0, e, "up", "answers", back, k), [clients.answers[k][e][chosen]])
            recorder.send(Message("ask", 0, k, "down", "answers", back, e), [clients.answers[k][e][chosen]])
    clients.federation.layout.settle(recorder, "ask", 0, work)
