"""Cells of the benchmark on a Ray cluster, whose nodes share the working folder: a task each, wherever there is room.

A cell whose node dies is started again elsewhere and goes on from its last checkpoint, as after any kill.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from edge_experts.agents.job import start_ray

RETRIES = 3  # of a cell whose node died, or whose process was killed there


class KilledError(RuntimeError):
    """A cell's process was ended by a signal that nobody here sent."""


class Cluster:
    """Where cells run.

    Args:
        address: As `ray.init` takes it.

    Raises:
        SetupError: if no cluster answers there.
    """

    def __init__(self, address: str) -> None:
        start_ray(address)

    @property
    def slots(self) -> int:
        """How many cells there is room for now."""
        import ray

        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def start(self, command: list[str], log: Path, environment: dict[str, str]) -> RemoteCell:
        """Run a command in this folder on some node."""
        import ray

        task = ray.remote(num_cpus=1, max_retries=RETRIES, retry_exceptions=[KilledError])(_run)
        return RemoteCell(task.remote(command, str(log.resolve()), environment, str(Path.cwd())))


class RemoteCell:
    """A cell at work, with the part of `subprocess.Popen` that is used of it.

    Args:
        reference: Of its task.
    """

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def wait(self) -> int:
        """Its exit code; 1 if its nodes died again and again."""
        import ray

        try:
            return int(ray.get(self._reference))
        except (ray.exceptions.RayError, KilledError):
            return 1

    def terminate(self) -> None:
        """Let it save a checkpoint and stop."""
        import ray

        ray.cancel(self._reference)


def _run(command: list[str], log: str, environment: dict[str, str], folder: str) -> int:
    """On the node: a process of its own, as on one machine."""
    with open(log, "ab") as stream:
        child = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=environment, cwd=folder)
    try:
        code = child.wait()
        if code < 0:
            raise KilledError(f"signal {-code}")
        return code
    except BaseException:  # cancelled
        child.terminate()
        child.wait()
        raise
