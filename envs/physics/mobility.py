"""Where users go: random waypoints or a highway; and where they begin."""

from __future__ import annotations

import math

from .jit import formula

STATIC, WAYPOINT, HIGHWAY = 0, 1, 2
LANE_M = 3.5
ROADSIDE_M = 15.0  # from the middle of the road to a provider


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


@formula
def lane_m(draw: float, area_m: float) -> float:
    """Across position of a vehicle: one of four lanes about the middle of the area, two for each direction."""
    return 0.5 * area_m + (math.floor(draw * 4.0) - 1.5) * LANE_M


@formula
def roadside_m(p: int, count: int, area_m: float) -> tuple[float, float]:
    """Position of a provider at a highway: at equal distances, on alternating sides."""
    side = ROADSIDE_M if p % 2 == 0 else -ROADSIDE_M
    return (p + 0.5) * area_m / count, 0.5 * area_m + side
