"""What is done to what a client shares: clipping, Gaussian noise, compression with error feedback, and its epsilon."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..plan import Sharing
from .traffic import NUMBER_BITS


def clipped(tensors: Sequence[Tensor], limit: float | None) -> list[Tensor]:
    """The tensors scaled so that the Euclidean norm of all together is at most `limit`."""
    if limit is None:
        return list(tensors)
    norm = float(torch.cat([tensor.flatten() for tensor in tensors]).double().norm())
    return [tensor * min(1.0, limit / norm) if norm > 0 else tensor for tensor in tensors]


def noisy(tensors: Sequence[Tensor], sharing: Sharing, rng: np.random.Generator) -> list[Tensor]:
    """The tensors with Gaussian noise of standard deviation `noise * clip` on each entry."""
    if not sharing.noise:
        return list(tensors)
    scale = sharing.noise * (sharing.clip or 0.0)
    return [t + torch.from_numpy(rng.normal(0.0, scale, tuple(t.shape)).astype(np.float32)) for t in tensors]


def compressed(tensors: Sequence[Tensor], sharing: Sharing) -> tuple[list[Tensor], int]:
    """What the receiver reads, and the bits that were sent.

    `8bit`: 256 equal steps between the least and the largest entry, which are sent too. `topk`: the share `keep` of the
    largest entries of each tensor, each with its place.
    """
    if sharing.compression == "8bit":
        return [_eight_bits(t) for t in tensors], sum(8 * t.numel() + 2 * NUMBER_BITS for t in tensors)
    if sharing.compression == "topk":
        found, bits = [], 0
        for tensor in tensors:
            kept = max(1, round(sharing.keep * tensor.numel()))
            best = tensor.flatten().abs().topk(kept).indices
            sparse = torch.zeros(tensor.numel())
            sparse[best] = tensor.flatten()[best]
            found.append(sparse.reshape(tensor.shape))
            bits += kept * (NUMBER_BITS + math.ceil(math.log2(max(2, tensor.numel()))))
        return found, bits
    return list(tensors), sum(NUMBER_BITS * t.numel() for t in tensors)


def epsilon(sharing: Sharing, releases: int) -> float | None:
    """Epsilon of differential privacy towards whoever reads a client's messages; `None` without noise.

    It bounds what `releases` noisy messages tell of one image of a client, which another image might stand for: two
    messages of norm `clip` differ by at most twice that. Accountant: Renyi differential privacy of dp-accounting.

    Args:
        sharing: Its noise, and delta.
        releases: How many noisy messages any one image has a part in.
    """
    if not sharing.noise or not releases:
        return None
    from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant()
    accountant.compose(SelfComposedDpEvent(GaussianDpEvent(sharing.noise / 2), releases))
    return float(accountant.get_epsilon(sharing.delta))


def _eight_bits(tensor: Tensor) -> Tensor:
    low, high = tensor.min(), tensor.max()
    step = (high - low) / 255
    return low + ((tensor - low) / step).round() * step if step > 0 else tensor.clone()
