"""Compact models on devices (arXiv 2411.09148), beside compact-v1."""

from __future__ import annotations

from pathlib import Path

from edge_experts.envs import load_scenario
from edge_experts.envs.seeds import REPORTED
from edge_experts.envs.tables import ExpertTable

from ..evaluation.evaluate import play
from .comparison import AGREES, DIFFERS, UNSAID, Comparison, Finding

ENV = "edge_experts/compact-v1"
HARDLY = 0.99  # of the quality is left by eight bits a weight


def compare(results: Path, episodes: int) -> Comparison:
    """The paper beside phones with all compact variants, and phones with those alone that were hardly compressed."""
    scenario = load_scenario(ENV)
    experts = ExpertTable.load(scenario.tables.experts)
    variants = [experts[name] for name in scenario.local_experts]
    heavy = [expert.name for expert in variants if expert.quality_factor >= HARDLY]
    records = [
        play("coordinated", each, episodes, REPORTED)
        for each in (scenario, scenario.replace({"devices.local_expert": heavy}))
    ]
    memories = scenario.devices.memory_gb
    held = [sum(e.memory_gb <= memory for memory in memories) / len(memories) for e in variants]
    most, least = max(variants, key=lambda e: e.quality_factor), min(variants, key=lambda e: e.quality_factor)
    phones = f"{', '.join(f'{memory:g}' for memory in memories)} GB"
    measured = {
        "accessibility: share of phones able to serve themselves": ([r.able.mean() for r in records], False),
        "quality of answers in time, of phones and providers": ([r.quality.mean() for r in records], False),
        "hallucination rate": ([r.hallucination.mean() for r in records], True),
        "energy of phones and providers, MJ an episode": ([r.energy_j.mean() / 1e6 for r in records], True),
    }
    return Comparison(
        "Toward democratized generative AI in next-generation mobile edge networks",
        "arXiv 2411.09148",
        "Only the abstract could be read: compact models improve generalisation accuracy, hallucination rate, "
        "accessibility and resource use on devices. No number of its figures is at hand.",
        [
            Finding(
                "what compression leaves of quality",
                "not at hand",
                f"{least.quality_factor:.2f} ({least.name}) to {most.quality_factor:.2f} ({most.name})",
                UNSAID,
            ),
            Finding(
                f"phones of {phones} that hold a variant",
                "not at hand",
                f"{min(held):.0%} (the largest) to {max(held):.0%} (the smallest)",
                UNSAID,
            ),
            *(
                Finding(
                    question,
                    "falls" if lower else "improves",
                    f"{pair[0]:.3f} with all {len(variants)} variants, {pair[1]:.3f} with the {len(heavy)} hardly "
                    "compressed",
                    AGREES if (pair[0] < pair[1] if lower else pair[0] > pair[1]) else DIFFERS,
                )
                for question, (pair, lower) in measured.items()
            ),
        ],
        "Both markets are planned by the same *coordinated*, with the same providers beside the phones; only what the "
        "phones may hold differs. Stronger compression lets more phones hold something; what they then answer is worse "
        "than what eight bits leave, and a provider may still be the better place.",
    )
