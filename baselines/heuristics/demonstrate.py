"""Record what a policy plays, for algorithms that learn from demonstrations."""

from __future__ import annotations

from pathlib import Path

from edge_experts.envs import Scenario, World
from edge_experts.envs.recording.demonstrations import Demonstrations

from .policies import make_policy


def demonstrate(policy: str, scenario: Scenario, episodes: int, seed: int, folder: Path) -> Path:
    """Record whole episodes of a policy as demonstrations; returns the folder.

    Args:
        policy: Name of one that needs no training.
        scenario: Where it plays.
        episodes: How many.
        seed: Key of the episodes.
        folder: Where the tables go, see `Demonstrations.save`.
    """
    world = World(scenario, episodes, seed)
    recorded = Demonstrations(world)
    recorded.play(make_policy(policy, world, seed))
    return recorded.save(folder, {"policy": policy})
