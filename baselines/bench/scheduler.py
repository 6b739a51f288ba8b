"""Fill the benchmark's missing cells: one process a cell, some at a time, resumable at any point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from tqdm import tqdm

from edge_experts.agents.market_names import markets_of, stages_of
from edge_experts.envs import Scenario, heldout_ids, load_scenario
from edge_experts.envs.io.atomic import write_text
from edge_experts.envs.seeds import REPORTED, TEACHER

from ..evaluation.evaluate import end_scores
from ..heuristics.demonstrate import demonstrate
from .cluster import Cluster, RemoteCell
from .protocol import FOLDER, Benchmark, Cell, Task, curve_key

RUNS = Path("runs") / "bench"
DEMONSTRATIONS = Path("runs") / "demonstrations"  # where the presets look for them
REFERENCES = "references.json"


def fill(
    cells: Sequence[Cell],
    benchmark: Benchmark,
    jobs: int | None = None,
    results: Path = FOLDER,
    runs: Path = RUNS,
    progress: bool = True,
    cluster: Cluster | None = None,
) -> list[Cell]:
    """Run the cells that have no result yet; returns those that failed.

    Every cell is a process with one thread, so that its time does not depend on how many run beside it, if there is a
    core for
    each. After a kill the next call goes on where it was: finished cells are kept, begun ones continue from their last
    checkpoint.

    Args:
        cells: What to run.
        benchmark: The protocol.
        jobs: Cells at a time; one for each core by default.
        results: Where results go.
        runs: Where training runs go.
        progress: Show a bar with the remaining time.
        cluster: Where the cells run; in processes of this machine by default.
    """
    missing = [cell for cell in cells if not cell.result(results).exists()]
    if not missing:
        return []
    results.mkdir(parents=True, exist_ok=True)
    several = {market for cell in missing for market in (stages_of(cell.env) or markets_of(cell.env))}
    alone = {cell.env for cell in missing if not stages_of(cell.env) and not markets_of(cell.env)}
    references = _write_references(alone, benchmark, runs, several - alone)
    for env in sorted({cell.env for cell in missing if cell.entry.demonstrations}):
        _demonstrate(env, benchmark)
    failed: list[Cell] = []
    children: set[subprocess.Popen[bytes] | RemoteCell] = set()
    stopping = threading.Event()

    def run(cell: Cell) -> int:
        if stopping.is_set():
            return 0
        task = Task(cell=cell, benchmark=benchmark, runs=runs, results=results, references=references)
        child = _start(task, cluster)
        children.add(child)
        code = child.wait()
        children.discard(child)
        return code

    done = len(cells) - len(missing)
    with (
        ThreadPoolExecutor(jobs or (cluster.slots if cluster else os.cpu_count()) or 1) as pool,
        tqdm(total=len(cells), initial=done, unit="run", disable=None if progress else True, smoothing=0) as bar,
    ):
        waiting: dict[Future[int], Cell] = {pool.submit(run, cell): cell for cell in missing}
        try:
            while waiting:
                finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    cell = waiting.pop(future)
                    bar.update()
                    if future.result():
                        failed.append(cell)
                        tqdm.write(
                            f"failed: {cell.name} on {cell.env}, seed {cell.seed}: see {_log(cell, runs)}",
                            file=sys.stderr,
                        )
                    else:
                        tqdm.write(_line(cell, results))
        except BaseException:
            stopping.set()
            for child in list(children):
                child.terminate()  # a run in training finishes its iteration and saves a checkpoint
            raise
    return failed


def _start(task: Task, cluster: Cluster | None) -> subprocess.Popen[bytes] | RemoteCell:
    """The process of a cell, which reads its task from a file beside its log."""
    log = _log(task.cell, task.runs)
    log.parent.mkdir(parents=True, exist_ok=True)
    file = log.with_suffix(".task.json")
    write_text(file, task.to_json())
    command = [sys.executable, "-m", "edge_experts.baselines.bench", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if cluster is not None:
        return cluster.start(command, log, environment)
    with open(log, "ab") as stream:
        return subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )


def _log(cell: Cell, runs: Path) -> Path:
    folder = cell.folder(runs)
    return folder.with_name(f"{folder.name}.log")


def _line(cell: Cell, results: Path) -> str:
    result = json.loads(cell.result(results).read_text("utf-8"))
    return (
        f"{cell.name} on {cell.env}, seed {cell.seed}: {result['normalised_score']:.3f} "
        f"after {result['env_steps']:,} steps, {result['cpu_time_s']:.0f} CPU-seconds"
    )


def _write_references(envs: set[str], benchmark: Benchmark, runs: Path, without_curve: Set[str] = frozenset()) -> Path:
    """Floor and reference of all environments and their twins, by scenario: the stored ones, others measured.

    Of `envs` those that learning curves are normalised by, too.
    """
    from edge_experts.agents.score_reference import stored_references

    known: dict[str, Any] = dict(stored_references())
    path = runs / REFERENCES
    if path.exists():
        known |= json.loads(path.read_text("utf-8"))
    for env in sorted(envs | without_curve):
        for name in (env, *heldout_ids(env)):
            scenario = load_scenario(name)
            if scenario.hash() not in known:
                known[scenario.hash()] = measure_ends(scenario, benchmark.episodes)
    for env in sorted(envs):
        scenario = load_scenario(env)
        key = curve_key(scenario)
        if known.get(key, {}).get("episodes") != benchmark.curve_episodes:
            known[key] = measure_ends(scenario, benchmark.curve_episodes)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(known, indent=1) + "\n")
    return path


def measure_ends(scenario: Scenario, episodes: int) -> dict[str, Any]:
    """Floor and reference of a scenario, on so many evaluation episodes."""
    scores = end_scores(scenario, episodes, REPORTED, progress=True)
    return {"env": scenario.id, "split": scenario.tables.split, "episodes": episodes, **scores}


def _demonstrate(env: str, benchmark: Benchmark) -> None:
    """Record what some presets learn from, unless it is there; everybody is paid the mean reward, as in the presets."""
    folder = DEMONSTRATIONS / env.rpartition("/")[2]
    scenario = load_scenario(env)
    if not any((folder / f"{role}.parquet").exists() for role in ("user", "provider") if scenario.acts(role)):
        team = scenario.replace({"rewards.team": 1.0}) if scenario.devices.count > 1 else scenario
        demonstrate(benchmark.demonstrations.policy, team, benchmark.demonstrations.episodes, TEACHER, folder)
