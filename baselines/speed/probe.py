"""Measure one case of whatever version of this package lies in a folder: run as a script, in a process of its own.

It uses only what all versions have, and speaks in lines: it is sent `measure` and answers with JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

KEPT = 32  # actions that are drawn beforehand


def only(folder: str) -> None:
    """Import this package from a folder, and from nowhere else."""
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if not str(getattr(finder, "__name__", "")).startswith("__e")
    ]
    sys.path[:] = [folder, *(place for place in sys.path if not (Path(place or ".") / "edge_experts").exists())]


def resolved(name: str, known: list[str]) -> str:
    """The scenario of a name, or that of its newest version.

    Raises:
        ValueError: if there is none.
    """
    stem = name.rpartition("-v")[0]
    same = [other for other in known if other == name] or [o for o in known if o.rpartition("-v")[0] == stem]
    if not same:
        raise ValueError(f"has no scenario like '{name}'; it has {', '.join(known)}")
    return max(same, key=lambda other: int(other.rpartition("-v")[2]))


def make(worlds: int, name: str) -> tuple[Any, int]:
    """What plays so many slots, and the agents of a world; no worlds: the PettingZoo view of one.

    Actions are legal where they were drawn, and resets are included.
    """
    import numpy as np

    from edge_experts.envs import EdgeEnv, World

    world, rng, actions = World(name, max(1, worlds), seed=1), np.random.default_rng(0), []
    world.reset()
    env = EdgeEnv(name)
    agents = len(env.possible_agents)
    for _ in range(KEPT):
        actions.append(world.sample_actions(rng))
        world.step(*actions[-1])
    if worlds:

        def step(count: int) -> None:
            for i in range(count):
                world.step(*actions[i % KEPT])

        return step, agents
    env.reset(seed=1)
    kept: list[Any] = []
    while env.agents and len(kept) < KEPT:
        kept.append({agent: env.action_space(agent).sample() for agent in env.agents})
        env.step(kept[-1])

    def play(count: int) -> None:
        for i in range(count):
            if i % len(kept) == 0:
                env.reset(seed=1)
            env.step(kept[i % len(kept)])

    return play, agents


def main(folder: str, name: str, worlds: int, seconds: float) -> None:
    """Serve measurements until the input ends."""
    only(folder)
    from edge_experts import envs

    try:
        name = resolved(name, list(envs.shipped_ids()))
        step, agents = make(worlds, name)
    except Exception as error:  # whatever another version makes of it
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return
    count, spent = 1, 0.0
    while spent < 0.05:  # how many slots take long enough to be measured
        count *= 2
        begun = time.process_time()
        step(count)
        spent = time.process_time() - begun
    count = max(1, round(count * seconds / spent))
    print(json.dumps({"env": name, "file": str(envs.__file__)}), flush=True)
    for _ in sys.stdin:
        begun = time.process_time()
        step(count)
        spent = time.process_time() - begun
        print(json.dumps({"rate": count * max(1, worlds) * agents / spent}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
