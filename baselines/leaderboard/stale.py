"""Which results are of this version, and which are of others: of other dynamics, or other tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from edge_experts.envs import load_scenario

from ..provenance import version_of, what_is_played

PACKAGE = "edge-experts"


def why_stale(result: Mapping[str, Any]) -> str | None:
    """Why a result says nothing of this version, in one line; `None` if it does.

    A result is of this version if scenario and tables are the same byte by byte, and the package has the same major and
    minor version.
    """
    told = result["provenance"]
    try:
        now = _now(str(result["env"]))
    except ValueError as error:
        return f"env: {error}"
    if told["scenario_hash"] != now["scenario_hash"]:
        its, today = told["scenario_hash"], now["scenario_hash"]
        return f"provenance.scenario_hash: {its!r} is of another {result['env']}, {today!r} is today's"
    for name, digest in now["tables"].items():
        if told.get("tables", {}).get(name) != digest:
            return f"provenance.tables: {name} is another today"
    mine, its = version_of(PACKAGE), told.get("versions", {}).get(PACKAGE)
    if _minor(its) != _minor(mine):
        return f"provenance.versions: it is of version {its}, this is {mine}"
    return None


def origins(results: Iterable[Mapping[str, Any]]) -> str:
    """Versions and commits of results, and whether their code had changes that were not committed: one line."""
    found: dict[str, set[str]] = {}
    for result in results:
        told = result["provenance"]
        version = str(told.get("versions", {}).get(PACKAGE, "unknown"))
        commit, _, dirty = str(told.get("commit") or "").partition("-")
        found.setdefault(version, set()).add(commit[:7] + (" with changes" if dirty else ""))
    parts = [
        f"version {version}" + (f" ({', '.join(sorted(commits))})" if (commits := known - {""}) else "")
        for version, known in sorted(found.items())
    ]
    return "Results of " + ", ".join(parts) + "."


@cache
def _now(env: str) -> dict[str, Any]:
    return what_is_played(load_scenario(env))


def _minor(version: str | None) -> list[str]:
    return str(version).split(".")[:2]
