"""Measure speed: every case in a process of its own, in turns, so that other load hits all alike."""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil
from tqdm import tqdm

from ..markdown import table

COLUMNS = (
    "case",
    "agents",
    "worlds",
    "env steps per CPU-second",
    "agent steps per CPU-second",
    "agent steps per second",
    "peak MB",
)
Step = Callable[[int], None]  # plays so many steps of all environments


@dataclass(frozen=True)
class SpeedCase:
    """Something to measure.

    Attributes:
        name: What it is called in the table.
        group: `world`, `view`, `agents`, `experts`, `training` or `peer`.
        agents: Agents in one environment.
        worlds: Environments stepped together.
        make: Importable function that builds it and returns its `Step`; called in the case's own process.
        options: Arguments of `make`.
        alone: Whether no other case's process may be alive meanwhile (training starts processes of its own).
    """

    name: str
    group: str
    agents: int
    worlds: int
    make: Callable[..., Step]
    options: dict[str, Any] = field(default_factory=dict)
    alone: bool = False


@dataclass
class Measurement:
    """What was measured of a case; rates are medians over the rounds.

    `cpu_*` rates are per second of processor time, summed over threads and child processes; `wall_*` per second.
    """

    name: str
    group: str
    agents: int
    worlds: int
    rounds: int
    cpu_env_steps: float
    cpu_agent_steps: float
    wall_env_steps: float
    wall_agent_steps: float
    best_wall_agent_steps: float
    peak_mb: float
    error: str | None = None


def measure(cases: Sequence[SpeedCase], rounds: int, seconds: float, progress: bool = False) -> list[Measurement]:
    """Measure all cases, `rounds` times in turns, about `seconds` each time.

    A case that cannot be measured is reported with its error and zero rates; nothing fails on timing.
    """
    taken: dict[str, list[dict[str, float]]] = {case.name: [] for case in cases}
    errors: dict[str, str] = {}
    workers = {case.name: _Worker(case, seconds) for case in cases if not case.alone}
    with tqdm(total=rounds * len(cases), desc="measuring", disable=None if progress else True) as bar:
        try:
            for _ in range(rounds):
                for case in cases:
                    bar.set_postfix_str(case.name, refresh=True)
                    worker = _Worker(case, seconds) if case.alone else workers[case.name]
                    try:
                        if case.name not in errors:
                            taken[case.name].append(worker.measure())
                    except (RuntimeError, EOFError) as error:
                        errors[case.name] = str(error) or "its process died"
                    if case.alone:
                        worker.close()
                    bar.update()
        finally:
            for worker in workers.values():
                worker.close()
    return [_summary(case, taken[case.name], errors.get(case.name)) for case in cases]


def _summary(case: SpeedCase, taken: list[dict[str, float]], error: str | None) -> Measurement:
    def median(clock: str) -> float:
        return (
            statistics.median([one["steps"] * case.worlds / max(one[clock], 1e-9) for one in taken]) if taken else 0.0
        )

    best = max((one["steps"] * case.worlds / max(one["wall"], 1e-9) for one in taken), default=0.0)
    cpu, wall = median("cpu"), median("wall")
    return Measurement(
        case.name,
        case.group,
        case.agents,
        case.worlds,
        len(taken),
        cpu,
        cpu * case.agents,
        wall,
        wall * case.agents,
        best * case.agents,
        max((one["peak_mb"] for one in taken), default=0.0),
        error,
    )


class _Worker:
    """A process that builds a case once and measures it whenever asked."""

    def __init__(self, case: SpeedCase, seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, case, seconds), daemon=False)
        self._process.start()
        theirs.close()

    def measure(self) -> dict[str, float]:
        """One measurement: steps, cpu and wall seconds, peak memory. `RuntimeError` if the case failed."""
        self._pipe.send("measure")
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._pipe.send("stop")
        self._process.join(timeout=30)
        if self._process.is_alive():
            self._process.kill()


