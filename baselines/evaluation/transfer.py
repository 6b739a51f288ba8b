"""How policies do on markets that they were not trained on: every policy on every market."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edge_experts.agents.errors import CheckpointError
from edge_experts.agents.score_reference import normalised_score, stored_references
from edge_experts.envs import Scenario, World, heldout_ids, load_scenario
from edge_experts.envs.seeds import REPORTED

from ..heuristics.policy_spec import PolicySpec
from ..markdown import table
from ..provenance import provenance
from .evaluate import end_scores, play

HEURISTICS = ("coordinated", "myopic")  # that are shown beside


def transfer(
    policies: Mapping[str, PolicySpec],
    envs: Sequence[str],
    twins: bool = False,
    episodes: int | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Normalised scores of policies on markets, as plain data.

    Args:
        policies: By the names to show them by.
        envs: Shipped ids or scenario files.
        twins: Whether to play the held-out twins of each, too.
        episodes: Of each policy on each market; by default as many as floor and reference were measured on.
        note: Told what is being played.

    Returns:
        `envs`; `policies`: for each what it was `trained_on`, its `scores` by market (`None` where it has no policy
        for a role that acts there) and, if wanted, its mean over the `twins` of each; `heuristics`: stored scores of
        some; `provenance`.
    """
    result: dict[str, Any] = {"envs": list(envs), "policies": {}, "heuristics": {}, "provenance": {}}
    for name, spec in policies.items():
        found: dict[str, Any] = {"trained_on": [], "scores": {}, "twins": {}}
        for env in envs:
            note(f"{name} on {env}")
            scenario = load_scenario(env)
            policy = spec(World(scenario))
            about = getattr(policy, "description", {})
            found["trained_on"] = about.get("markets") or ([about["env"]] if "env" in about else [])
            try:
                found["scores"][env] = market_score(policy, scenario, episodes)
            except CheckpointError:  # it has no policy for a role that acts here
                found["scores"][env] = None
                continue
            if twins and (names := heldout_ids(env)):
                found["twins"][env] = float(np.mean([market_score(policy, load_scenario(t), episodes) for t in names]))
        result["policies"][name] = found
    for env in envs:
        scenario = load_scenario(env)
        known = stored_references().get(scenario.hash(), {}).get("normalised", {})
        result["heuristics"][env] = {name: known[name] for name in HEURISTICS if name in known}
        result["provenance"][env] = provenance(scenario)
    return result


def market_score(policy: Any, scenario: Scenario, episodes: int | None) -> float:
    """Normalised score on reported episodes: by the stored floor and reference, or by those of these episodes."""
    ends = stored_references().get(scenario.hash())
    if ends is not None and episodes in (None, ends["episodes"]):
        floor, bound, count = ends["random"], ends["reference"], ends["episodes"]
    else:
        count = episodes or 100
        floor, bound = end_scores(scenario, count, REPORTED).values()
    return float(normalised_score(float(play(policy, scenario, count, REPORTED).score.mean()), floor, bound))


def transfer_table(result: Mapping[str, Any]) -> str:
    """A row a policy, a column a market; bold where it was trained there."""
    envs = result["envs"]
    head = ["policy", *(_bare(env) for env in envs), "mean where not trained"]
    if any(found["twins"] for found in result["policies"].values()):
        head.append("mean over held-out twins")
    rows = []
    for name, found in result["policies"].items():
        cells = [_shown(found["scores"][env]) for env in envs]
        cells = [f"**{c}**" if env in found["trained_on"] else c for c, env in zip(cells, envs, strict=True)]
        away = [s for env in envs if env not in found["trained_on"] and (s := found["scores"][env]) is not None]
        rows.append([name, *cells, f"{np.mean(away):.2f}" if away else "-"])
        if len(head) > len(rows[-1]):
            rows[-1].append(f"{np.mean(list(found['twins'].values())):.2f}" if found["twins"] else "-")
    for heuristic in HEURISTICS:
        known = [result["heuristics"][env].get(heuristic) for env in envs]
        cells = [_shown(score) for score in known]
        rows.append([f"*{heuristic}*", *cells, *[""] * (len(head) - len(envs) - 1)])
    return table(head, rows)


def _shown(score: float | None) -> str:
    return "-" if score is None else f"{score:.2f}"


def _bare(env: str) -> str:
    return env.rpartition("/")[2]
