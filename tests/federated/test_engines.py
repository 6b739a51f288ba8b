"""Runs end with the same bytes wherever clients train, and however often a run is killed."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_experts.baselines.cli import main
from edge_experts.federated.engine import RayEngine
from edge_experts.federated.plan import Plan, load_plan
from edge_experts.federated.runner import federate

TINY = {
    "data": "digits",
    "clients": "4",
    "seeds": "1",
    "rounds.features": "4",
    "rounds.gate": "4",
    "training.hidden": "16",
    "training.expert_epochs": "4",
    "training.epochs": "2",
    "methods": "[fedavg, fedgate, rollgate, local, local_gate]",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "run"
    federate(load_plan("dirichlet01", TINY), folder)
    return folder


def same(one: Path, other: Path) -> None:
    files = [{p.relative_to(folder) for p in folder.rglob("*") if p.is_file()} for folder in (one, other)]
    assert files[0] == files[1] and len(files[0]) > 15
    for file in files[0]:
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


def work(plan: Plan, folder: Path) -> None:
    """What a process that will be killed does."""
    federate(plan, folder, resume=True)


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(whole: Path, tmp_path: Path, no_ray: None) -> None:
    """SIGKILL after ever longer: in training, between methods, wherever it may be."""
    plan, folder = load_plan("dirichlet01", TINY), tmp_path / "run"
    context, killed, partly = multiprocessing.get_context("fork"), 0, 0
    for attempt in range(60):
        process = context.Process(target=work, args=(plan, folder))
        process.start()
        process.join(0.02 * (attempt + 1))
        if process.exitcode is None:
            process.kill()
            process.join()
            killed += 1
            partly += 0 < len([*folder.glob("cells/[a-z]*")]) < len(plan.methods)
        elif process.exitcode == 0:
            break
    assert process.exitcode == 0 and killed > 3 and partly > 1
    same(whole, folder)


def test_clients_on_ray_end_with_the_same_bytes(whole: Path, tmp_path: Path, ray_here: Any) -> None:
    federate(load_plan("dirichlet01", TINY), tmp_path / "run", engine=RayEngine("auto"))
    same(whole, tmp_path / "run")


def test_an_address_without_a_cluster_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    def nobody(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(ray, "init", nobody)
    words = ["--save", str(tmp_path / "run"), "--set", "data=digits", "--ray-address", "auto"]
    assert main(["federate", "dirichlet01", *words]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "--ray-address: there is no cluster at 'auto'" in told
    assert not (tmp_path / "run").exists()
