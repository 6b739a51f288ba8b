"""Beyond one process: a cluster of several Ray nodes, runners that die and come back, evaluation runners."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_training_outlives_a_node_of_the_cluster(tmp_path: Path) -> None:
    """One driver, a head and two nodes with a sampling process each; one node is killed during training.

    The nodes have addresses of their own, so that the driver is not on the one that dies.
    """
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1, node_ip_address=f"127.0.0.{i}") for i in (2, 3)]
        config = {"train_batch_size_per_learner": 600, "minibatch_size": 300, "num_epochs": 1}
        command = [sys.executable, "-m", "edge_experts.agents.cli", "train", "--algo", "MoEPPO"]
        command += ["--env", "edge_experts/netmoe-v1", "--config", json.dumps(config), "--num-env-runners", "2"]
        command += ["--ray-address", cluster.address, "--stop", '{"env_steps": 1000000}']
        command += ["--local-dir", str(tmp_path), "--name", "run"]
        with open(tmp_path / "log", "w") as log:
            run = subprocess.Popen(command, stdout=log, stderr=log)
            rows = wait_for(lambda: rows_of(tmp_path / "run" / "results.jsonl"), lambda rows: len(rows) >= 2, run)
            assert all(row["env_runners"] == 2 for row in rows)
            cluster.remove_node(nodes[1], allow_graceful=False)
            rows = wait_for(
                lambda: rows_of(tmp_path / "run" / "results.jsonl"),
                lambda rows: len([row for row in rows if row["env_runners"] == 1]) >= 3,
                run,
            )
            steps = [row["env_steps"] for row in rows]
            assert steps == sorted(steps) and steps[-1] > [r for r in rows if r["env_runners"] == 2][-1]["env_steps"]
            run.terminate()  # finishes the iteration and saves
            assert run.wait(timeout=120) == 0
        said = (tmp_path / "log").read_text()
        assert "1 sampling process(es) lost at" in said and "1 of 2 at work" in said
        assert list((tmp_path / "run").glob("checkpoint_*"))
    finally:
        cluster.shutdown()


def wait_for(read: Any, enough: Any, run: subprocess.Popen[bytes], seconds: float = 180) -> Any:
    until = time.time() + seconds
    while not enough(read()):
        assert run.poll() is None, "training ended early"
        assert time.time() < until, "too slow"
        time.sleep(0.2)
    return read()


def test_an_address_where_nobody_answers(no_ray: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from edge_experts.agents.cli import main

    command = ["train", "--algo", "MoEPPO", "--env", "edge_experts/netmoe-v1", "--stop", '{"env_steps": 10}']
    assert main([*command, "--ray-address", "nowhere", "--local-dir", str(tmp_path)]) == 2
    assert "--ray-address: no Ray cluster answers at 'nowhere'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_runner_that_dies_comes_back_with_the_weights(ray_here: Any) -> None:
    """And evaluation runners play episodes of their own with the same weights."""
    import numpy as np

    from edge_experts.agents.algorithms.moe_ppo import MoEPPOConfig
    from edge_experts.agents.setup import set_up

    config = MoEPPOConfig().environment("edge_experts/netmoe-v1").debugging(seed=1)
    config.env_runners(num_env_runners=2, num_envs_per_env_runner=50)
    config.training(train_batch_size_per_learner=600, minibatch_size=300, num_epochs=1)
    config.evaluation(evaluation_interval=1, evaluation_num_env_runners=1, evaluation_duration=60)
    algorithm = set_up(config).build_algo()
    try:
        result = algorithm.train()
        assert result["env_runners"]["num_env_steps_sampled"] >= 600
        assert result["evaluation"]["env_runners"]["num_episodes"] >= 60
        assert np.isfinite(result["evaluation"]["env_runners"]["episode_return_mean"])
        actor = algorithm.env_runner_group._worker_manager.actors()[1]
        ray_here.kill(actor, no_restart=False)
        for _ in range(20):
            algorithm.train()
            if algorithm.env_runner_group.num_remote_worker_restarts() and (
                algorithm.env_runner_group.num_healthy_remote_workers() == 2
            ):
                break
            time.sleep(0.5)
        assert algorithm.env_runner_group.num_healthy_remote_workers() == 2
        learned = algorithm.learner_group.get_weights()["user"]
        held = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: {k: v.numpy() for k, v in runner.module["user"].state_dict().items()},
            local_env_runner=False,
        )
        assert len(held) == 2
        for weights in held:
            for name, value in weights.items():
                np.testing.assert_array_equal(value, learned[name])
    finally:
        algorithm.stop()
