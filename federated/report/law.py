"""The law of specialisation: what a mixture of experts is worth, as clients differ more or less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..data import load_data
from ..engine import Engine
from ..plan import Plan, Split
from ..training.clients import Clients, gather
from ..training.methods import Lab

CONCENTRATIONS = (0.05, 0.1, 0.3, 1.0, None)
"""Of the Dirichlet distribution that deals the images; `None`: evenly."""
CHOICES = ("single", "category", "gate", "oracle")


def law(
    plan: Plan, engine: Engine | None = None, progress: Callable[[list[Any]], Any] = list
) -> list[dict[str, float | int | None]]:
    """What each way to choose experts is worth at each concentration and seed of a plan, all experts in reach.

    A row has `concentration`, `seed` and the mean over clients of the probability of the right class, on images of the
    client's own mix: of `single`, the one expert that is best over all clients; `category`, the one that is best for
    the client; `gate`, FedGate's mixture of `top_k`; `oracle`, the best of each image. The first two are chosen on one
    half of the test images, and all are measured on the other.

    Args:
        plan: How experts are trained; its split is replaced.
        engine: Where clients train; in this process by default.
        progress: Wraps the list of pairs of concentration and seed.
    """
    data, rows = load_data(plan.data), []
    for concentration, seed in progress([(c, seed) for c in CONCENTRATIONS for seed in range(plan.seeds)]):
        split = Split(kind="iid" if concentration is None else "dirichlet", concentration=concentration)  # type: ignore[call-arg]
        dealt: Plan = replace(plan, split=split, reach="all")  # type: ignore[type-var]
        torch.use_deterministic_algorithms(True)
        lab = Lab(gather(dealt, data, seed, engine))
        rows.append({"concentration": concentration, "seed": seed, **worth(lab)})
    return rows


def worth(lab: Lab) -> dict[str, float]:
    """What each of `CHOICES` is worth to the clients of one seed."""
    clients = lab.clients
    mixed, answers = lab.run("fedgate").answers, lab.experts[1]
    right = answers[:, torch.arange(len(clients.test_labels)), torch.from_numpy(clients.test_labels)].numpy()
    gated = mixed[:, torch.arange(len(clients.test_labels)), torch.from_numpy(clients.test_labels)].numpy()
    half = len(clients.test_labels) // 2
    before, after = _weights(clients, slice(half)), _weights(clients, slice(half, None))
    known = before @ right[:, :half].T  # (clients, experts)
    found = after @ right[:, half:].T
    return {
        "single": float(found.mean(axis=0)[known.mean(axis=0).argmax()]),
        "category": float(found[np.arange(len(found)), known.argmax(axis=1)].mean()),
        "gate": float((after * gated[:, half:]).sum(axis=1).mean()),
        "oracle": float((after @ right[:, half:].max(axis=0)).mean()),
    }


def _weights(clients: Clients, part: slice) -> np.ndarray:
    """(clients, n) share of each test image of a part in a client's own mix."""
    weights = clients.mixes[:, clients.test_labels[part]]
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
