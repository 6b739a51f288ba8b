"""One counter-based random stream per world: Philox4x32-10.

A draw is a pure function of (seed, world, episode, slot, concern, index). Nothing is consumed, so the order in which
draws are made, the number of worlds beside this one and the number of threads change nothing.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import math

import numpy as np

from .bitexact import log, sin_cos_of_turn
from .jit import formula

Word = np.uint64
Key = tuple[Word, Word, Word, Word, Word]
Four = tuple[float, float, float, float]

# what a draw is for; each concern has its own index space
PLACE, LINK, FADING, WAYPOINT, ARRIVAL, BURST, REQUEST, GATE, ORDER, CHURN, MEMORY, PART, TASTE = range(13)
CONCERNS = 16

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@formula
def philox4x32(c0: Word, c1: Word, c2: Word, c3: Word, k0: Word, k1: Word) -> tuple[Word, Word, Word, Word]:
    """Ten rounds of Philox on a 4x32-bit counter and a 2x32-bit key, held in uint64; returns four 32-bit words."""
    for _ in range(10):
        product0, product1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (product1 >> _32) ^ c1 ^ k0, product1 & _LOW, (product0 >> _32) ^ c3 ^ k1, product0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@formula
def stream(seed: int, world: int, episode: int, slot: int) -> Key:
    """The key of one slot of one world."""
    key = np.uint64(seed)
    return key & _LOW, key >> _32, np.uint64(world), np.uint64(episode), np.uint64(slot) * np.uint64(CONCERNS)


@formula
def uniforms(key: Key, concern: int, index: int) -> Four:
    """Four independent numbers in (0, 1), 32 bits each."""
    k0, k1, world, episode, slot = key
    a, b, c, d = philox4x32(
        np.uint64(index),
        np.uint64(slot) + np.uint64(concern),
        np.uint64(episode),
        np.uint64(world),
        np.uint64(k0),
        np.uint64(k1),
    )
    scale = 1.0 / 4294967296.0
    return (float(a) + 0.5) * scale, (float(b) + 0.5) * scale, (float(c) + 0.5) * scale, (float(d) + 0.5) * scale


@formula
def normals(key: Key, concern: int, index: int) -> Four:
    """Four independent standard normal numbers (Box-Muller)."""
    a, b, c, d = uniforms(key, concern, index)
    r, q = math.sqrt(-2.0 * log(a)), math.sqrt(-2.0 * log(c))
    (sine, cosine), (sine_, cosine_) = sin_cos_of_turn(b), sin_cos_of_turn(d)
    return r * cosine, r * sine, q * cosine_, q * sine_


TRIALS = 32  # one in twenty is rejected: all of them never, in practice


@formula
def log_gamma_variate(shape: float, key: Key, concern: int, index: int) -> float:
    """Logarithm of a gamma-distributed number of scale 1; small shapes would underflow without it.

    Source: Marsaglia and Tsang, A simple method for generating gamma variables, ACM TOMS 26 (2000); below a shape of 1,
    a number of one more is scaled by u ** (1 / shape).
    """
    d = shape + 1.0 - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    v, boost = 1.0, 0.5
    for trial in range(TRIALS):
        x = normals(key, concern, 2 * (index * TRIALS + trial))[0]
        u, boost, _, _ = uniforms(key, concern, 2 * (index * TRIALS + trial) + 1)
        v = (1.0 + c * x) ** 3
        if v > 0.0 and log(u) < 0.5 * x * x + d * (1.0 - v + log(v)):
            break
    return log(d) + log(max(v, 1e-300)) + log(boost) / shape
