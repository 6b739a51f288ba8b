"""What a mixture of experts is worth, on the tables and in the market."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_experts.envs import Scenario, World, load_scenario
from edge_experts.envs.seeds import REPORTED, TEST

from ..heuristics.mixtures import Worth, worth_of_requests
from ..markdown import table
from ..provenance import provenance
from .evaluate import play, summarise

REQUESTS = 2000
COHERENCES = (0.9, 0.92, 0.94, 0.96, 0.98, 1.0)
SPLITS = ("train", "heldout")
PAYS = 1e-9  # a mixture that is better by less than this is none


def worth(env: str | Path | Scenario, episodes: int) -> dict[str, Any]:
    """What mixing is worth in a scenario, as plain data.

    `tables`: mean recorded quality with everything known and no contention, for each split of the prompts: of local
    experts only, the best single expert for all requests of a kind, the best single expert of each request, the best
    mixture; and the share of requests where mixing pays. `market`: quality, welfare, latency of the policies `local`,
    `fixed:X`, `single`, `coordinated`. `coherence`: the tables' train split again with other factors for a change.

    Args:
        env: A shipped id, a scenario file or a scenario.
        episodes: Episodes of each policy.
    """
    scenario = load_scenario(env)
    result: dict[str, Any] = {"env": scenario.id, "episodes": episodes, "tables": {}, "market": {}, "coherence": {}}
    for split in SPLITS:
        changed = scenario.replace({"tables.split": split})
        requests = _requests(changed)
        result["tables"][split] = _of_tables(requests, changed)
        fixed = "fixed:" + ",".join(result["tables"]["train"]["fixed_experts"])
        policies = [*(["local"] if scenario.local_experts else []), fixed, "single", "coordinated"]
        result["market"][split] = {policy: _of_market(policy, changed, episodes) for policy in policies}
    for coherence in COHERENCES:
        changes = {f"kinds.{name}.coherence": coherence for name, kind in scenario.kinds.items() if kind.coherence}
        changed = scenario.replace({"requests.coherence": coherence, **changes})
        result["coherence"][str(coherence)] = _of_tables(_requests(changed), changed)
    result["provenance"] = provenance(scenario)
    return result


def _requests(scenario: Scenario) -> Worth:
    asking = scenario.replace({"arrivals.process": "saturated", "devices.churn": 0.0})
    world = World(asking, -(-REQUESTS // scenario.devices.count), TEST.key(REPORTED))
    world.reset()
    return worth_of_requests(world)


def _of_tables(found: Worth, scenario: Scenario) -> dict[str, Any]:
    kinds, E = np.unique(found.kind), len(scenario.experts)
    best = {k: int(found.single[found.kind == k].mean(axis=0).argmax()) for k in kinds}
    fixed = np.array([found.single[n, best[k]] for n, k in enumerate(found.kind)])
    single = found.single.max(axis=1)
    local = found.single[:, E:].max(axis=1) if scenario.local_experts else None
    return {
        "local": None if local is None else float(np.maximum(local, 0.0).mean()),
        "fixed": float(fixed.mean()),
        "fixed_experts": list(dict.fromkeys(scenario.places[best[k]] for k in kinds)),
        "single": float(single.mean()),
        "mixture": float(found.mixture.mean()),
        "pays": float((found.mixture > single + PAYS).mean()),
        "requests": len(single),
    }


def _of_market(policy: str, scenario: Scenario, episodes: int) -> dict[str, Any]:
    measured = summarise(play(policy, scenario, episodes, REPORTED), scenario)
    return {
        "quality": measured["quality"],
        "welfare": measured["welfare"],
        "latency_s": measured["latency_s"]["p50"],
        "missed": measured["deadline_miss_rate"],
    }


def tables_table(results: list[dict[str, Any]]) -> str:
    """Recorded quality without contention, of all scenarios and splits, as Markdown."""
    rows = []
    for result in results:
        for split, found in result["tables"].items():
            means = ["-" if found[name] is None else f"{found[name]:.3f}" for name in ("local", "fixed", "single")]
            gain = f"{found['mixture'] - found['single']:+.3f}"
            rows.append([_name(result), split, *means, f"{found['mixture']:.3f}", gain, f"{found['pays']:.0%}"])
    head = ["scenario", "prompts", "local experts only", "best expert for all", "best of each request"]
    return table([*head, "best of each part", "what mixing adds", "requests where it pays"], rows)


def market_table(results: list[dict[str, Any]]) -> str:
    """The same in the running market, as Markdown."""
    rows = []
    for result in results:
        for split, policies in result["market"].items():
            for policy, found in policies.items():
                welfare = found["welfare"]
                interval = f"{welfare['mean']:,.1f} ({welfare['low']:,.1f} to {welfare['high']:,.1f})"
                quality = "-" if found["quality"] is None else f"{found['quality']:.3f}"
                latency = "-" if found["latency_s"] is None else f"{found['latency_s']:.1f}"
                shown = policy.replace(",", ", ")
                rows.append([_name(result), split, shown, quality, interval, latency, f"{found['missed']:.0%}"])
    head = ["scenario", "prompts", "policy", "quality of what is in time", "welfare an episode, credits"]
    return table([*head, "median latency, s", "missed"], rows)


def _name(result: dict[str, Any]) -> str:
    return str(result["env"]).split("/")[-1]


def plot_coherence(results: list[dict[str, Any]], path: Path) -> None:
    """What mixing adds to the best single expert of each request, against the factor that a change of expert costs."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for result in results:
        gains = [(float(c), found["mixture"] - found["single"]) for c, found in result["coherence"].items()]
        axes.plot(*zip(*gains, strict=True), marker="o", label=_name(result))
    axes.set(xlabel="coherence: quality factor of a change of expert", ylabel="quality that mixing adds")
    axes.legend(ncols=2, fontsize="small")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
    plt.close(figure)
