"""Gates: which experts answer an image, learned from the experts' recorded answers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..messages.traffic import Recorder
from ..random import stream
from .clients import Clients
from .features import ask_neighbours
from .networks import Weights, batches, descend, logits

GATES = ("rangate", "rollgate", "fedavg_gate", "local_gate", "fedgate")


def train_gates(clients: Clients, method: str, recorder: Recorder) -> list[Weights]:
    """The gate of each client, (hidden, experts) weights and (experts,) biases.

    `fedgate` shares the weights and keeps the biases (partially synchronised); so do `rangate`, which asks `top_k`
    experts at random in each step, and `rollgate`, which asks them in rotation. Controls: `fedavg_gate` shares both,
    `local_gate` nothing.

    Args:
        clients: With experts' answers.
        method: One of `GATES`.
        recorder: Takes every message.
    """
    plan, hidden = clients.plan, clients.plan.training.hidden
    empty = [torch.zeros(hidden, plan.clients), torch.zeros(plan.clients)]
    parts = {"fedavg_gate": 2, "local_gate": 0}.get(method, 1)
    kept = [[*empty[parts:], torch.zeros(len(y), plan.clients, dtype=torch.bool)] for y in clients.labels]

    def local(number: int, k: int, shared: Weights, kept: Weights) -> tuple[Weights, Weights]:
        *own, asked = kept
        gate, asked = _learn(clients, method, number, k, [*shared, *own], asked)
        return gate[:parts], [*gate[parts:], asked]

    shared: Weights = []
    if parts:
        work = 3.0 * hidden * plan.clients
        rounds = clients.federation.average("gate", plan.rounds.gate, empty[:parts], local, recorder, work, kept=kept)
        *_, shared = rounds
    else:
        train = clients.federation.engine.scatter(local)
        for number in range(plan.rounds.gate):
            kept = [own for _, own in train([(number, k, [], own) for k, own in enumerate(kept)])]
    ask_neighbours(clients, [asked for *_, asked in kept], recorder)
    return [[*shared, *own] for *own, _ in kept]


def _learn(clients: Clients, method: str, number: int, k: int, gate: Weights, asked: Tensor) -> tuple[Weights, Tensor]:
    """A round's training of one client's gate: the likelihood of the right labels under the softmax mixture.

    `asked` (n_k, experts) bool is returned with marks where an expert's answer was used.
    """
    plan, settings = clients.plan, clients.plan.training
    rng = stream(clients.seed, f"train {method}", number, k)
    reached = np.flatnonzero(clients.federation.layout.reach[k])
    quality = clients.answers[k][:, torch.arange(len(clients.labels[k])), clients.labels[k]].T  # (n_k, experts)
    inputs, turn, asked = clients.shared_features[k], number, asked.clone()

    def loss(weights: Weights, batch: Tensor) -> Tensor:
        nonlocal turn
        chosen = reached
        if method == "rangate":
            chosen = rng.permutation(reached)[: plan.top_k]
        elif method == "rollgate":
            chosen = reached[(turn + np.arange(plan.top_k)) % len(reached)]
        turn += 1
        asked[batch[:, None], torch.from_numpy(chosen)] = True
        mask = torch.zeros(plan.clients, dtype=torch.bool)
        mask[torch.from_numpy(chosen)] = True
        shares = logits(weights, inputs[batch]).masked_fill(~mask, -torch.inf).softmax(dim=1)
        return -((shares * quality[batch]).sum(dim=1) + 1e-6).log().mean()

    steps = batches(len(quality), settings.batch, settings.local_epochs, rng)
    return descend(gate, loss, steps, settings.gate_rate), asked
