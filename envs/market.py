"""What things cost, in credits (thousandths of a US dollar)."""

from __future__ import annotations

from .jit import formula

CREDITS_PER_USD = 1000.0
J_PER_KWH = 3.6e6


@formula
def compute_power_w(nominal_w: float, speed: float) -> float:
    """Power of a busy server: it grows with the cube of the clock, at a voltage in proportion to it."""
    return nominal_w * speed * speed * speed


@formula
def electricity(energy_j: float, usd_per_kwh: float) -> float:
    """Price of energy, credits."""
    return energy_j / J_PER_KWH * usd_per_kwh * CREDITS_PER_USD


@formula
def mix(private: float, mean: float, team: float) -> float:
    """Reward between private (team = 0) and shared (team = 1)."""
    return (1.0 - team) * private + team * mean
