"""Users move, and their links change with them.

The loops over links run over plain arrays and call nothing but arithmetic, so that they are compiled to vector
instructions.
"""

from __future__ import annotations

import math
from typing import Any

from ...physics import mobility, radio, rng
from ...physics.jit import jit
from ..plugins import CUSTOM
from ..state import Params, Worlds
from .rules import is_reachable


@jit
def move_users(key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """Users walk or drive."""
    if c.mobility == mobility.STATIC:
        return
    for u in range(c.U):
        user = w.users[u]
        if c.mobility == mobility.HIGHWAY:
            user.x_m = mobility.drive(user.x_m, user.heading, c.step_m, c.area_m)
            continue
        if c.mobility == CUSTOM:
            move_as_told(u, key, w, c, f)
            continue
        x_m, y_m, reached = mobility.walk(user.x_m, user.y_m, user.target_x_m, user.target_y_m, c.step_m)
        user.x_m, user.y_m = x_m, y_m
        if reached:
            x, y, _, _ = rng.uniforms(key, rng.WAYPOINT, u)
            user.target_x_m, user.target_y_m = x * c.area_m, y * c.area_m


@jit
def move_as_told(u: int, key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """One slot of a mobility model from outside."""
    user = w.users[u]
    a, b, _, _ = rng.uniforms(key, rng.WAYPOINT, u)
    user.x_m, user.y_m, user.target_x_m, user.target_y_m, user.heading = f.models.mobility(
        user.x_m, user.y_m, user.target_x_m, user.target_y_m, user.heading, c.step_m, c.area_m, a, b
    )


@jit
def fade_links(key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """Shadowing follows the way walked, fading the Doppler shift; without motion every link keeps its gain."""
    if c.mobility == mobility.STATIC:
        return
    line_of_sight, shadow = w.links.line_of_sight.reshape(-1), w.links.shadow.reshape(-1)
    fading_re, fading_im = w.links.fading_re.reshape(-1), w.links.fading_im.reshape(-1)
    kept_los, kept_nlos = radio.shadow_correlation(c.step_m, True), radio.shadow_correlation(c.step_m, False)
    for i in range(len(shadow)):
        re, im, shade, _ = rng.normals(key, rng.FADING, i)
        shadow[i] = radio.autoregress(shadow[i], shade, kept_los if line_of_sight[i] else kept_nlos)
        fading_re[i] = radio.autoregress(fading_re[i], re, c.fading_correlation)
        fading_im[i] = radio.autoregress(fading_im[i], im, c.fading_correlation)
    set_gains(w, c, f)
    hand_over(w, c)


@jit
def draw_links(key: rng.Key, w: Worlds, c: Any, f: Params) -> None:
    """Fresh links of all users to all providers: line of sight, shadowing, fading; the strongest serves."""
    measure_distances(w, c)
    line_of_sight, distance_m = w.links.line_of_sight.reshape(-1), w.links.distance_m.reshape(-1)
    shadow, fading_re, fading_im = (
        w.links.shadow.reshape(-1),
        w.links.fading_re.reshape(-1),
        w.links.fading_im.reshape(-1),
    )
    for i in range(len(shadow)):
        line_of_sight[i] = rng.uniforms(key, rng.LINK, i)[0] < radio.los_probability(distance_m[i])
        fading_re[i], fading_im[i], shadow[i], _ = rng.normals(key, rng.FADING, i)
    set_gains(w, c, f)
    for u in range(c.U):
        w.users[u].serving = strongest(u, w, c)


@jit
def hand_over(w: Worlds, c: Any) -> None:
    """A provider that is stronger by the margin, or the strongest one where the link is lost, takes over a user."""
    if not c.serving:
        return
    for u in range(c.U):
        user, best = w.users[u], strongest(u, w, c)
        gained_db = w.links.gain_db[u, best] - w.links.gain_db[u, user.serving]
        user.handover = best != user.serving and (
            gained_db >= c.handover_margin_db or not is_reachable(u, user.serving, w, c)
        )
        if user.handover:
            user.serving = best


@jit
def strongest(u: int, w: Worlds, c: Any) -> int:
    """The provider of the strongest link to a user."""
    best = 0
    for p in range(1, c.P):
        if w.links.gain_db[u, p] > w.links.gain_db[u, best]:
            best = p
    return best


@jit
def set_gains(w: Worlds, c: Any, f: Params) -> None:
    """Power gain of every link from its distance, shadowing and fading."""
    measure_distances(w, c)
    line_of_sight, distance_m = w.links.line_of_sight.reshape(-1), w.links.distance_m.reshape(-1)
    shadow, gain_db = w.links.shadow.reshape(-1), w.links.gain_db.reshape(-1)
    fading_re, fading_im = w.links.fading_re.reshape(-1), w.links.fading_im.reshape(-1)
    carrier_hz = c.carrier_hz
    if c.channel == CUSTOM:
        for i in range(len(gain_db)):
            loss_db = f.models.channel(distance_m[i], carrier_hz, line_of_sight[i])
            gain_db[i] = radio.gain_db(loss_db, shadow[i], line_of_sight[i], fading_re[i], fading_im[i])
        return
    for i in range(len(gain_db)):
        loss_db = radio.path_loss_db(distance_m[i], carrier_hz, line_of_sight[i])
        gain_db[i] = radio.gain_db(loss_db, shadow[i], line_of_sight[i], fading_re[i], fading_im[i])


@jit
def measure_distances(w: Worlds, c: Any) -> None:
    """Horizontal distances between users and providers."""
    for u in range(c.U):
        user = w.users[u]
        for p in range(c.P):
            dx, dy = user.x_m - w.providers[p].x_m, user.y_m - w.providers[p].y_m
            w.links.distance_m[u, p] = math.sqrt(dx * dx + dy * dy)
