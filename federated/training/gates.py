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
    asked = [np.zeros((len(labels), plan.clients), bool) for labels in clients.labels]
    biases = [empty[1]] * plan.clients
    parts = {"fedavg_gate": 2, "local_gate": 0}.get(method, 1)

    def local(number: int, k: int, shared: Weights) -> Weights:
        gate = _learn(clients, method, number, k, [shared[0], shared[1] if parts == 2 else biases[k]], asked[k])
        biases[k] = gate[1]
        return gate[:parts]

    work = 3.0 * hidden * plan.clients
    if not parts:
        gates = [empty] * plan.clients
        for number in range(plan.rounds.gate):
            gates = [_learn(clients, method, number, k, gate, asked[k]) for k, gate in enumerate(gates)]
    else:
        shared = empty[:parts]
        *_, shared = clients.federation.average("gate", plan.rounds.gate, shared, local, recorder, work)
        gates = [[shared[0], shared[1] if parts == 2 else bias] for bias in biases]
    ask_neighbours(clients, asked, recorder)
    return gates


def _learn(clients: Clients, method: str, number: int, k: int, gate: Weights, asked: np.ndarray) -> Weights:
    """A round's training of one client's gate: the likelihood of the right labels under the softmax mixture.

    `asked` (n_k, experts) is marked where an expert's answer is used.
    """
    plan, settings = clients.plan, clients.plan.training
    rng = stream(clients.seed, f"train {method}", number, k)
    reached = np.flatnonzero(clients.federation.layout.reach[k])
    quality = clients.answers[k][:, torch.arange(len(clients.labels[k])), clients.labels[k]].T  # (n_k, experts)
    inputs, turn = clients.shared_features[k], number

    def loss(weights: Weights, batch: Tensor) -> Tensor:
        nonlocal turn
        chosen = reached
        if method == "rangate":
            chosen = rng.permutation(reached)[: plan.top_k]
        elif method == "rollgate":
            chosen = reached[(turn + np.arange(plan.top_k)) % len(reached)]
        turn += 1
        asked[np.ix_(batch.numpy(), chosen)] = True
        mask = torch.zeros(plan.clients, dtype=torch.bool)
        mask[torch.from_numpy(chosen)] = True
        shares = logits(weights, inputs[batch]).masked_fill(~mask, -torch.inf).softmax(dim=1)
        return -((shares * quality[batch]).sum(dim=1) + 1e-6).log().mean()

    steps = batches(len(quality), settings.batch, settings.local_epochs, rng)
    return descend(gate, loss, steps, settings.gate_rate)
