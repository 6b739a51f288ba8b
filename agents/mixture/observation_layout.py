"""What the columns of an observation are about, as plain data for networks and diagnostics."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_experts.envs import World
from edge_experts.envs.sim.spec import slices

from ..entities.layout import entity_layout


def layout_of(role: str, world: World) -> dict[str, Any]:
    """Where a role's observation tells of requests, and the names of what it tells.

    Returns:
        `role`; `entities`: see `entity_layout`; `modalities`: columns (of the `observation` vector) in which a positive
        entry says that a modality is there, one list for each; `categories`: first and last column of a user's
        category, `None` for providers; `names` of modalities, categories and experts (places of a part, hosted ones
        first).
    """
    tables, params = world.tables, world.params
    field = slices(role, world.sizes)["category" if role == "user" else "demand"]
    of_kind = [np.unique(params.category[params.kind == kind]) for kind in range(len(tables))]
    modalities: dict[str, list[int]] = {}
    for table, categories in zip(tables, of_kind, strict=True):
        modalities.setdefault(table.modality, []).extend((field.start + categories).tolist())
    return {
        "role": role,
        "entities": entity_layout(role, world),
        "modalities": list(modalities.values()),
        "categories": [field.start, field.stop] if role == "user" else None,
        "names": {
            "modality": list(modalities),
            "category": [
                name if len(tables) == 1 else f"{table.modality}/{name}"
                for table in tables
                for name in table.categories
            ],
            "expert": list(world.scenario.places),
        },
    }
