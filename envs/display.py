"""How scenarios, worlds and what agents see show themselves: one line in a terminal, a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

MEANING = {
    "users": "what users see, (worlds, users, entries)",
    "user_masks": "their legal choices, parts of the action side by side",
    "providers": "what providers see, (worlds, providers, entries)",
    "provider_masks": "their legal choices",
}  # of the fields of `Views`


def html_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table for a notebook.

    Args:
        title: Stands above it.
        head: Names of the columns; none: no such row.
        rows: Cells.
    """
    top = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>" if head else ""
    cells = ("".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table><caption><b>{escape(title)}</b></caption>{top}{body}</table>"


def scenario_line(scenario: Any) -> str:
    """Who is in a scenario, and how long its episodes are."""
    slots, experts = scenario.episode, len(scenario.experts)
    users, providers = scenario.devices.count, scenario.providers.count
    parts = f"{users} users, {providers} providers, {experts} experts, {slots.slots} slots of {slots.slot_s:g} s"
    return f"Scenario({scenario.id!r}: {parts})"


def scenario_html(scenario: Any) -> str:
    """The sections of a scenario that it takes more than a default from, and its experts."""
    facts = [
        ("users", f"{scenario.devices.count}{'' if scenario.devices.act else ', scripted'}"),
        ("providers", f"{scenario.providers.count}{'' if scenario.providers.act else ', scripted'}"),
        ("experts", ", ".join(scenario.experts)),
        ("recorded quality", ", ".join(scenario.quality_tables)),
        ("requests", f"{scenario.arrivals.process}, worth {scenario.requests.value_low:g} to "
         f"{scenario.requests.value_high:g} credits"),
        ("movement", scenario.mobility.model),
        ("an episode", f"{scenario.episode.slots} slots of {scenario.episode.slot_s:g} s"),
        ("everything", "print(scenario.to_yaml())"),
    ]  # fmt: skip
    title = f"{scenario.id}: {scenario.title}" if scenario.title else scenario.id
    return html_table(title, (), facts)


def world_line(world: Any) -> str:
    """How many worlds of what, and where they are in their episodes."""
    return f"World({world.scenario.id!r}, n_worlds={world.n_worlds}, seed={world.seed}: {_when(world)})"


def world_html(world: Any) -> str:
    """The experts of the first world as they stand now: who hosts them, queues and prices."""
    state, machines = world.state, world.params.machines
    price = world.params.price_levels[np.asarray(state.providers.price[0])][world.hosts]
    rows = [
        (
            name,
            f"provider_{world.hosts[e]}",
            "yes" if state.experts.loaded[0, e] else "no",
            f"{state.experts.backlog[0, e] * machines.seconds_per_unit[e]:.2f}",
            f"{machines.price[e] * price[e]:.4g}",
        )
        for e, name in enumerate(world.scenario.experts)
    ]
    title = f"{world.scenario.id}: {_when(world)}; world 0 of {world.n_worlds}"
    return html_table(title, ("expert", "host", "in memory", "queue, s", "price, credits a unit"), rows)


def views_line(views: Any) -> str:
    """Shapes of what all agents see."""
    return f"Views({', '.join(f'{name} {value.shape}' for name, value in views._asdict().items())})"


def views_html(views: Any) -> str:
    """Shape, type and meaning of every array."""
    rows = [(name, value.shape, value.dtype, MEANING[name]) for name, value in views._asdict().items()]
    return html_table("Views", ("array", "shape", "type", "what it is"), rows)


def _when(world: Any) -> str:
    slots = world.state.clock.slot
    first, last = int(slots.min()), int(slots.max())
    return f"slot {first if first == last else f'{first} to {last}'} of {world.scenario.episode.slots}"
