"""The speed command: what it measures, what it reports, what it refuses. Never how fast anything is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from building import broken, busy, waiting

from edge_experts.baselines.cli import main
from edge_experts.baselines.speed import cases, growth
from edge_experts.baselines.speed.measure import Measurement, SpeedCase, measure, speed_table
from edge_experts.envs import World


def test_cpu_and_wall_time_are_told_apart_and_failures_reported() -> None:
    cases = [
        SpeedCase("busy", "world", 3, 2, busy, {"seconds": 0.01}),
        SpeedCase("waiting", "world", 1, 1, waiting, {"seconds": 0.01}),
        SpeedCase("broken", "peer", 1, 1, broken),
        SpeedCase("alone", "training", 1, 1, busy, {"seconds": 0.01}, alone=True),
    ]
    found = {one.name: one for one in measure(cases, rounds=2, seconds=0.2)}
    assert found["busy"].cpu_env_steps == pytest.approx(200, rel=0.5)  # two worlds, ten milliseconds a step
    assert found["busy"].cpu_agent_steps == pytest.approx(3 * found["busy"].cpu_env_steps)
    assert found["waiting"].wall_env_steps < 110 and found["waiting"].cpu_env_steps > 500
    assert found["alone"].rounds == 2 and found["busy"].peak_mb > 10
    assert found["broken"].error == "OSError: no such user" and found["broken"].rounds == 0
    table = speed_table(list(found.values()))
    assert "not measured: OSError: no such user" in table and table.count("\n") == 5


def test_peers_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "find_spec", lambda name: name == "mpe2" or None)
    assert {case.make for case in cases.peer_cases()} == {cases.mpe_step}
    monkeypatch.setattr(cases, "find_spec", lambda name: None)
    assert cases.peer_cases() == []


def test_all_cases_of_ours_step() -> None:
    """In this process, a few steps each."""
    for case in cases.engine_cases():
        if case.worlds <= 1024:
            case.make(**{**case.options, **({"n_worlds": 2} if "n_worlds" in case.options else {})})(3)
    names = [case.name for case in cases.training_cases(grid=True)]
    assert len(names) == len(set(names)) == 19


def test_more_experts_than_the_tables_hold() -> None:
    assert callable(cases.experts_step(n_worlds=1, experts=20))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    some = [case for case in cases.engine_cases() if case.agents in (4, 20) and case.worlds in (1, 32, 4096)]
    assert {case.group for case in some} == {"agents", "view", "world"}
    monkeypatch.setattr(cases, "engine_cases", lambda: some)
    files = [tmp_path / "speed.json", tmp_path / "speed.png"]
    short = ["--rounds", "1", "--seconds", "0.02", "--json", str(files[0]), "--plot", str(files[1])]
    assert main(["speed", "--only", "view", "world", *short]) == 0
    data = json.loads(files[0].read_text())
    rows = [Measurement(**row) for row in data["measurements"]]
    assert {row.group for row in rows} == {"view", "world"} and all(row.error is None for row in rows)
    assert all(row.cpu_agent_steps > 1000 and row.peak_mb > 50 for row in rows)
    assert data["machine"]["cpus"] >= 1 and data["versions"]["numba"] and data["rounds"] == 1
    assert files[1].stat().st_size > 10_000 and files[1].read_bytes()[:4] == b"\x89PNG"
    assert speed_table(rows).split("\n")[0] in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == sorted(files)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--rounds", "0", "--rounds: 0 must be 1 or more"),
        ("--seconds", "-1", "--seconds: -1 must be positive"),
        ("--json", "speed.txt", "must end in .json"),
        ("--plot", "speed.txt", "must end in .png or .svg"),
        ("--json", "nowhere/speed.json", "there is no folder"),
    ],
)
def test_bad_input(option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", option, value]) == 2
    assert said in capsys.readouterr().err


def test_the_bare_loop_learns_what_it_is_compared_with() -> None:
    config = cases._training_config()
    config.minibatch_size, config.num_epochs, config.train_batch_size_per_learner = 64, 2, 8 * 32
    world = World(config.env, 8, seed=1, overrides=config.env_config["overrides"])
    torch.manual_seed(0)
    trainees, iterate = cases.bare_loop(world, config)
    before = [trainee.module.policy.layer.weight.detach().clone() for trainee in trainees]
    rewards = [iterate() for _ in range(12)]
    assert np.mean(rewards[-3:]) > np.mean(rewards[:3])
    assert all(not torch.equal(old, t.module.policy.layer.weight) for old, t in zip(before, trainees, strict=True))
    assert [trainee.role for trainee in trainees] == ["user", "provider"]
    through_rllib = sum(weight.numel() for weight in trainees[0].module.parameters())
    assert through_rllib > 30_000  # the mixture, not a small stand-in


def test_growth_is_told_from_what_was_measured(tmp_path: Path) -> None:
    def one(name: str, worlds: int, us: float) -> Measurement:
        rate = 1e6 * (worlds if name.endswith("worlds") else 1) / us
        return Measurement(name, "growth", 20, worlds, 1, rate, rate, rate, rate, rate, 1.0)

    rows = [one(f"{n:,} agents", 4, 3.0 * n) for n in (8, 1024, 128)] + [one(f"{n} experts", 4, 5.0) for n in (4, 8)]
    pairs = [(size, growth.cost(growth.AGENTS, m)) for size, m in growth.sizes_of(rows, growth.AGENTS)]
    assert pairs == [(8, pytest.approx(24)), (128, pytest.approx(384)), (1024, pytest.approx(3072))]
    assert growth.slope(pairs) == pytest.approx(1.0)
    assert growth.slope([(4, 5.0), (8, 5.0)]) == pytest.approx(0.0, abs=1e-9)
    assert growth.cost(growth.WORLDS, one("16 worlds", 16, 8.0)) == pytest.approx(8.0)
    growth.draw_growth(rows, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes()[:4] == b"\x89PNG"
    sent = {"batch_mb": 0.0, "weights_mb": 0.0, "env_steps": 100.0}
    assert growth.cluster_rate(4, 10.0, 40.0, sent) == pytest.approx(1 / (1 / 40 + 1 / 40))
    heavy = {**sent, "weights_mb": 1000.0}  # 4 GB at 10 Gbit/s: 3.2 s more
    assert growth.cluster_rate(4, 10.0, 40.0, heavy) == pytest.approx(100 / (2.5 + 2.5 + 3.2))


def test_every_size_can_be_measured() -> None:
    cases = {case.name: case for case in growth.growth_cases()}
    assert {"1,024 agents", "128 experts", "64 providers", "1 processes", growth.SAMPLING} <= set(cases)
    for name in ("1,024 agents", "64 providers", "4 experts"):
        case = cases[name]
        case.make(**{**case.options, "n_worlds": 1})(1)


def test_processes_step_beside_one_another() -> None:
    step = growth.processes_step(processes=2, n_worlds=1)
    step(2)  # waits for both


def test_the_halves_of_an_iteration(ray_here: Any) -> None:
    for make in (growth.sampling_step, growth.learning_step):
        step = make()
        step(1)
        step.close()  # type: ignore[attr-defined]
    assert 1 < growth.exchanged()["batch_mb"] < 1000
