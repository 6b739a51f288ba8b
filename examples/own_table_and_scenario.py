"""A quality table and a scenario of one's own: write the scores, describe the market, see how policies do.

Shows the columns of a table of recorded quality, and a scenario given as a mapping. Needs nothing beyond the
package itself.

    python examples/own_table_and_scenario.py --episodes 50
"""

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np

from edge_experts.baselines import evaluate

EXPERTS = {"gemma-7b-it": 0.50, "gpt-3.5-turbo-0125": 0.60, "reka-flash": 0.65}  # with their mean quality
COLUMNS = ["prompt", "category", "expert", "quality", "output_bits", "work_units", "n_ratings"]


def write_table(path: Path) -> None:
    """Scores of 40 prompts in two categories, every prompt by every expert."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for prompt in range(40):
            for expert, mean in EXPERTS.items():
                quality = round(float(np.clip(rng.normal(mean, 0.2), 0, 1)), 3)
                rows.writerow([prompt, ("short", "long")[prompt % 2], expert, quality, 8000, 200, 3])


def main() -> None:
    """Make them and let three heuristics play."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "answers.csv"
        write_table(table)
        table.with_suffix(".yaml").write_text("modality: text\nstatus: {quality: recorded}\n")
        scenario = {
            "id": "me/answers-v0",
            "experts": list(EXPERTS),
            "tables": {"quality": str(table)},
            "providers": {"count": 3},
            "devices": {"count": 12},
            "requests": {"value_low": 4, "value_high": 8},
        }
        for result in evaluate(["shortest_queue", "myopic", "coordinated"], scenario, episodes=arguments.episodes):
            score, quality = result["normalised_score"]["mean"], result["quality"]
            print(f"{result['policy']:15s} normalised score {score:.2f}, quality {quality:.2f}")


if __name__ == "__main__":
    main()
