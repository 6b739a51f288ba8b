"""A round of every world, compiled: who hears the model, trains and sends, what it costs, and who pays whom."""

from __future__ import annotations

import math

import numpy as np

from edge_experts.envs.physics import radio, rng
from edge_experts.envs.physics.jit import entry, jit

from .images import Images
from .learning import measure, send, train
from .settings import FULL_BITS
from .state import Rules, Whole, Worlds

SLOW = 13  # concern of the draws, beside those of `physics.rng`
JOIN, EPOCHS, BITS, POWER = range(4)  # columns of a client's action
PRICE, GO_ON = range(2)  # columns of the provider's
TRAINING = 3.0  # multiply-accumulates a weight and image: once forward, twice backward


@entry
def begin(b: int, seed: int, first_price: int, w: Worlds, images: Images, r: Rules) -> None:
    """Begin an episode of a world whose images are dealt: places, links, slow clients, and a head of zeros."""
    key = rng.stream(seed, w.identity[b], w.episode[b], 0)
    for k in range(w.mix.shape[1]):
        x, y, sight, slow = rng.uniforms(key, rng.PLACE, k)
        w.distance_m[b, k] = math.sqrt((x - 0.5) ** 2 + (y - 0.5) ** 2) * r.area_m
        w.sight[b, k] = sight < radio.los_probability(w.distance_m[b, k])
        w.shadow[b, k] = rng.normals(key, rng.LINK, k)[0]
        w.slow[b, k] = r.slowdown if slow < r.stragglers else 1.0
        w.joined[b, k] = w.counted[b, k] = False
        w.bits[b, k] = w.payments[b, k] = 0.0
        w.own_accuracy[b, k] = 0.0
    w.round[b], w.over[b], w.stopped[b], w.price[b] = 0, False, False, first_price
    w.seconds[b] = w.accuracy[b] = 0.0
    for k in range(w.mix.shape[1] + 1):
        w.joules[b, k] = w.rewards[b, k] = 0.0
    for d in range(w.model.shape[1]):
        for c in range(w.model.shape[2]):
            w.model[b, d, c] = 0.0
    measure(b, w, images)
    w.gain[b] = 0.0
    for k in range(w.mix.shape[1]):
        w.own_gain[b, k] = 0.0
    fade(b, key, w, r)


@entry
def play(seed: int, clients: Whole, providers: Whole, w: Worlds, images: Images, r: Rules) -> None:
    """A round of every world that is not over.

    Args:
        seed: Of the random stream.
        clients: (B, K, 4) actions.
        providers: (B, 2) actions.
        w: Changed.
        images: What is learned from.
        r: The rules.
    """
    for b in range(len(w.over)):
        if not w.over[b]:
            key = rng.stream(seed, w.identity[b], w.episode[b], w.round[b] + 1)
            spend(b, clients, w, r)
            learn(b, clients, key, w, images, r)
            pay(b, w, r)
            w.price[b] = providers[b, PRICE]
            w.round[b] += 1
            w.stopped[b] = providers[b, GO_ON] == 0 and w.round[b] < r.rounds
            w.over[b] = w.stopped[b] or w.round[b] == r.rounds
            fade(b, key, w, r)


@jit
def fade(b: int, key: rng.Key, w: Worlds, r: Rules) -> None:
    """Rates of all links in the round to come: places and shadowing stay, Rayleigh fading is drawn anew."""
    for k in range(w.mix.shape[1]):
        re, im, _, _ = rng.normals(key, rng.FADING, k)
        loss = radio.path_loss_db(w.distance_m[b, k], r.carrier_hz, w.sight[b, k])
        gain = radio.linear(radio.gain_db(loss, w.shadow[b, k], w.sight[b, k], re, im))
        for h in range(len(r.powers_w)):
            w.up_bps[b, k, h] = radio.shannon_bps(r.bandwidth_hz, r.powers_w[h], gain, r.noise_w_hz)
        w.down_bps[b, k] = radio.shannon_bps(r.bandwidth_hz, r.provider_power_w, gain, r.noise_w_hz)


