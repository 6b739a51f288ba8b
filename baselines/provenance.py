"""Where a result comes from: versions, commit, tables, scenario, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from edge_experts.envs import Scenario
from edge_experts.envs.tables import ExpertTable, QualityTable

PACKAGES = ("edge-experts", "numpy", "numba", "gymnasium", "pettingzoo", "ray", "torch")


def provenance(scenario: Scenario) -> dict[str, Any]:
    """What must be known to obtain a result again."""
    return {
        **what_is_played(scenario),
        **where_from(),
        "machine": {"system": platform.system(), "machine": platform.machine(), "cpus": os.cpu_count()},
    }


def what_is_played(scenario: Scenario) -> dict[str, Any]:
    """A scenario, its hash, and the checksums of its tables."""
    experts = ExpertTable.load(scenario.tables.experts)
    tables: list[QualityTable | ExpertTable] = [
        *(QualityTable.load(name, experts) for name in scenario.quality_tables),
        experts,
    ]
    return {
        "scenario": scenario.to_dict(),
        "scenario_hash": scenario.hash(),
        "tables": {table.path.name: table.sha256 for table in tables},
    }


def where_from() -> dict[str, Any]:
    """Versions and commit of the software."""
    versions = {"python": platform.python_version(), **{name: version_of(name) for name in PACKAGES}}
    return {"versions": versions, "commit": _commit()}


def version_of(name: str) -> str | None:
    """Of an installed package; `None` if it is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The git commit this package runs from, marked if more than results has changed; `None` outside a checkout."""
    folder = Path(__file__).parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--", ":/", ":(top,exclude)results"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")
