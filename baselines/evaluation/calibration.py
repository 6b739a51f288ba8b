"""How much there is to learn in a scenario: every heuristic between the floor and the reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_experts.envs import Scenario, World, load_scenario
from edge_experts.envs.io.typed_json import read_json
from edge_experts.envs.seeds import REPORTED

from ..heuristics.policies import POLICIES
from .evaluate import evaluate

QUICK = ("random", "shortest_queue", "myopic", "priced", "single", "coordinated", "reference")


def calibrate(env: str | Path | Scenario, episodes: int, quick: bool = False) -> list[dict[str, Any]]:
    """Results of all heuristics and of every fixed choice, each with the same floor and reference.

    Where requests are of several kinds, the fixed choices are the best single expert of each kind, together.

    Args:
        env: A shipped id, a scenario file or a scenario.
        episodes: Episodes of each policy.
        quick: Only floor, reference and the main heuristics.
    """
    scenario = load_scenario(env)
    if quick:
        return evaluate(QUICK, scenario, episodes, REPORTED, progress=True)
    if len(scenario.quality_tables) == 1:
        fixed = [f"fixed:{name}" for name in scenario.places]
    else:
        fixed = [best_of_each_kind(scenario, max(4, episodes // 8))]
    return evaluate([*POLICIES, *fixed], scenario, episodes, REPORTED, progress=True)


def read_references(path: Path | None) -> dict[str, Any]:
    """What has been stored of scenarios that can still be played, by hash; nothing, if there is no such file.

    Raises:
        ValueError: if the file does not hold references.
    """
    if path is None or not path.exists():
        return {}
    try:
        stored = read_json(path)
        return {key: entry for key, entry in stored.items() if entry["episodes"] > 0}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"--references: '{path}' does not hold references; move it away") from error


def is_stored(env: str | Path | Scenario, references: Mapping[str, Any], episodes: int, quick: bool) -> bool:
    """Whether a scenario, as it is now, has been measured on so many episodes with all policies that are wanted."""
    entry = references.get(load_scenario(env).hash())
    wanted = set(QUICK if quick else POLICIES) - {"random", "reference"}
    return entry is not None and entry["episodes"] >= episodes and wanted <= set(entry["normalised"])


def best_of_each_kind(scenario: Scenario, episodes: int) -> str:
    """The fixed choice that serves every kind of request with the expert that alone does best at it."""
    names = scenario.places
    alone = evaluate([f"fixed:{name}" for name in names], scenario, episodes, REPORTED, progress=True)
    scores = [result["score"]["mean"] for result in alone]
    serves = World(scenario).params.serves
    best = [max((i for i in range(len(names)) if kind[i]), key=lambda i: scores[i]) for kind in serves]
    return "fixed:" + ",".join(names[i] for i in dict.fromkeys(best))


def reference_of(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Floor, best heuristic and reference of a scenario by its hash, as `rllib train` reads them."""
    first = results[0]
    others = [result for result in results if result["policy"] not in ("random", "reference")]
    best = max(others, key=lambda result: result["score"]["mean"])
    heuristics = {result["policy"]: round(result["normalised_score"]["mean"], 4) for result in others}
    fixed = {name: score for name, score in heuristics.items() if name.startswith("fixed:")}
    kept = {name: score for name, score in heuristics.items() if name not in fixed}
    if fixed:
        name = max(fixed, key=lambda name: fixed[name])
        kept[name] = fixed[name]
    return {
        first["provenance"]["scenario_hash"]: {
            "env": first["env"],
            "split": first["split"],
            "episodes": first["episodes"],
            "random": first["floor"]["score"]["mean"],
            "best_heuristic": {"policy": best["policy"], "score": best["score"]["mean"]},
            "reference": first["reference"]["score"]["mean"],
            "normalised": kept,
        }
    }
