"""The benchmark on a Ray cluster: a node dies, and its cell goes on elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge_experts.baselines.cli import main

SMALL = """
envs: [small.yaml]
seeds: 1
episodes: 4
curve_points: 4
curve_episodes: 2
algorithms:
  ppo: {title: PPO, preset: ppo, config: {
    num_envs_per_env_runner: 8, train_batch_size_per_learner: 64, minibatch_size: 32}}
"""
SCENARIO = """
id: me/small-v0
experts: [gemma-7b-it, reka-flash, phi-3-mini-128k]
providers: {count: 2}
devices: {count: 3}
episode: {slots: 8}
"""
BENCH = ["bench", "--benchmark", "bench.yaml", "--steps", "3000"]


def at_work(folder: Path) -> psutil.Process | None:
    """The process of the cell in a folder."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if "edge_experts.baselines.bench" in (process.info["cmdline"] or []) and process.info["cwd"] == str(folder):
            return process
    return None


def test_a_cell_outlives_its_node(tmp_path: Path, no_ray: None) -> None:
    """It is killed with its node, and goes on from its last checkpoint on the other one."""
    from ray.cluster_utils import Cluster

    (tmp_path / "bench.yaml").write_text(SMALL)
    (tmp_path / "small.yaml").write_text(SCENARIO)
    run = tmp_path / "runs/bench/small/ppo/seed_0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = {f"127.0.0.{i}": cluster.add_node(num_cpus=1, node_ip_address=f"127.0.0.{i}") for i in (2, 3)}
        command = [sys.executable, "-m", "edge_experts.baselines.cli", *BENCH, "--ray-address", cluster.address]
        with open(tmp_path / "log", "w") as log:
            bench = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
            until = time.time() + 180
            while not list(run.glob("checkpoint_*")):
                assert bench.poll() is None and time.time() < until, (tmp_path / "log").read_text()
                time.sleep(0.05)
            cell = at_work(tmp_path)
            assert cell is not None
            above = " ".join(word for process in cell.parents() for word in process.cmdline())
            (node,) = (node for address, node in nodes.items() if f"node_ip_address={address} " in above + " ")
            first = (run / "results.jsonl").read_text().splitlines()[0]
            cluster.remove_node(node, allow_graceful=False)
            cell.kill()  # as it is when its machine is
            assert bench.wait(240) == 0, (tmp_path / "log").read_text()
    finally:
        cluster.shutdown()
    rows = (run / "results.jsonl").read_text().splitlines()
    assert rows[0] == first and [json.loads(row)["training_iteration"] for row in rows] == list(range(1, len(rows) + 1))
    result = json.loads((tmp_path / "results/bench/small/ppo/seed_0.json").read_text())
    assert result["env_steps"] == json.loads(rows[-1])["env_steps"] >= 3000 and len(result["curve"]) >= 4


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_ray: None, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.yaml").write_text(SMALL)
    (tmp_path / "small.yaml").write_text(SCENARIO)
    assert main([*BENCH, "--ray-address", "nowhere"]) == 2
    assert "--ray-address: no Ray cluster answers at 'nowhere'" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
