"""Where devices go: random waypoints or a highway."""

from __future__ import annotations

import math

from .jit import formula

STATIC, WAYPOINT, HIGHWAY = 0, 1, 2


@formula
def walk(x: float, y: float, target_x: float, target_y: float, step_m: float) -> tuple[float, float, bool]:
    """One slot of straight walking towards a target: new x, new y, whether it was reached."""
    dx, dy = target_x - x, target_y - y
    left = math.sqrt(dx * dx + dy * dy)
    if left <= step_m:
        return target_x, target_y, True
    return x + dx / left * step_m, y + dy / left * step_m, False


@formula
def drive(x: float, heading: float, step_m: float, length_m: float) -> float:
    """One slot along a road of a given length; who leaves at one end enters at the other."""
    return (x + heading * step_m) % length_m
