"""The air interface: path loss, shadowing, correlated Rayleigh fading, Shannon rate, shares of a band."""

from __future__ import annotations

import math

import numpy as np

from .bitexact import exp, exp10, log2, log10
from .jit import formula

LIGHT_MPS = 299_792_458.0
PROVIDER_HEIGHT_M = 10.0  # TR 38.901 table 7.2-1, UMi street canyon
USER_HEIGHT_M = 1.5
SHADOW_LOS_DB, SHADOW_NLOS_DB = 4.0, 7.82  # TR 38.901 table 7.4.1-1
FAR = 1e6  # argument of J0
SHADOW_LOS_M, SHADOW_NLOS_M = 10.0, 13.0  # decorrelation distances, TR 38.901 table 7.5-6
EQUAL, BY_LOAD, BY_CHANNEL = 0, 1, 2
UMI = 0  # the path loss above; the channel models from outside have another code


@formula
def los_probability(distance_m: float) -> float:
    """Probability of line of sight at a horizontal distance (TR 38.901 table 7.4.2-1, UMi)."""
    if distance_m <= 18.0:
        return 1.0
    return 18.0 / distance_m + exp(-distance_m / 36.0) * (1.0 - 18.0 / distance_m)


@formula
def path_loss_db(distance_m: float, carrier_hz: float, line_of_sight: bool) -> float:
    """Path loss in dB at a horizontal distance (TR 38.901 table 7.4.1-1, UMi street canyon)."""
    height = PROVIDER_HEIGHT_M - USER_HEIGHT_M
    d3 = math.sqrt(distance_m * distance_m + height * height)
    ghz = log10(carrier_hz / 1e9)
    breakpoint_m = 4.0 * (PROVIDER_HEIGHT_M - 1.0) * (USER_HEIGHT_M - 1.0) * carrier_hz / LIGHT_MPS
    if distance_m <= breakpoint_m:
        los = 32.4 + 21.0 * log10(d3) + 20.0 * ghz
    else:
        los = 32.4 + 40.0 * log10(d3) + 20.0 * ghz - 9.5 * log10(breakpoint_m**2 + height**2)
    if line_of_sight:
        return los
    return max(los, 22.4 + 35.3 * log10(d3) + 21.3 * ghz - 0.3 * (USER_HEIGHT_M - 1.5))


@formula
def shadow_correlation(moved_m: float, line_of_sight: bool) -> float:
    """Correlation of the shadowing before and after a move (TR 38.901 section 7.4.4)."""
    return exp(-moved_m / (SHADOW_LOS_M if line_of_sight else SHADOW_NLOS_M))


@formula
def autoregress(previous: float, noise: float, correlation: float) -> float:
    """One step of a unit-variance AR(1) process."""
    return correlation * previous + math.sqrt(max(0.0, 1.0 - correlation * correlation)) * noise


@formula
def gain_db(loss_db: float, shadow: float, line_of_sight: bool, re: float, im: float) -> float:
    """Power gain of a link in dB: path loss, shadowing and Rayleigh fading, both from unit-variance variates."""
    shadow_db = shadow * (SHADOW_LOS_DB if line_of_sight else SHADOW_NLOS_DB)
    return 10.0 * log10(0.5 * (re * re + im * im)) - loss_db - shadow_db


@formula
def linear(db: float) -> float:
    """A ratio of powers from decibels."""
    return exp10(0.1 * db)


@formula
def shannon_bps(bandwidth_hz: float, power_w: float, gain: float, noise_w_hz: float) -> float:
    """Capacity of a link in bit/s: `b log2(1 + p g / (N0 b))`."""
    return bandwidth_hz * log2(1.0 + power_w * gain / (noise_w_hz * bandwidth_hz))


@formula
def share_weight(policy: int, bits: float, efficiency: float) -> float:
    """Weight of a user in its provider's band: equal, by bits to send, or by spectral efficiency (bit/s/Hz)."""
    if policy == BY_LOAD:
        return bits
    if policy == BY_CHANNEL:
        return efficiency
    return 1.0


def jakes_correlation(speed_mps: float, carrier_hz: float, interval_s: float) -> float:
    """Correlation of Rayleigh fading after an interval: `J0(2 pi f_d tau)` with the Doppler shift `f_d = v f / c`.

    J0 is evaluated from its integral representation; the rule is exact to rounding for a periodic integrand. Far out,
    where it is below 0.001, its asymptotic form takes over: `sqrt(2 / (pi x)) cos(x - pi / 4)`.
    """
    argument = 2.0 * math.pi * speed_mps * carrier_hz / LIGHT_MPS * interval_s
    if argument > FAR:
        return math.sqrt(2.0 / (math.pi * argument)) * math.cos(argument - math.pi / 4.0)
    nodes = 64 + 2 * math.ceil(argument)
    angles = (np.arange(nodes) + 0.5) * math.pi / nodes
    return float(np.cos(argument * np.sin(angles)).mean())
