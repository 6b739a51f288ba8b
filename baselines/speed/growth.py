"""How cost grows: with worlds, agents, experts, providers and processes; and what a cluster would do."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .cases import Iterations, built_algorithm, experts_step, world_step
from .measure import Measurement, SpeedCase, Step

GROUP = "growth"
WORLDS, AGENTS, EXPERTS, PROVIDERS, PROCESSES = "worlds", "agents", "experts", "providers", "processes"
SIZES: dict[str, tuple[int, ...]] = {
    WORLDS: (1, 16, 128, 1024, 8192),
    AGENTS: (8, 32, 128, 512, 1024),
    EXPERTS: (4, 8, 16, 32, 64, 128),
    PROVIDERS: (2, 4, 8, 16, 32, 64),
}
SAMPLING, LEARNING = "PPO, sampling alone", "PPO, learning alone"
NETWORK_BPS = 10e9  # of the cluster that is imagined
CLUSTER = (1, 4, 16, 100)  # its sampling processes


def growth_cases() -> list[SpeedCase]:
    """A world over each size, processes beside one another, and the two halves of an iteration of PPO."""
    cases = [_case(WORLDS, size, 20, size, world_step, {"n_worlds": size}) for size in SIZES[WORLDS]]
    for agents in SIZES[AGENTS]:
        worlds = max(4, 20_480 // agents)
        changes = {"devices.count": agents - 4}
        cases.append(_case(AGENTS, agents, agents, worlds, world_step, {"n_worlds": worlds, "changes": changes}))
    for experts in SIZES[EXPERTS]:
        cases.append(_case(EXPERTS, experts, 20, 256, experts_step, {"n_worlds": 256, "experts": experts}))
    for providers in SIZES[PROVIDERS]:
        options = {"n_worlds": 128, "experts": 64, "changes": {"providers.count": providers}}
        cases.append(_case(PROVIDERS, providers, 16 + providers, 128, experts_step, options))
    for count in sorted({1, 2, os.cpu_count() or 1}):
        options = {"processes": count, "n_worlds": 256}
        cases.append(_case(PROCESSES, count, 20, 256 * count, processes_step, options, alone=True))
    for name, make in ((SAMPLING, sampling_step), (LEARNING, learning_step)):
        cases.append(SpeedCase(name, GROUP, 20, 1, make, {}, alone=True))
    return cases


def _case(what: str, size: int, agents: int, worlds: int, make: Any, options: Any, alone: bool = False) -> SpeedCase:
    return SpeedCase(f"{size:,} {what}", GROUP, agents, worlds, make, options, alone)


def processes_step(processes: int, n_worlds: int) -> Step:
    """Slots of a `World` in each of several processes."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(processes):
        mine, its = context.Pipe()
        context.Process(target=_serve, args=(its, n_worlds), daemon=True).start()
        pipes.append(mine)
    for pipe in pipes:
        pipe.recv()  # it is ready

    def step(count: int) -> None:
        for pipe in pipes:
            pipe.send(count)
        for pipe in pipes:
            pipe.recv()

    return step


def _serve(pipe: Any, n_worlds: int) -> None:
    """Step a world as often as is asked for, until nobody asks."""
    step = world_step(n_worlds)
    pipe.send(0)
    while True:
        try:
            step(count := pipe.recv())
        except EOFError:
            return
        pipe.send(count)


def sampling_step() -> Step:
    """Batches of PPO with entity networks, sampled and thrown away."""
    algorithm = built_algorithm("entities")
    batch = algorithm.config.train_batch_size_per_learner
    return Iterations(lambda: algorithm.env_runner.sample(num_timesteps=batch), batch, algorithm.stop)


def learning_step() -> Step:
    """Updates of PPO with entity networks from one batch, again and again."""
    from edge_experts.agents.sampling.batches import collect

    algorithm = built_algorithm("entities")
    config = algorithm.config
    batch = config.train_batch_size_per_learner
    sample, _ = collect(algorithm.env_runner_group, config)

    def learn() -> None:
        algorithm.learner_group.update(
            batch=sample,
            timesteps={"num_env_steps_sampled_lifetime": batch},
            num_epochs=config.num_epochs,
            minibatch_size=config.minibatch_size,
            shuffle_batch_per_epoch=True,
        )

    return Iterations(learn, batch, algorithm.stop)


