"""Clients with their images, and what they hold once they have experts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_experts.envs import load_scenario

from ..data import Dataset
from ..engine import Engine
from ..messages.rounds import Federation
from ..messages.traffic import lay_out
from ..plan import Plan
from ..splits import histogram, hold_out, split_clients


@dataclass
class Clients:
    """The clients of one seed.

    Attributes:
        plan: How they learn.
        seed: Of all that is drawn.
        federation: How they exchange.
        images: For each client (n_k, pixels).
        labels: For each client (n_k,).
        test_images: (n, pixels), the same for all.
        test_labels: (n,).
        mixes: (clients, classes) share of each class at each client.
        classes: How many there are.
        side: Of a square image, in pixels; 0 for others.
        shared_features: For each client (n_k, hidden), as its neighbours see them: clipped and noisy.
        answers: For each client (experts, n_k, classes), probabilities of all experts on these.
    """

    plan: Plan
    seed: int
    federation: Federation
    images: list[Tensor]
    labels: list[Tensor]
    test_images: Tensor
    test_labels: NDArray[np.int64]
    mixes: NDArray[np.float64]
    classes: int
    side: int
    shared_features: list[Tensor] = field(default_factory=list)
    answers: list[Tensor] = field(default_factory=list)

    @property
    def pixels(self) -> int:
        """Numbers of an image."""
        return int(self.test_images.shape[1])

    @property
    def macs(self) -> float:
        """Multiply-accumulates of extractor and head, an image."""
        return float(self.plan.training.hidden * (self.pixels + self.classes))


def gather(plan: Plan, data: Dataset, seed: int, engine: Engine | None = None) -> Clients:
    """Hold out test images and deal the rest; clients train where `engine` says, in this process by default.

    Raises:
        ValueError: if there are too few images, or a client reaches fewer experts than it needs.
    """
    training, test = hold_out(len(data.labels), plan.test_share, seed)
    parts = [training[part] for part in split_clients(data.labels[training], plan.clients, plan.split, seed)]
    layout = lay_out(plan, load_scenario(plan.scenario), seed)
    return Clients(
        plan,
        seed,
        Federation(plan, seed, layout, [len(part) for part in parts], engine or Engine()),
        [torch.from_numpy(data.images[part]) for part in parts],
        [torch.from_numpy(data.labels[part]) for part in parts],
        torch.from_numpy(data.images[test]),
        data.labels[test],
        histogram(data.labels, parts, data.classes),
        data.classes,
        data.side,
    )
