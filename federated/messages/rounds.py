"""Rounds of federated averaging (arXiv 1602.05629): weights down, training, updates up, their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from ..engine import Engine
from ..plan import Plan
from ..random import stream
from ..training.networks import Weights
from .sharing import clipped, compressed, noisy
from .traffic import NUMBER_BITS, Layout, Message, Recorder

Local = Callable[[int, int, Weights, Weights], tuple[Weights, Weights]]


@dataclass(frozen=True)
class Federation:
    """Clients that learn together.

    Attributes:
        plan: How.
        seed: Of all that is drawn.
        layout: What messages cost.
        sizes: How many images each client has.
        engine: Where they train.
    """

    plan: Plan
    seed: int
    layout: Layout
    sizes: list[int]
    engine: Engine = field(default_factory=Engine)

    def average(
        self,
        stage: str,
        rounds: int,
        shared: Weights,
        local: Local,
        recorder: Recorder,
        macs_per_image: float,
        kinds: tuple[str, ...] | None = None,
        kept: list[Weights] | None = None,
    ) -> Iterator[Weights]:
        """The shared weights after each round.

        Args:
            stage: Names the messages and the draws.
            rounds: How many.
            shared: Where to begin.
            local: From a round, a client, the shared weights and what the client keeps to both after training.
            recorder: Takes every message.
            macs_per_image: Multiply-accumulates of a round's training, an image.
            kinds: What each tensor's update is called; all of them `update` by default.
            kept: What each client keeps for itself, nothing by default; changed round by round.
        """
        kept = [[] for _ in self.sizes] if kept is None else kept
        train = self.engine.scatter(local)
        kinds = kinds or ("update",) * len(shared)
        errors: dict[int, Weights] = {}
        for number in range(rounds):
            asked, lost = self._who(stage, number)
            total = sum(self.sizes[k] for k in asked if k not in lost)
            mean = [torch.zeros_like(tensor) for tensor in shared]
            bits = sum(NUMBER_BITS * tensor.numel() for tensor in shared)
            trained = train([(number, k, shared, kept[k]) for k in asked])
            for k, (found, kept[k]) in zip(asked, trained, strict=True):
                recorder.send(Message(stage, number, k, "down", "weights", bits), shared)
                if k in lost:
                    continue
                update = [new - old for new, old in zip(found, shared, strict=True)]
                sent = self._upload(stage, number, k, update, errors, recorder, kinds)
                mean = [a + b * (self.sizes[k] / total) for a, b in zip(mean, sent, strict=True)]
            self.layout.settle(recorder, stage, number, {k: macs_per_image * self.sizes[k] for k in asked})
            shared = [a + b for a, b in zip(shared, mean, strict=True)]
            yield shared

    def _upload(
        self,
        stage: str,
        number: int,
        client: int,
        update: Weights,
        errors: dict[int, Weights],
        recorder: Recorder,
        kinds: tuple[str, ...],
    ) -> Weights:
        """Clip, add noise, compress and send an update; what compression lost is kept for the next one.

        Noise comes before compression, so that feedback only repeats what is already private.
        """
        sharing = self.plan.sharing
        recorder.send(Message(stage, number, client, "up", "size", NUMBER_BITS), [torch.tensor(self.sizes[client])])
        update = noisy(clipped(update, sharing.clip), sharing, stream(self.seed, f"noise {stage}", number, client))
        if client in errors:
            update = [a + b for a, b in zip(update, errors[client], strict=True)]
        for kind in dict.fromkeys(kinds):
            chosen = [i for i, name in enumerate(kinds) if name == kind]
            sent, bits = compressed([update[i] for i in chosen], sharing)
            recorder.send(Message(stage, number, client, "up", kind, bits), sent)
            rest = [update[i] - tensor for i, tensor in zip(chosen, sent, strict=True)]
            for i, tensor, error in zip(chosen, sent, rest, strict=True):
                errors.setdefault(client, [torch.zeros_like(t) for t in update])[i] = error
                update[i] = tensor
        return update

    def _who(self, stage: str, number: int) -> tuple[list[int], set[int]]:
        """Clients that are asked in a round, and those of them that are lost before they answer."""
        rng, plan = stream(self.seed, f"clients {stage}", number), self.plan
        count = max(1, round(plan.participation * plan.clients))
        asked = sorted(int(k) for k in rng.permutation(plan.clients)[:count])
        gone = rng.random(plan.clients) < plan.dropout
        return asked, {k for k in asked if gone[k]}
