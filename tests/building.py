"""Small configurations, samplers and steps that tests build; slow packages are imported where they are used."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge_experts.envs import World
from edge_experts.envs.sim.state import arrays


def runner(
    env: str = "edge_experts/text-v1",
    worlds: int = 6,
    policies: str = "per_role",
    algo: str = "MoEPPO",
    memory: int = 0,
    **scenario: Any,
) -> Any:
    """A sampler of the batched runner's own."""
    from edge_experts.agents.setup import new_config, set_up

    config = new_config(algo, env).environment(env, env_config={"overrides": scenario})
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=worlds).training(
        train_batch_size_per_learner=worlds * 12,
        minibatch_size=worlds * 12,
        no_choice_fraction=1.0,
        gamma=0.9,
        lambda_=0.8,
        memory=memory,
    )
    config.debugging(seed=3)
    set_up(config, policies)
    return config.env_runner_cls(config=config)


def small(algo: str, env: str = "edge_experts/text-v1", worlds: int = 6, network: str = "flat", **scenario: Any) -> Any:
    """A configuration of an algorithm for the batched runner, small enough to train in a test."""
    from edge_experts.agents.setup import new_config, set_up

    config = new_config(algo).environment(env, env_config={"overrides": scenario}).debugging(seed=1)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=worlds, rollout_fragment_length=10)
    config.training(train_batch_size_per_learner=worlds * 10)
    if network != "flat":
        config.training(network=network)
    if "PPO" in algo and algo != "APPO":
        config.training(minibatch_size=worlds * 5, num_epochs=2)
    config.learners(num_learners=0)
    return set_up(config)


def parts_market(folder: Path, parts: int = 2, prompts: int = 20) -> dict[str, Any]:
    """What changes `text-v1` to a table of one's own with the columns `part`, `gate` and `feature_bits`.

    Every prompt has a row for each part; part 1 is never of the category `a`, and the local expert's place is free.
    """
    draws, rows = np.random.default_rng(0), []
    names = ("gemma-2b-it", "gemma-7b-it", "reka-core")
    for prompt in range(prompts):
        for part in range(parts):
            category, sent = "abc"[(prompt + part) % 3 if part == 0 else 1 + prompt % 2], 1000 * (1 + prompt) + part
            for name in names:
                quality, gate = draws.random(2).round(3)
                rows.append(f"{prompt},{category},{name},{quality},8000,{100 + prompt},1,{part},{gate},{sent}")
    file = folder / "parts.csv"
    head = "prompt,category,expert,quality,output_bits,work_units,n_ratings,part,gate,feature_bits"
    file.write_text("\n".join([head, *rows]) + "\n")
    experts = {"experts": list(names), "providers.count": 2, "requests.subtasks": parts}
    return {**experts, "tables.quality": str(file), "requests.rule": "text"}


def scalars(run: Path) -> set[str]:
    """Names of what a run wrote for TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run))
    events.Reload()
    return set(events.Tags()["scalars"])


def busy(seconds: float) -> Any:
    """Steps that keep a processor busy for so long."""

    def step(count: int) -> None:
        until = time.process_time() + seconds * count
        while time.process_time() < until:
            pass

    return step


def waiting(seconds: float) -> Any:
    """Steps that wait for so long."""
    return lambda count: time.sleep(seconds * count)


def broken() -> Any:
    """Nothing that can be stepped."""
    raise OSError("no such user")


def rollout_digest(world: World, slots: int, rng: np.random.Generator, row: int) -> str:
    """SHA-256 of every byte of one world's state and views over a rollout of random legal actions."""
    sha = hashlib.sha256()
    world.reset()
    for _ in range(slots):
        world.step(*world.sample_actions(rng))
        for array in (*arrays(world.state), *world.views):
            sha.update(array[row].tobytes())
    return sha.hexdigest()


def packed(root: Path, folder: Path) -> tuple[Path, Path]:
    """The wheel of a copy of the repository, and the copy: a build leaves files behind, which the next would pack."""
    copy = folder / "copy"
    shutil.copytree(root, copy, symlinks=True, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "runs"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(copy)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel, copy
