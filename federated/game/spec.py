"""What agents see and do: one table that builds spaces, documentation and tests."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium
import numpy as np

from .settings import GameSettings

ROLES = ("client", "provider")


class Field(NamedTuple):
    """A named stretch of an observation.

    Attributes:
        name: Key in `slices`.
        size: Number of entries: a number, or a key of `sizes`.
        low: Lowest value.
        high: Highest value.
        unit: What an entry of 1 stands for.
        meaning: One line.
    """

    name: str
    size: int | str
    low: float
    high: float
    unit: str
    meaning: str


PUBLIC = (
    Field("price", 1, 0, 1, "highest price", "payment for an update in this round"),
    Field("rounds_left", 1, 0, 1, "rounds", "rounds that may still be run"),
    Field("accuracy", 1, 0, 1, "accuracy", "of the shared model on the test images"),
    Field("gain", 1, -1, 1, "accuracy", "what the last round added to it"),
    Field("joined", 1, 0, 1, "clients", "who took part in the last round"),
)
FIELDS: dict[str, tuple[Field, ...]] = {
    "client": (
        *PUBLIC,
        Field("own_accuracy", 1, 0, 1, "accuracy", "on the client's own mix of classes"),
        Field("own_gain", 1, -1, 1, "accuracy", "what the last round added to that"),
        Field("own_joined", 1, 0, 1, "flag", "the client took part in the last round"),
        Field("own_counted", 1, 0, 1, "flag", "its update came in time"),
        Field("mix", "classes", 0, 1, "share", "its images by class"),
        Field("images", 1, 0, 1, "all images", "its own"),
        Field("download", 1, 0, 4, "deadline_s", "time to get the model, if it alone takes part"),
        Field("epoch", 1, 0, 4, "deadline_s", "time of an epoch"),
        Field("upload", "powers", 0, 4, "deadline_s", "time to send 32 bits a number alone, at each power"),
    ),
    "provider": (
        *PUBLIC,
        Field("seconds", 1, 0, 1, "deadline_s", "length of the last round"),
        Field("counted", "clients", 0, 1, "flag", "whose update came in time"),
        Field("images", "clients", 0, 1, "all images", "of each client"),
        Field("download", "clients", 0, 4, "deadline_s", "time to send the model to each, if it alone takes part"),
    ),
}


class Part(NamedTuple):
    """A part of an action: its name, how many choices it has (a key of `sizes`), what they mean."""

    name: str
    size: str
    meaning: str


PARTS: dict[str, tuple[Part, ...]] = {
    "client": (
        Part("join", "flags", "0: stay out of this round; 1: take part"),
        Part("epochs", "epochs", "passes over its own images"),
        Part("bits", "bits", "of each number of the update"),
        Part("power", "powers", "transmit power"),
    ),
    "provider": (
        Part("price", "prices", "payment for an update in the next round"),
        Part("go_on", "flags", "0: this round is the last; 1: another one follows"),
    ),
}


def sizes(settings: GameSettings, classes: int, powers: int) -> dict[str, int]:
    """The sizes that fields and parts are told by."""
    return {
        "clients": settings.clients,
        "classes": classes,
        "powers": powers,
        "flags": 2,
        "epochs": len(settings.epochs),
        "bits": len(settings.bits),
        "prices": len(settings.prices),
    }


def entries(field: Field, of: dict[str, int]) -> int:
    """How many entries of an observation a field takes."""
    return field.size if isinstance(field.size, int) else of[field.size]


def slices(role: str, of: dict[str, int]) -> dict[str, slice]:
    """Where each field of a role stands."""
    found, start = {}, 0
    for field in FIELDS[role]:
        found[field.name] = slice(start, start + entries(field, of))
        start += entries(field, of)
    return found


def choices(role: str, of: dict[str, int]) -> list[int]:
    """How many choices each part of a role's action has."""
    return [of[part.size] for part in PARTS[role]]


def observation_space(role: str, of: dict[str, int]) -> gymnasium.spaces.Box:
    """The space of a role's observations."""
    low, high = (
        np.concatenate([np.full(entries(field, of), getattr(field, bound), np.float32) for field in FIELDS[role]])
        for bound in ("low", "high")
    )
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


def action_space(role: str, of: dict[str, int]) -> gymnasium.spaces.MultiDiscrete:
    """The space of a role's actions."""
    return gymnasium.spaces.MultiDiscrete(choices(role, of))
