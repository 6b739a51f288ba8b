"""Where an entity network finds what it reads: by the names of fields, never by their places in the observation.

What depends on a market's size stands here, as plain data; the network's weights depend on none of it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from edge_experts.envs import World
from edge_experts.envs.api.spaces import role_spaces
from edge_experts.envs.sim.spec import observation_size, slices

BANDWIDTHS = 3  # policies of sharing it, which are no levels of anything
NOWHERE = -1  # a column that a market does not have reads as zero
MODALITIES = ("text", "video", "object3d")

# what is read of a place for a part of a request, and of what hosts it
OF_PLACE = ("last_expert", "gate", "compute", "quote", "backlog", "available")
OF_HOST = ("link", "serving", "reachable", "host_views", "host_power")
OF_CATEGORIES = ("category", "later", "taste")  # read through the experts' means in these categories
OF_USER = (
    *("open", "value", "subtasks_left", "deadline_left", "context", "battery", "local_budget", "local_backlog"),
    *("last_latency", "turn", "strict", "memory", "handover"),
)
OF_CATALOGUE = ("backlog", "loaded", "loading", "quality", "margin")
OF_PROVIDER = ("until_decision", "speed", "power", "served", "late", "views", "radio")


def entity_layout(role: str, world: World) -> dict[str, Any]:
    """What an entity network reads of a role's observation and mask, side by side in one vector.

    Returns:
        `gather`: for each token the columns of its features, (N, F); `mixes`: of features that are a sum over
        categories the columns and the weights, (G, N); `constants`: what never changes of each token, (N, F');
        `context`: the columns of the agent's own features; `sums`: context features that are sums over columns, (G, S);
        `spreads`: columns whose mean, least and greatest are context features; `parts`: of the action, in order.
    """
    return _of_user(world) if role == "user" else _of_provider(world)


def _of_user(world: World) -> dict[str, Any]:
    sizes, params = world.sizes, world.params
    field, hosts, at = slices("user", sizes), world.hosts, partial(column, slices("user", sizes))
    mask = observation_size("user", sizes)
    places = range(sizes.X)

    gather = [
        [
            *(at(name, x) for name in OF_PLACE),
            *(at(name, int(hosts[x])) if x < sizes.E else NOWHERE for name in OF_HOST),
            at("in_memory", x - sizes.E) if x >= sizes.E else NOWHERE,
            mask + x,  # whether it is legal
        ]
        for x in places
    ]
    priors = np.asarray(params.priors.quality, float)
    mixes = [{"columns": span(field[name]), "weights": priors.tolist()} for name in OF_CATEGORIES]
    machines = params.machines
    constants = np.stack(
        [
            np.arange(sizes.X) >= sizes.E,
            machines.is_cloud,
            np.log1p(machines.seconds_per_unit * 100.0),
            np.log1p(machines.price),
            np.log1p(machines.memory_gb),
            machines.hallucination,
            *(params.serves[[t.modality == name for t in world.tables]].any(axis=0) for name in MODALITIES),
        ],
        axis=-1,
    )
    spaces = role_spaces("user", sizes)
    levels = {"power": params.device_power_w}
    return {
        "gather": gather,
        "mixes": mixes,
        "constants": constants.astype(float).tolist(),
        "context": [at(name, 0) for name in OF_USER],
        "sums": [{"columns": span(field["category"]), "weights": by_modality(world).tolist()}],
        "spreads": [],
        "parts": [
            {"name": "expert", "kind": "tokens", "rest_first": False, "turn": j}
            if name.startswith("expert")
            else _levels(name, levels)
            for j, name in enumerate(spaces.parts)
        ],
    }


def _of_provider(world: World) -> dict[str, Any]:
    sizes, params = world.sizes, world.params
    field, at = slices("provider", sizes), partial(column, slices("provider", sizes))
    mask = observation_size("provider", sizes)
    spaces = role_spaces("provider", sizes)

    starts = dict(zip(spaces.parts, np.concatenate([[0], np.cumsum(spaces.nvec)]).tolist(), strict=False))
    gather = [
        [
            *(at(name, i) for name in OF_CATALOGUE),
            mask + starts["load"] + 1 + i if "load" in starts and i < sizes.loads else NOWHERE,
        ]
        for i in range(sizes.C)
    ]
    levels = {
        "price": params.price_levels,
        "speed": params.speed_levels,
        "views": params.view_levels,
        "power": params.power_factors,
    }
    modality = by_modality(world).tolist()
    bandwidth = [field["bandwidth"].start + i for i in range(BANDWIDTHS)]
    return {
        "gather": gather,
        "mixes": [],
        "constants": [[] for _ in range(sizes.C)],
        "context": [*(at(name, 0) for name in OF_PROVIDER), *bandwidth, at("prices", 0)],
        "sums": [{"columns": span(field[name]), "weights": modality} for name in ("demand", "tastes")],
        "spreads": [span(slice(field["prices"].start + (sizes.P > 1), field["prices"].stop))],
        "parts": [
            {"name": "load", "kind": "tokens", "rest_first": True, "turn": 0}
            if name == "load"
            else {"name": "bandwidth", "kind": "plain", "choices": BANDWIDTHS}
            if name == "bandwidth"
            else _levels(name, levels)
            for name in spaces.parts
        ],
    }


def column(field: dict[str, slice], name: str, i: int) -> int:
    """Where entry i of a field stands; `NOWHERE`, if the market does not have it."""
    found = field[name]
    return found.start + i if i < found.stop - found.start else NOWHERE


def span(columns: slice) -> list[int]:
    """First column and the one after the last."""
    return [columns.start, columns.stop]


def by_modality(world: World) -> Any:
    """Which modality a category is of: (G, modalities and one for all others)."""
    params = world.params
    out = np.zeros((len(params.priors), len(MODALITIES) + 1))
    for k, table in enumerate(world.tables):
        mine = np.unique(params.category[params.kind == k])
        out[mine, MODALITIES.index(table.modality) if table.modality in MODALITIES else -1] = 1.0
    return out


def _levels(name: str, levels: dict[str, Any]) -> dict[str, Any]:
    values = np.asarray(levels[name], float)
    return {"name": name, "kind": "levels", "values": (values / values.max()).tolist()}
