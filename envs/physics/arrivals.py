"""When a user asks: Poisson, bursty (a two-state modulated Poisson process) or a recorded trace."""

from __future__ import annotations

from .bitexact import exp
from .jit import formula

SATURATED, POISSON, BURSTY, TRACE = 0, 1, 2, 3


@formula
def probability_within(rate_per_s: float, interval_s: float) -> float:
    """Probability that a Poisson process has at least one event in an interval."""
    return 1.0 - exp(-rate_per_s * interval_s)


@formula
def bursty_rate(mean_rate: float, ratio: float, busy: bool) -> float:
    """Rate in either state of a symmetric two-state process with a given mean; busy is `ratio` times calm."""
    calm = 2.0 * mean_rate / (1.0 + ratio)
    return ratio * calm if busy else calm