def _serve(pipe: Any, case: SpeedCase, seconds: float) -> None:
    os.environ.setdefault("PYGLET_HEADLESS", "1")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    step: Step | None = None
    steps = 1
    while True:
        try:
            if pipe.recv() != "measure":
                break
        except EOFError:
            break
        try:
            if step is None:
                step = case.make(**case.options)
                started = time.perf_counter()
                step(1)  # compiles, allocates
                first = time.perf_counter() - started
                steps = max(1, round(seconds / first)) if case.alone else _steps_for(step, seconds)
            unit = getattr(step, "unit", 1)  # training counts in iterations of so many env steps
            pipe.send({"steps": steps * unit, **_clocked(step, steps)})
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    close = getattr(step, "close", None)
    if close is not None:
        close()


def _steps_for(step: Step, seconds: float) -> int:
    """How many steps take about so many seconds."""
    steps = 1
    while True:
        started = time.perf_counter()
        step(steps)
        elapsed = time.perf_counter() - started
        if elapsed >= seconds / 4 or elapsed * 4 >= seconds:
            return max(1, round(steps * seconds / elapsed))
        steps = max(steps + 1, min(steps * 10, int(steps * seconds / max(elapsed, 1e-6))))


def _clocked(step: Step, steps: int) -> dict[str, float]:
    cpu, wall = _cpu_s(), time.perf_counter()
    step(steps)
    return {"wall": time.perf_counter() - wall, "cpu": _cpu_s() - cpu, "peak_mb": _peak_mb()}


def _family() -> list[psutil.Process]:
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


def _cpu_s() -> float:
    """Processor time of this process and its children so far."""
    total = time.process_time()
    for process in _family()[1:]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _peak_mb() -> float:
    """Memory of this process at its peak; with children, what all hold now, shared pages counted once."""
    family = _family()
    if len(family) == 1:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = 0
    for process in family:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_full_info().pss
    return total / 2**20


def machine() -> dict[str, Any]:
    """The machine that measured."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return {
        "processor": name,
        "cpus": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def speed_table(results: Sequence[Measurement]) -> str:
    """One row a case, as a Markdown table."""
    rows = []
    for one in results:
        rates = (one.cpu_env_steps, one.cpu_agent_steps, one.wall_agent_steps, one.peak_mb)
        numbers = [f"not measured: {one.error}", "", "", ""] if one.error else [f"{rate:,.0f}" for rate in rates]
        rows.append([one.name, str(one.agents), str(one.worlds), *numbers])
    return table(COLUMNS, rows)


def as_json(results: Sequence[Measurement]) -> list[dict[str, Any]]:
    """The measurements as plain data, rates to four digits."""
    return [
        {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in asdict(one).items()}
        for one in results
    ]


def draw_speed(results: Sequence[Measurement], path: Any) -> None:
    """Cost against size on logarithmic axes: CPU time of a slot over worlds, and over agents."""
    from edge_experts.agents.plotting import new_figure, save_figure

    figure = new_figure(14, 4.6)
    left, right = figure.subplots(1, 2)
    fine = [one for one in results if not one.error and one.cpu_env_steps > 0]
    for group, marker in (("world", "o-"), ("peer", "s")):
        rows = [one for one in fine if one.group == group]
        if group == "world":
            left.plot([r.worlds for r in rows], [1e6 * r.worlds / r.cpu_env_steps for r in rows], marker, label="World")
        else:
            for row in rows:
                left.plot(row.worlds, 1e6 * row.worlds / row.cpu_env_steps, marker, label=row.name)
    left.set(xscale="log", yscale="log", xlabel="worlds stepped together", ylabel="CPU time of one step of all, µs")
    for group, label in (("agents", "World, by users"), ("experts", "World, by experts")):
        rows = [one for one in fine if one.group == group]
        sizes = [r.agents if group == "agents" else int(r.name.split()[-2]) for r in rows]
        right.plot(sizes, [1e6 / r.cpu_env_steps for r in rows], "o-", label=label)
    rows = [one for one in fine if one.group == "view"]
    for row in rows:
        right.plot(row.agents, 1e6 / row.cpu_env_steps, "^", label=row.name)
    for row in (one for one in fine if one.group == "peer" and one.worlds == 1):
        right.plot(row.agents, 1e6 / row.cpu_env_steps, "s", label=row.name)
    right.set(xscale="log", yscale="log", xlabel="agents (or experts)", ylabel="CPU time of one step of one world, µs")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    save_figure(figure, path, dpi=110)
