"""Held-out twins: shipped scenarios under a shift that no training run has seen."""

from __future__ import annotations

from functools import cache
from typing import Any

from .io.strict_yaml import read_config

NAMESPACE = "edge_experts"
MARKETS = "markets"  # in `heldout.yaml`: all scenarios but the case study
CASE_STUDY = "netmoe"


@cache
def shifts() -> dict[str, dict[str, Any]]:
    """What every shift changes, as `configs/heldout.yaml` says it."""
    return dict(read_config("heldout.yaml"))


def changes_of(name: str, shift: str) -> dict[str, Any]:
    """The dotted fields that a shift changes in a scenario of a bare name (`text`); empty if it does not apply."""
    rules = shifts()[shift]
    if rules.get(name, {}) is None:
        return {}
    changes = dict(rules.get("all", {}))
    if name != CASE_STUDY:
        changes |= rules.get(MARKETS, {})
    return changes | rules.get(name, {})


def twin_ids(base_ids: list[str]) -> dict[str, tuple[str, str]]:
    """The ids of all twins of some scenarios, and for each its base id and its shift."""
    found = {}
    for base in base_ids:
        name, _, version = base.rpartition("-")
        for shift in shifts():
            if changes_of(name.removeprefix(f"{NAMESPACE}/"), shift):
                found[f"{name}-heldout-{shift}-{version}"] = (base, shift)
    return found
