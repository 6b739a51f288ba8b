"""The arrays of a game: B worlds, K clients, C classes, D features, H powers, N images to train on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import Scenario
from edge_experts.envs.physics import radio

from .images import Images
from .settings import GameSettings

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Rules(NamedTuple):
    """Numbers that hold in all worlds; units in the names."""

    rounds: int
    epochs: Whole
    bits: Whole
    powers_w: Reals
    prices: Reals
    deadline_s: float
    rate: float
    batch: int
    bandwidth_hz: float
    carrier_hz: float
    noise_w_hz: float
    provider_power_w: float
    area_m: float
    macs_per_s: float
    power_w: float
    stragglers: float
    slowdown: float
    worth: float
    client_worth: float
    joule: float
    second: float
    team: float


class Worlds(NamedTuple):
    """The state of every world, and what its last round came to."""

    identity: Whole  # (B,) in the random stream
    episode: Whole  # (B,)
    round: Whole  # (B,) rounds that were run
    over: Flags  # (B,)
    stopped: Flags  # (B,) by the provider, before the last round
    order: Whole  # (B, N) images by client
    first: Whole  # (B, K + 1) where each client's begin in `order`
    mix: Reals  # (B, K, C) share of each class
    distance_m: Reals  # (B, K) to the server
    sight: Flags  # (B, K) whether a link is in line of sight
    shadow: Reals  # (B, K) standard normal
    slow: Reals  # (B, K) factor on the time to compute
    up_bps: Reals  # (B, K, H) rate of the whole band in this round
    down_bps: Reals  # (B, K)
    model: Reals  # (B, D, C) the shared head, numbers of 32 bits
    price: Whole  # (B,) level in this round
    accuracy: Reals  # (B,)
    own_accuracy: Reals  # (B, K)
    gain: Reals  # (B,)
    own_gain: Reals  # (B, K)
    joined: Flags  # (B, K)
    counted: Flags  # (B, K)
    seconds: Reals  # (B,)
    joules: Reals  # (B, K + 1) of each client, and last of the server
    bits: Reals  # (B, K) sent up
    payments: Reals  # (B, K)
    rewards: Reals  # (B, K + 1) of each client, and last of the provider
    local: Reals  # (D, C) scratch: a client's head
    update: Reals  # (D, C) scratch: the sum of updates
    slope: Reals  # (D, C) scratch: of a batch
    chances: Reals  # (C,) scratch: probabilities of an image
    right: Reals  # (2, C) scratch: right answers and test images by class


def rules_of(settings: GameSettings, scenario: Scenario) -> Rules:
    """The numbers that the kernel reads."""
    s, air, learning, worth = settings, scenario.radio, settings.learning, settings.worth
    return Rules(
        rounds=s.rounds,
        epochs=np.array(s.epochs, np.int64),
        bits=np.array(s.bits, np.int64),
        powers_w=np.array(scenario.devices.power_levels_w, np.float64),
        prices=np.array(s.prices, np.float64),
        deadline_s=float(s.deadline_s),
        rate=float(learning.rate),
        batch=learning.batch,
        bandwidth_hz=float(s.radio.bandwidth_hz),
        carrier_hz=float(air.carrier_hz),
        noise_w_hz=float(radio.linear(air.noise_dbm_hz + air.noise_figure_db - 30.0)),
        provider_power_w=float(air.provider_power_w),
        area_m=float(scenario.mobility.area_m),
        macs_per_s=float(s.hardware.macs_per_s),
        power_w=float(s.hardware.power_w),
        stragglers=float(s.hardware.stragglers),
        slowdown=float(s.hardware.slowdown),
        worth=float(worth.provider),
        client_worth=float(worth.client),
        joule=float(worth.joule),
        second=float(worth.second),
        team=float(worth.team),
    )


def allocate(identities: Whole, clients: int, powers: int, images: Images) -> Worlds:
    """Worlds whose episodes have not begun."""
    B, K, H = len(identities), clients, powers
    N, D = images.train.shape
    C = int(max(images.train_labels.max(), images.test_labels.max())) + 1

    def reals(*shape: int) -> Reals:
        return np.zeros(shape, np.float64)

    def whole(*shape: int) -> Whole:
        return np.zeros(shape, np.int64)

    def flags(*shape: int) -> Flags:
        return np.zeros(shape, np.bool_)

    return Worlds(
        identity=identities.astype(np.int64),
        episode=whole(B),
        round=whole(B),
        over=~flags(B),
        stopped=flags(B),
        order=whole(B, N),
        first=whole(B, K + 1),
        mix=reals(B, K, C),
        distance_m=reals(B, K),
        sight=flags(B, K),
        shadow=reals(B, K),
        slow=reals(B, K),
        up_bps=reals(B, K, H),
        down_bps=reals(B, K),
        model=reals(B, D, C),
        price=whole(B),
        accuracy=reals(B),
        own_accuracy=reals(B, K),
        gain=reals(B),
        own_gain=reals(B, K),
        joined=flags(B, K),
        counted=flags(B, K),
        seconds=reals(B),
        joules=reals(B, K + 1),
        bits=reals(B, K),
        payments=reals(B, K),
        rewards=reals(B, K + 1),
        local=reals(D, C),
        update=reals(D, C),
        slope=reals(D, C),
        chances=reals(C),
        right=reals(2, C),
    )
