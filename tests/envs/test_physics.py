"""Closed forms: what the pure functions must equal, whatever the kernel does with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from edge_experts.envs.physics import arrivals, bitexact, economics, mobility, quality, queues, radio, rng


def in_units_of_the_last_place(mine: list[float], exact: list[float]) -> float:
    return max(abs(a - b) / math.ulp(b) for a, b in zip(mine, exact, strict=True))


def test_elementary_functions_are_those_of_the_c_library() -> None:
    draws = np.random.default_rng(0)
    positive = [*(10.0 ** draws.uniform(-300, 300, 4000)), *draws.uniform(0.5, 2.0, 4000), 1.0, 2.0, 0.5]
    assert in_units_of_the_last_place([bitexact.log(x) for x in positive], [math.log(x) for x in positive]) <= 1
    assert in_units_of_the_last_place([bitexact.log10(x) for x in positive], [math.log10(x) for x in positive]) <= 2
    assert in_units_of_the_last_place([bitexact.log2(x) for x in positive], [math.log2(x) for x in positive]) <= 2
    powers = [*draws.uniform(-700, 700, 4000), *draws.uniform(-1, 1, 4000), 0.0, 1.0]
    assert in_units_of_the_last_place([bitexact.exp(x) for x in powers], [math.exp(x) for x in powers]) <= 1
    assert bitexact.exp(-1e9) == pytest.approx(0.0, abs=1e-300) and bitexact.exp(1e9) > 1e300
    assert bitexact.exp10(2.0) == pytest.approx(100.0, rel=1e-14)
    turns = [*draws.uniform(0, 1, 8000), *(np.arange(16) / 16), 1 - 2**-33]
    pairs = [bitexact.sin_cos_of_turn(x) for x in turns]
    assert max(abs(s - math.sin(2 * math.pi * x)) for (s, _), x in zip(pairs, turns, strict=True)) < 1e-15
    assert max(abs(c - math.cos(2 * math.pi * x)) for (_, c), x in zip(pairs, turns, strict=True)) < 1e-15


def test_shannon_rate() -> None:
    assert radio.shannon_bps(1e6, 1.0, 3e-6, 1e-12) == pytest.approx(1e6 * math.log2(1 + 3))
    halves = 2 * radio.shannon_bps(5e5, 0.5, 1e-9, 1e-15)
    assert halves == pytest.approx(
        radio.shannon_bps(1e6, 1.0, 1e-9, 1e-15)
    )  # sharing band and power alike loses nothing


@pytest.mark.parametrize("speed", [0.5, 1.4, 30.0])
def test_jakes_correlation_is_bessel_j0(speed: float) -> None:
    for interval in (1e-4, 1e-2, 1.0, 5.0):
        doppler = speed * 3.5e9 / 299_792_458.0
        assert radio.jakes_correlation(speed, 3.5e9, interval) == pytest.approx(
            special.j0(2 * math.pi * doppler * interval), abs=1e-9
        )
    assert radio.jakes_correlation(0.0, 3.5e9, 5.0) == 1.0


def test_autoregression_keeps_variance_and_correlation() -> None:
    noise = np.random.default_rng(0).normal(size=200_000)
    x = np.zeros_like(noise)
    for i in range(1, len(x)):
        x[i] = radio.autoregress(x[i - 1], noise[i], 0.8)
    assert x.var() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(x[1:], x[:-1])[0, 1] == pytest.approx(0.8, abs=0.01)


def test_path_loss_follows_the_standard() -> None:
    # TR 38.901 UMi street canyon at 3.5 GHz, worked by hand
    assert radio.path_loss_db(100.0, 3.5e9, True) == pytest.approx(
        32.4 + 21 * math.log10(math.hypot(100, 8.5)) + 20 * math.log10(3.5)
    )
    nlos = 22.4 + 35.3 * math.log10(math.hypot(100, 8.5)) + 21.3 * math.log10(3.5)
    assert radio.path_loss_db(100.0, 3.5e9, False) == pytest.approx(nlos)
    breakpoint_m = 4 * 9 * 0.5 * 3.5e9 / radio.LIGHT_MPS
    below, above = (radio.path_loss_db(breakpoint_m + d, 3.5e9, True) for d in (-1e-6, 1e-6))
    assert below == pytest.approx(above, abs=1e-4)  # the two branches meet
    assert radio.los_probability(18.0) == 1.0
    assert radio.los_probability(100.0) == pytest.approx(0.18 + math.exp(-100 / 36) * 0.82)


def test_bandwidth_weights() -> None:
    assert [radio.share_weight(policy, 7.0, 3.0) for policy in (radio.EQUAL, radio.BY_LOAD, radio.BY_CHANNEL)] == [
        1.0,
        7.0,
        3.0,
    ]


def test_lindley_recursion_gives_the_md1_wait() -> None:
    """Poisson arrivals of unit work at load 0.7 wait rho / (2 (1 - rho)) service times (Pollaczek-Khinchine)."""
    rate = 0.7
    gaps = np.random.default_rng(1).exponential(1 / rate, size=400_000)
    backlog, waits = 0.0, np.empty(len(gaps))
    for i, gap in enumerate(gaps):
        backlog = queues.drain(backlog, 1.0, gap)
        waits[i] = backlog
        backlog += 1.0
    assert waits.mean() == pytest.approx(rate / (2 * (1 - rate)), rel=0.03)
    assert queues.busy_s(3.0, 2.0, 5.0) == 1.5 and queues.busy_s(30.0, 2.0, 5.0) == 5.0


def test_arrival_probabilities() -> None:
    assert arrivals.probability_within(0.3, 2.0) == pytest.approx(1 - math.exp(-0.6))
    calm, busy = (arrivals.bursty_rate(0.2, 4.0, state) for state in (False, True))
    assert busy == pytest.approx(4 * calm) and (calm + busy) / 2 == pytest.approx(0.2)


def test_market_formulas() -> None:
    assert economics.compute_power_w(100.0, 2.0) == 800.0
    assert economics.electricity(3.6e6, 0.08) == pytest.approx(80.0)  # a kilowatt-hour at 8 cents, in tenths of a cent
    assert economics.mix(2.0, 1.0, 0.25) == pytest.approx(1.75)


def test_composed_quality() -> None:
    """Figures of the answers of three experts, of which any combination answers the parts."""
    score, words = np.array([0.9, 0.3, 0.6]), np.array([100.0, 300.0, 0.0])

    def text(*experts: int) -> float:
        parts = np.array([*experts, 2, 2])
        return quality.compose_text(parts, len(experts), score[parts], words[parts], 0.98)

    assert text(0, 1) == pytest.approx(0.45 * 0.98) and text(0, 1, 0) == pytest.approx(0.54 * 0.98**2)
    assert text(0, 0) == pytest.approx(0.9) and text(2, 2) == 0.0

    def video(*scenes: int) -> float:
        parts = np.array([*scenes, 2])
        return quality.compose_video(parts, len(scenes), score[parts], 0.8)

    assert video(0, 0, 0) == pytest.approx(0.9) and video(0, 1, 1) == pytest.approx(0.5 * 0.8)
    assert video(0, 1, 0) == pytest.approx(0.7 * 0.8**2)

    def object3d(*parts: int) -> float:  # alignment, geometry, texture
        aspects = np.array([[0.6, 0.9, 0.3], [0.4, 0.2, 0.8]])
        return quality.compose_object3d(np.array(parts), len(parts), aspects[np.array(parts)], 0.95)

    assert object3d(0, 0) == object3d(0) == pytest.approx(0.6)
    assert object3d(0, 1) == pytest.approx((0.9 + 0.8 + 0.5) / 3 * 0.95)

    def ensemble(*experts: int, temperature: float = 0.1) -> float:
        gate = np.array([0.7, 0.5, 0.5])
        parts = np.array(experts)
        return quality.compose_ensemble(len(experts), score[parts], gate[parts], temperature)

    assert ensemble(1, 2) == pytest.approx(0.45) and ensemble(0) == pytest.approx(0.9)
    weight = 1 / (1 + np.exp(-2))
    assert ensemble(0, 1) == pytest.approx(weight * 0.9 + (1 - weight) * 0.3)
    assert ensemble(0, 1) == pytest.approx(ensemble(1, 0))
    assert ensemble(0, 1, temperature=1e6) == pytest.approx(0.6)
    assert quality.gate_reading(0.5, 0.9, 0.0, 0.0) == 0.5 and quality.gate_reading(
        0.5, 0.9, 1.0, 0.0
    ) == pytest.approx(0.9)
    assert quality.gate_reading(0.5, 0.9, 1.0, 9.0) == 1.0
    assert quality.coverage(2.0, 120.0) == pytest.approx(2 / 3) and quality.coverage(5.0, 120.0) == 1.0


def test_the_radio_of_a_provider_draws_in_proportion_to_what_it_sends() -> None:
    assert economics.radio_power_w(1.0, 2.0) == 0.0
    assert economics.radio_power_w(2.0, 2.0) == pytest.approx(2.6 * 2.0) == -2 * economics.radio_power_w(0.5, 2.0)


def test_a_highway_has_lanes_and_a_roadside() -> None:
    lanes = {mobility.lane_m(draw, 300.0) for draw in (0.1, 0.3, 0.6, 0.9)}
    assert lanes == {144.75, 148.25, 151.75, 155.25}
    assert [mobility.roadside_m(p, 2, 300.0) for p in (0, 1)] == [(75.0, 165.0), (225.0, 135.0)]


def test_walking_and_driving() -> None:
    assert mobility.walk(0.0, 0.0, 3.0, 4.0, 1.0) == pytest.approx((0.6, 0.8, False))
    assert mobility.walk(0.0, 0.0, 3.0, 4.0, 9.0) == (3.0, 4.0, True)
    assert mobility.drive(299.0, 1.0, 2.0, 300.0) == pytest.approx(1.0) and mobility.drive(
        1.0, -1.0, 2.0, 300.0
    ) == pytest.approx(299.0)


# counter, key and result of the known-answer tests published with Random123
KNOWN = [
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_known_answers(counter: tuple[int, ...], key: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert tuple(int(word) for word in rng.philox4x32(*map(np.uint64, counter), *map(np.uint64, key))) == expected


def test_draws_are_uniform_normal_and_independent() -> None:
    key = rng.stream(7, 3, 1, 2)
    uniforms = np.array([rng.uniforms(key, rng.REQUEST, i) for i in range(20_000)])
    normals = np.array([rng.normals(key, rng.FADING, i) for i in range(20_000)])
    assert stats.kstest(uniforms.ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(normals.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(normals.T) - np.eye(4)).max() < 0.03
    others = [rng.stream(8, 3, 1, 2), rng.stream(7, 4, 1, 2), rng.stream(7, 3, 2, 2), rng.stream(7, 3, 1, 3)]
    assert len({rng.uniforms(k, rng.REQUEST, 0) for k in [key, *others]}) == 5
    assert rng.uniforms(key, rng.REQUEST, 0) != rng.uniforms(key, rng.GATE, 0)
