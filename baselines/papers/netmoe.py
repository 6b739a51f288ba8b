"""NetMoE: expert selection by DRL (arXiv 2402.06942), beside netmoe-v1."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_experts.envs import load_scenario
from edge_experts.envs.seeds import REPORTED

from ..evaluation.evaluate import end_scores, play
from ..evaluation.metrics import normalised_score
from .comparison import AGREES, DIFFERS, OPEN, Comparison, Finding, runs_of, scores, told

ENV = "netmoe-v1"
# mean over training and final reward, read off the figure on the authors' page
PUBLISHED = {"bound": (43.6, 43.4), "drl": (41.1, 42.6), "benchmark": (39.8, 39.5), "random": (39.6, 40.5)}


def published(name: str, column: int) -> float:
    """A published reward between random (0) and the upper bound (1); column 0: mean over training, 1: final."""
    return float(normalised_score(PUBLISHED[name][column], PUBLISHED["random"][column], PUBLISHED["bound"][column]))


def compare(results: Path, episodes: int) -> Comparison:
    """The paper beside PPO, a benchmark without learning, and devices left to themselves."""
    runs = runs_of(results, ENV, "ppo")
    final = scores(runs)
    over_training = [float(np.mean([point["normalised_score"] for point in run["curve"]])) for run in runs]
    scenario = load_scenario(f"edge_experts/{ENV}")
    floor, bound = end_scores(scenario, episodes, REPORTED).values()
    plain = {
        name: float(normalised_score(play(name, scenario, episodes, REPORTED).score.mean(), floor, bound))
        for name in ("shortest_queue", "local")
    }
    drl, mean_drl = published("drl", 1), published("drl", 0)
    ends = OPEN if not final else AGREES if np.mean(final) >= drl else DIFFERS
    rises = OPEN if not final else AGREES if np.mean(over_training) < np.mean(final) else DIFFERS
    below = OPEN if not final else AGREES if plain["shortest_queue"] < np.mean(final) else DIFFERS
    return Comparison(
        "Toward scalable generative AI via mixture of experts in mobile edge networks",
        "Wang et al., arXiv 2402.06942",
        "Rewards were read off the figure on the authors' page, to a tenth; all are put between random (0) and the "
        "upper bound (1).",
        [
            Finding("the DRL agent in the end", f"{drl:.2f}", told(final), ends),
            Finding("the DRL agent, mean over training", f"{mean_drl:.2f}", told(over_training), rises),
            Finding(
                "a benchmark that does not learn",
                f"{published('benchmark', 1):.2f} to {published('benchmark', 0):.2f}",
                f"{plain['shortest_queue']:.2f} (the shortest queue)",
                below,
            ),
            Finding(
                "devices left to their own expert",
                "below the edge network",
                f"{plain['local']:.2f}",
                AGREES if final and plain["local"] < np.mean(final) else OPEN if not final else DIFFERS,
            ),
        ],
        "The order is the paper's: learning beats what does not learn, and experts of the edge network beat the "
        "device's own. The size of the gap is not "
        "comparable: the paper's quality scores were never published, ours are recorded ones of eight language "
        "models, and one to two minutes of a core "
        "train longer than the paper's figure shows.",
    )
