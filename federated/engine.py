"""Where clients train: one after another in this process, or as tasks of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Job = tuple[Any, ...]


class Engine:
    """Clients train in this process."""

    def scatter(self, work: Callable[..., Any]) -> Callable[[Sequence[Job]], list[Any]]:
        """A function that does `work` with the arguments of each job, and returns the results in the jobs' order.

        `work` must change nothing but what it returns: it may run elsewhere.
        """
        return lambda jobs: [work(*job) for job in jobs]


class RayEngine(Engine):
    """Clients train as Ray tasks; how many workers there are changes no result.

    Args:
        address: Of a cluster, as `ray.init` takes it; `local` starts one on this machine.

    Raises:
        ValueError: if Ray is not installed, or there is no cluster.
    """

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise ValueError("--ray-address: needs Ray: pip install 'edge-experts[rllib]'") from None
        try:
            ray.init(address, ignore_reinit_error=True, log_to_driver=False, include_dashboard=False)
        except ConnectionError:
            raise ValueError(
                f"--ray-address: there is no cluster at '{address}'; start one with `ray start --head`, or give local"
            ) from None

    def scatter(self, work: Callable[..., Any]) -> Callable[[Sequence[Job]], list[Any]]:
        """As `Engine.scatter`, each job a task; `work` with its data is sent once."""
        import ray

        task, place = ray.remote(_alone), ray.put(work)
        return lambda jobs: ray.get([task.remote(place, *job) for job in jobs])


def _alone(work: Callable[..., Any], *job: Any) -> Any:
    """A task: as in the process that runs a plan, each on one thread and by deterministic algorithms."""
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return work(*job)
