"""The methods: each trains on one split and says what its clients answer, and what it took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softmax

from ..messages.sharing import clipped, noisy
from ..messages.traffic import NUMBER_BITS, Message, Recorder
from ..plan import Sharing
from ..random import stream
from .clients import Clients
from .evaluation import mixture
from .features import contrastive, start, supervised
from .gates import GATES, train_gates
from .networks import Weights, batches, descend, features, head, label_loss, logits


@dataclass
class Outcome:
    """What a method came to.

    Attributes:
        answers: (clients, n, classes) probabilities of each client on the test images.
        recorder: Its messages, seconds and joules.
        rounds: How often clients and server exchanged.
        curve: Global accuracy after each round, where the shared network answers by itself.
        load: (experts,) share of the weight that each expert gets over all clients; empty without experts.
        releases: Noisy messages that one image has a part in.
        weights: What is saved.
    """

    answers: Tensor
    recorder: Recorder
    rounds: int = 0
    curve: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    releases: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


class Lab:
    """The methods on the clients of one seed; extractor and experts are trained once for all that use them.

    Args:
        clients: Who learn.
        recorder: Makes the recorder of each stage.
    """

    clients: Clients

    def __init__(self, clients: Clients, recorder: Callable[[], Recorder] = Recorder) -> None:
        self.clients, self.new_recorder = clients, recorder
        self._averages: dict[float, tuple[Weights, list[float], Recorder]] = {}
        self._extractor: tuple[Weights, Recorder] | None = None
        self._experts: tuple[list[Weights], Tensor, Recorder] | None = None

    def run(self, method: str) -> Outcome:
        """Train by a method of `plan.METHODS`."""
        if method in ("fedavg", "fedprox"):
            return self._averaged(self.clients.plan.training.proximal if method == "fedprox" else 0.0)
        if method in ("central", "local"):
            return self._alone(method)
        return self._mixed(method)

    def _averaged(self, pull: float) -> Outcome:
        rounds = self.clients.plan.rounds.features
        weights, curve, recorder = self._supervised(pull)
        answers = self._network(weights).expand(self.clients.plan.clients, -1, -1)
        return Outcome(answers, recorder, rounds, curve, releases=rounds, weights=_named("network", weights))

    def _alone(self, method: str) -> Outcome:
        """Without federation: a network on everybody's images, or one each on its own."""
        clients, settings, recorder = self.clients, self.clients.plan.training, self.new_recorder()

        def learn(k: int, images: Tensor, labels: Tensor) -> Weights:
            steps = batches(len(labels), settings.batch, settings.epochs, stream(clients.seed, method, k))
            return descend(start(clients), label_loss(images, labels), steps, settings.rate)

        if method == "local":
            numbers = range(clients.plan.clients)
            nets = clients.federation.engine.scatter(learn)(
                [*zip(numbers, clients.images, clients.labels, strict=True)]
            )
            macs = {k: 3.0 * settings.epochs * clients.macs * size for k, size in enumerate(clients.federation.sizes)}
            clients.federation.layout.settle(recorder, method, 0, macs)
            return Outcome(torch.stack([self._network(net) for net in nets]), recorder)
        for k, (x, y) in enumerate(zip(clients.images, clients.labels, strict=True)):
            recorder.send(Message(method, 0, k, "up", "images", NUMBER_BITS * (x.numel() + len(y))), [x, y])
        clients.federation.layout.settle(recorder, method, 0, {})
        net = learn(0, torch.cat(clients.images), torch.cat(clients.labels))
        answers = self._network(net).expand(clients.plan.clients, -1, -1)
        return Outcome(answers, recorder, 1, weights=_named("network", net))

    def _mixed(self, method: str) -> Outcome:
        """By personal experts on shared features: one's own, or a top-k mixture of those in reach."""
        clients, plan = self.clients, self.clients.plan
        base, before = self.extractor[0], self.extractor[1].then(self.experts[2])
        recorder, rounds = self.new_recorder(), plan.rounds.features
        answers, inputs = self.experts[1], features(base, clients.test_images)
        saved = _named("extractor", base)
        if method == "own":
            return Outcome(answers, before, rounds, [], [1 / plan.clients] * plan.clients, rounds, saved)
        if method in GATES:
            gates = train_gates(clients, method, recorder)
            readings = [logits(gate, inputs) for gate in gates]
            saved |= {name: t for k, gate in enumerate(gates) for name, t in _named(f"gate{k}", gate).items()}
            rounds += plan.rounds.gate * (method != "local_gate")
        else:  # random_gate
            rng, shape = stream(clients.seed, method), (len(inputs), plan.clients)
            readings = [torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for _ in range(plan.clients)]
        mixed = [
            mixture(reading, answers, clients.federation.layout.reach[k], plan.top_k)
            for k, reading in enumerate(readings)
        ]
        load = torch.stack([weights.mean(dim=0) for _, weights in mixed]).mean(dim=0)
        releases = rounds + (method in GATES)  # an image's features are sent once, with one noise
        total = before.then(recorder)
        return Outcome(torch.stack([a for a, _ in mixed]), total, rounds, [], load.tolist(), releases, saved)

    @property
    def extractor(self) -> tuple[Weights, Recorder]:
        """The shared extractor, with what it took; a temporary head is thrown away."""
        if self._extractor is None:
            if self.clients.plan.features == "fedsc":
                recorder = self.new_recorder()
                self._extractor = contrastive(self.clients, recorder), recorder
            else:
                weights, _, recorder = self._supervised(0.0)
                self._extractor = weights[:2], recorder
        return self._extractor

    def _supervised(self, pull: float) -> tuple[Weights, list[float], Recorder]:
        """FedAvg or FedProx, once for each pull: FedCE's extractor is FedAvg's."""
        if pull not in self._averages:
            recorder = self.new_recorder()
            self._averages[pull] = (*supervised(self.clients, recorder, pull), recorder)
        return self._averages[pull]

    @property
    def experts(self) -> tuple[list[Weights], Tensor, Recorder]:
        """The personal experts, their (experts, n, classes) probabilities on the test images, and what they took."""
        if self._experts is None:
            clients, settings = self.clients, self.clients.plan.training
            base = self.extractor[0]
            inputs = [features(base, images) for images in clients.images]

            def learn(k: int, x: Tensor, y: Tensor) -> Weights:
                rng = stream(clients.seed, "expert", k)
                steps = batches(len(y), settings.batch, settings.expert_epochs, rng)
                begin = head(settings.hidden, clients.classes, rng)
                return descend(begin, _head_loss(x, y), steps, settings.rate)

            found = clients.federation.engine.scatter(learn)(
                [*zip(range(len(inputs)), inputs, clients.labels, strict=True)]
            )
            sharing = clients.plan.sharing
            clients.shared_features = [
                _private(x, sharing, stream(clients.seed, "noise features", k)) for k, x in enumerate(inputs)
            ]
            clients.answers = [
                torch.stack([softmax(logits(expert, x), dim=1) for expert in found]) for x in clients.shared_features
            ]
            test = features(base, clients.test_images)
            answers = torch.stack([softmax(logits(expert, test), dim=1) for expert in found])
            recorder, work = self.new_recorder(), 3.0 * settings.expert_epochs * settings.hidden * clients.classes
            sizes = clients.federation.sizes
            clients.federation.layout.settle(recorder, "experts", 0, {k: work * n for k, n in enumerate(sizes)})
            self._experts = found, answers, recorder
        return self._experts

    def _network(self, weights: Weights) -> Tensor:
        return softmax(logits(weights[2:], features(weights, self.clients.test_images)), dim=1)


def _head_loss(inputs: Tensor, labels: Tensor) -> Callable[[Weights, Tensor], Tensor]:
    return lambda weights, batch: torch.nn.functional.cross_entropy(logits(weights, inputs[batch]), labels[batch])


def _private(inputs: Tensor, sharing: Sharing, rng: np.random.Generator) -> Tensor:
    """(n, hidden) features, each image's clipped, with noise."""
    rows = [clipped([row], sharing.clip)[0] for row in inputs] if sharing.clip else list(inputs)
    return noisy([torch.stack(rows)], sharing, rng)[0]


def _named(name: str, weights: Weights) -> dict[str, Tensor]:
    return {f"{name}.{i}": tensor.clone() for i, tensor in enumerate(weights)}