@jit
def spend(b: int, clients: Whole, w: Worlds, r: Rules) -> None:
    """Seconds and joules of a round: who takes part downloads, computes, uploads, and shares the band equally.

    The round is as long as its slowest client, or the deadline, at which updates under way are given up; what they
    cost has been spent.
    """
    K, server, numbers = w.mix.shape[1], w.mix.shape[1], w.model.shape[1] * w.model.shape[2]
    joined = 0
    for k in range(K):
        joined += clients[b, k, JOIN]
    w.seconds[b] = w.joules[b, server] = 0.0
    for k in range(K):
        w.joined[b, k] = clients[b, k, JOIN] == 1
        w.joules[b, k] = w.bits[b, k] = 0.0
        w.counted[b, k] = False
        if not w.joined[b, k]:
            continue
        down_s = numbers * FULL_BITS * joined / w.down_bps[b, k]
        w.joules[b, server] += down_s * r.provider_power_w / joined
        macs = TRAINING * numbers * (w.first[b, k + 1] - w.first[b, k]) * r.epochs[clients[b, k, EPOCHS]]
        compute_s = macs / r.macs_per_s * w.slow[b, k]
        w.bits[b, k] = sent_bits(numbers, r.bits[clients[b, k, BITS]])
        up_s = w.bits[b, k] * joined / w.up_bps[b, k, clients[b, k, POWER]]
        w.joules[b, k] = compute_s * r.power_w + up_s * r.powers_w[clients[b, k, POWER]]
        took_s = down_s + compute_s + up_s
        w.counted[b, k] = took_s <= r.deadline_s
        w.seconds[b] = min(r.deadline_s, max(w.seconds[b], took_s))


@jit
def sent_bits(numbers: int, bits: int) -> float:
    """Bits of an update: its numbers, and the largest of them where they are rounded."""
    return float(numbers * bits if bits == FULL_BITS else numbers * bits + FULL_BITS)


@jit
def learn(b: int, clients: Whole, key: rng.Key, w: Worlds, images: Images, r: Rules) -> None:
    """Move the shared head by the mean of the updates in time, each weighed by its client's images (FedAvg)."""
    D, C = w.local.shape
    total = 0.0
    for k in range(w.mix.shape[1]):
        if w.counted[b, k]:
            total += w.first[b, k + 1] - w.first[b, k]
    for d in range(D):
        for c in range(C):
            w.update[d, c] = 0.0
    for k in range(w.mix.shape[1]):
        if w.counted[b, k]:
            train(b, k, r.epochs[clients[b, k, EPOCHS]], w, images, r)
            send(b, k, r.bits[clients[b, k, BITS]], (w.first[b, k + 1] - w.first[b, k]) / total, key, w)
    for d in range(D):
        for c in range(C):
            w.model[b, d, c] = np.float32(w.model[b, d, c] + w.update[d, c])
    measure(b, w, images)


@jit
def pay(b: int, w: Worlds, r: Rules) -> None:
    """Rewards: what the gains are worth, payments, and what joules and seconds cost; `team` mixes in the mean."""
    K = w.mix.shape[1]
    provider = r.worth * w.gain[b] - r.joule * w.joules[b, K] - r.second * w.seconds[b]
    for k in range(K):
        w.payments[b, k] = r.prices[w.price[b]] if w.counted[b, k] else 0.0
        w.rewards[b, k] = r.client_worth * w.own_gain[b, k] + w.payments[b, k] - r.joule * w.joules[b, k]
        provider -= w.payments[b, k]
    w.rewards[b, K] = provider
    mean = 0.0
    for k in range(K + 1):
        mean += w.rewards[b, k] / (K + 1)
    for k in range(K + 1):
        w.rewards[b, k] = (1.0 - r.team) * w.rewards[b, k] + r.team * mean