def exchanged() -> dict[str, float]:
    """What goes over the network in an iteration, MB: the batch to the learner, the weights to a sampling process."""
    algorithm = built_algorithm("entities")
    (sample,) = algorithm.env_runner.sample(num_timesteps=algorithm.config.train_batch_size_per_learner)
    rows = sum(_bytes(dict(columns)) for columns in sample.policy_batches.values())
    weights = sum(p.numel() * p.element_size() for m in algorithm.env_runner.module.values() for p in m.parameters())
    steps = float(algorithm.config.train_batch_size_per_learner)
    algorithm.stop()
    return {"batch_mb": rows / 1e6, "weights_mb": weights / 1e6, "env_steps": steps}


def _bytes(columns: Any) -> int:
    if isinstance(columns, dict):
        return sum(_bytes(value) for value in columns.values())
    return int(np.asarray(columns).nbytes)


def sizes_of(results: Sequence[Measurement], what: str) -> list[tuple[int, Measurement]]:
    """The measurements over a size, the smallest first."""
    found = [(int(one.name.split()[0].replace(",", "")), one) for one in results if one.name.endswith(f" {what}")]
    return sorted([(size, one) for size, one in found if not one.error], key=lambda pair: pair[0])


def cost(what: str, one: Measurement) -> float:
    """Microseconds of processor time of a slot: of all worlds over worlds, else of one; of processes, of the wall's."""
    if what == PROCESSES:
        return 1e6 / one.wall_env_steps
    return 1e6 * (one.worlds if what == WORLDS else 1) / one.cpu_env_steps


def slope(pairs: Sequence[tuple[int, float]]) -> float:
    """Exponent of growth over the upper half of the sizes: 1 is linear, 0 is no growth. Least squares of logarithms."""
    upper = pairs[len(pairs) // 2 - 1 :] if len(pairs) > 2 else pairs
    sizes, costs = np.log(np.array(upper, float)).T
    return float(np.polyfit(sizes, costs, 1)[0])


def cluster_rate(processes: int, sampling: float, learning: float, sizes: dict[str, float]) -> float:
    """Env steps a second of so many sampling processes and one learner, which take turns, over `NETWORK_BPS`.

    Args:
        processes: Those that sample.
        sampling: Env steps a second of one of them.
        learning: Env steps a second of the learner.
        sizes: See `exchanged`.
    """
    batch = sizes["env_steps"]
    sent_s = 8e6 * (sizes["batch_mb"] + processes * sizes["weights_mb"]) / NETWORK_BPS
    return batch / (batch / (processes * sampling) + batch / learning + sent_s)


def draw_growth(results: Sequence[Measurement], path: Any) -> None:
    """A panel for each size, on logarithmic axes, with the exponent of growth."""
    from edge_experts.agents.plotting import new_figure, save_figure

    shown = [(what, pairs) for what in (*SIZES, PROCESSES) if (pairs := sizes_of(results, what))]
    figure = new_figure(3.3 * len(shown), 3.3)
    for axes, (what, found) in zip(np.ravel(figure.subplots(1, len(shown))), shown, strict=True):
        costs: list[tuple[int, float]] = [(size, cost(what, one)) for size, one in found]
        axes.plot(*zip(*costs, strict=True), "o-")
        title = f"{what}: exponent {slope(costs):.2f}" if len(costs) > 1 else what
        axes.set(xscale="log", yscale="log", xlabel=what, title=title)
        axes.set_xticks([size for size, _ in costs], [f"{size:,}" for size, _ in costs], fontsize=7)
        axes.minorticks_off()
        axes.grid(alpha=0.3, which="both")
    figure.axes[0].set_ylabel("microseconds of a slot")
    save_figure(figure, path, dpi=110)
