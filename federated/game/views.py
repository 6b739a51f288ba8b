"""What the agents of a game see, as `spec` says it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rounds import TRAINING
from .settings import FULL_BITS
from .spec import FIELDS, Field
from .state import Reals, Rules, Worlds

Seen = NDArray[np.float32]


class Views(NamedTuple):
    """Observations of all agents: (B, K, F) of clients and (B, F) of the provider."""

    client: Seen
    provider: Seen


def observe(w: Worlds, r: Rules) -> Views:
    """What all agents see now."""
    shared = _public(w, r)
    return Views(_joined("client", shared | _client(w, r)), _joined("provider", shared | _provider(w, r)))


def _public(w: Worlds, r: Rules) -> dict[str, Reals]:
    return {
        "price": r.prices[w.price] / r.prices[-1],
        "rounds_left": (r.rounds - w.round) / r.rounds * ~w.over,
        "accuracy": w.accuracy,
        "gain": w.gain,
        "joined": w.joined.mean(axis=1),
    }


def _client(w: Worlds, r: Rules) -> dict[str, Reals]:
    images, numbers = np.diff(w.first), w.model.shape[1] * w.model.shape[2]
    epoch_s = TRAINING * numbers * images / r.macs_per_s * w.slow
    return {
        "own_accuracy": w.own_accuracy,
        "own_gain": w.own_gain,
        "own_joined": w.joined,
        "own_counted": w.counted,
        "mix": w.mix,
        "images": images / w.order.shape[1],
        "download": _download_s(w) / r.deadline_s,
        "epoch": epoch_s / r.deadline_s,
        "upload": numbers * FULL_BITS / w.up_bps / r.deadline_s,
    }


def _provider(w: Worlds, r: Rules) -> dict[str, Reals]:
    return {
        "seconds": w.seconds / r.deadline_s,
        "counted": w.counted,
        "images": np.diff(w.first) / w.order.shape[1],
        "download": _download_s(w) / r.deadline_s,
    }


def _download_s(w: Worlds) -> Reals:
    """(B, K) seconds to send the model to a client, with the whole band."""
    return w.model.shape[1] * w.model.shape[2] * FULL_BITS / w.down_bps


def _joined(role: str, by_name: dict[str, Reals]) -> Seen:
    """Fields side by side, within their bounds; what is of the world is shown to all of its agents."""
    lead = by_name["own_accuracy"].shape if role == "client" else by_name["accuracy"].shape
    return np.concatenate([_column(field, by_name[field.name], lead) for field in FIELDS[role]], axis=-1)


def _column(field: Field, values: Reals, lead: tuple[int, ...]) -> Seen:
    if values.ndim < len(lead):
        values = values[:, None]
    shown = values.reshape(*values.shape, 1) if field.size == 1 else values
    return np.broadcast_to(np.clip(shown, field.low, field.high), (*lead, shown.shape[-1])).astype(np.float32)
