"""Devices move, and their links change with them."""

from __future__ import annotations

import math
from typing import Any

from . import mobility, radio, rng
from .jit import jit
from .state import Worlds


@jit
def move_devices(key: rng.Key, w: Worlds, c: Any) -> None:
    """Devices walk or drive."""
    if c.mobility == mobility.STATIC:
        return
    for u in range(c.U):
        device = w.devices[u]
        if c.mobility == mobility.HIGHWAY:
            device.x_m = mobility.drive(device.x_m, device.heading, c.step_m, c.area_m)
            continue
        x_m, y_m, reached = mobility.walk(device.x_m, device.y_m, device.target_x_m, device.target_y_m, c.step_m)
        device.x_m, device.y_m = x_m, y_m
        if reached:
            x, y, _, _ = rng.uniforms(key, rng.WAYPOINT, u)
            device.target_x_m, device.target_y_m = x * c.area_m, y * c.area_m


@jit
def fade_links(key: rng.Key, w: Worlds, c: Any) -> None:
    """Shadowing follows the way walked, fading the Doppler shift; without motion every link keeps its gain."""
    if c.mobility == mobility.STATIC:
        return
    kept_los, kept_nlos = radio.shadow_correlation(c.step_m, True), radio.shadow_correlation(c.step_m, False)
    for u in range(c.U):
        for p in range(c.P):
            link = w.links[u, p]
            re, im, shade, _ = rng.normals(key, rng.FADING, u * c.P + p)
            link.shadow = radio.autoregress(link.shadow, shade, kept_los if link.line_of_sight else kept_nlos)
            link.fading_re = radio.autoregress(link.fading_re, re, c.fading_correlation)
            link.fading_im = radio.autoregress(link.fading_im, im, c.fading_correlation)
            set_gain(u, p, w, c)


@jit
def draw_links(u: int, key: rng.Key, w: Worlds, c: Any) -> None:
    """Fresh links of a device to all providers: line of sight, shadowing, fading."""
    for p in range(c.P):
        link = w.links[u, p]
        chance = radio.los_probability(distance_m(u, p, w))
        link.line_of_sight = rng.uniforms(key, rng.LINK, u * c.P + p)[0] < chance
        link.fading_re, link.fading_im, link.shadow, _ = rng.normals(key, rng.FADING, u * c.P + p)
        set_gain(u, p, w, c)


@jit
def set_gain(u: int, p: int, w: Worlds, c: Any) -> None:
    """Power gain of a link from path loss, shadowing and fading."""
    link = w.links[u, p]
    loss_db = radio.path_loss_db(distance_m(u, p, w), c.carrier_hz, link.line_of_sight)
    shadow_db = link.shadow * (radio.SHADOW_LOS_DB if link.line_of_sight else radio.SHADOW_NLOS_DB)
    rayleigh = 0.5 * (link.fading_re * link.fading_re + link.fading_im * link.fading_im)
    link.gain = rayleigh * 10.0 ** (-0.1 * (loss_db + shadow_db))


@jit
def distance_m(u: int, p: int, w: Worlds) -> float:
    """Horizontal distance between a device and a provider."""
    device, provider = w.devices[u], w.providers[p]
    dx, dy = device.x_m - provider.x_m, device.y_m - provider.y_m
    return math.sqrt(dx * dx + dy * dy)
