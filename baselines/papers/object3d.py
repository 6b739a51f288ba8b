"""Multi-agent MoE-PPO for 3D generation and data transfer (arXiv 2405.12472), beside object3d-v1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_experts.envs import load_scenario
from edge_experts.envs.seeds import REPORTED

from ..evaluation.evaluate import play
from .comparison import AGREES, OPEN, UNSAID, Comparison, Finding, gain, runs_of, scores, told

ENV = "object3d-v1"
COUNTS = (2, 4, 8)
NEARLY = 0.9  # of the final score: when a run has converged


def compare(results: Path, episodes: int) -> Comparison:
    """The paper beside MoE-PPO, its two controls and PPO, and payments over the number of providers."""
    runs = {name: runs_of(results, ENV, name) for name in ("moe_ppo", "dense_ppo", "dense_work", "ppo")}
    reward = {name: gain(scores(runs["moe_ppo"]), scores(runs[name])) for name in ("dense_ppo", "dense_work", "ppo")}
    steps = {name: [_converged(run) for run in found] for name, found in runs.items()}
    paid = [_paid(count, episodes) for count in COUNTS]
    _, sooner = gain([-s for s in steps["moe_ppo"]], [-s for s in steps["dense_ppo"]])
    return Comparison(
        "Optimizing generative AI networking: a dual perspective with multi-agent systems and mixture of experts",
        "Zhang et al., arXiv 2405.12472",
        "Only the abstract could be read: it says that MoE-PPO improves the indicators under different network "
        "conditions. No number of its figures is at hand.",
        [
            Finding(
                "MoE-PPO's reward",
                "above PPO's",
                f"{told(scores(runs['moe_ppo']))}; less PPO {reward['ppo'][0]}",
                reward["ppo"][1],
            ),
            Finding(
                "less the control of equal size", "not measured", reward["dense_ppo"][0], _claim(reward["dense_ppo"][1])
            ),
            Finding(
                "less the control of equal work",
                "not measured",
                reward["dense_work"][0],
                _claim(reward["dense_work"][1]),
            ),
            Finding(
                f"steps until {NEARLY:.0%} of the final score",
                "fewer with the mixture",
                f"{_mean(steps['moe_ppo'])} against {_mean(steps['dense_ppo'])} of equal size",
                sooner,
            ),
            Finding(
                f"what users pay with {', '.join(map(str, COUNTS))} providers",
                "a figure shows it",
                ", ".join(f"{value:.1f}" for value in paid) + " credits an episode, planned by *coordinated*",
                UNSAID,
            ),
        ],
        "A mixture's gain is told from that of more weights only by the two controls, which the paper does not "
        "report. Where an interval holds zero, runs "
        "of this length cannot tell.",
    )


def _claim(verdict: str) -> str:
    return OPEN if verdict == OPEN else "gains" if verdict == AGREES else "loses"


def _converged(run: dict[str, Any]) -> float:
    last = run["curve"][-1]["normalised_score"]
    return float(next(p["env_steps"] for p in run["curve"] if p["normalised_score"] >= NEARLY * last))


def _mean(steps: list[float]) -> str:
    return f"{np.mean(steps):,.0f}" if steps else "not measured"


def _paid(providers: int, episodes: int) -> float:
    """What users pay in an episode, together."""
    scenario = load_scenario(f"edge_experts/{ENV}", {"providers.count": providers})
    return -float(play("coordinated", scenario, episodes, REPORTED).terms["payment"].mean())
