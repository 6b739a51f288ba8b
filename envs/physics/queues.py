"""A single-server queue measured in work units, seen once a slot."""

from __future__ import annotations

from .jit import formula


@formula
def drain(backlog: float, speed: float, interval_s: float) -> float:
    """Lindley's recursion between arrivals: the backlog left after an interval of service, in work units."""
    return max(0.0, backlog - speed * interval_s)


@formula
def busy_s(backlog: float, speed: float, interval_s: float) -> float:
    """Seconds of an interval that the server works."""
    return min(interval_s, backlog / speed)
