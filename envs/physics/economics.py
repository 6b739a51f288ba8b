"""What things cost, in credits (thousandths of a US dollar)."""

from __future__ import annotations

from .jit import formula

CREDITS_PER_USD = 1000.0
J_PER_KWH = 3.6e6
MICRO_SLOPE = 2.6


@formula
def compute_power_w(nominal_w: float, speed: float) -> float:
    """Power of a busy server: it grows with the cube of the clock, at a voltage in proportion to it."""
    return nominal_w * speed * speed * speed


@formula
def radio_power_w(factor: float, nominal_w: float) -> float:
    """What a radio draws more than at its nominal transmit power.

    Source: the linear model of Auer et al., "How much energy is needed to run a wireless network?", IEEE Wireless
    Communications 18(5), 2011: supply power grows by 2.6 W for each watt that a micro base station transmits.
    """
    return MICRO_SLOPE * (factor - 1.0) * nominal_w


@formula
def electricity(energy_j: float, usd_per_kwh: float) -> float:
    """Price of energy, credits."""
    return energy_j / J_PER_KWH * usd_per_kwh * CREDITS_PER_USD


@formula
def credit(own: float, total: float, others: float) -> float:
    """Reward of an agent whose own outcome counts in full, and that of all others by a share."""
    return own + others * (total - own)


@formula
def mix(private: float, mean: float, team: float) -> float:
    """Reward between private (team = 0) and shared (team = 1)."""
    return (1.0 - team) * private + team * mean
