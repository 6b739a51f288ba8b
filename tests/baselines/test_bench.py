"""The benchmark: cells, resuming, algorithms from outside, the leaderboard, deviators, cross-play."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from building import scalars

from edge_experts.agents.algorithms.ppo_loop import PPOSettings
from edge_experts.agents.checkpoints.policy import CheckpointPolicy
from edge_experts.agents.cli import build_parser
from edge_experts.agents.cli import main as rllib
from edge_experts.agents.job import Job
from edge_experts.agents.score_reference import stored_references
from edge_experts.baselines.bench.cell import job_of, run_cell
from edge_experts.baselines.bench.protocol import Task, kind_of, load_benchmark, name_of, select_cells
from edge_experts.baselines.bench.scheduler import _write_references
from edge_experts.baselines.cli import main
from edge_experts.baselines.evaluation.crossplay import crossplay
from edge_experts.baselines.evaluation.exploit import WARM, exploit
from edge_experts.baselines.heuristics.array_policy import ArrayPolicy, load_array_policy
from edge_experts.baselines.heuristics.policies import make_policy
from edge_experts.baselines.leaderboard.data import Leaderboard
from edge_experts.baselines.leaderboard.page import BEGIN, END, REACHED, digest, page, presets, with_block
from edge_experts.baselines.leaderboard.tables import (
    env_table,
    heldout_table,
    measures_table,
    overall_table,
    scores_table,
)
from edge_experts.baselines.provenance import provenance
from edge_experts.envs import World, load_scenario, shipped_ids
from edge_experts.envs.scenarios import parse_overrides

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PRESETS = sorted(p.stem for p in (ROOT / "configs" / "train").glob("*.py") if p.stem not in ("__init__", "common"))
SMALL = """
envs: [small.yaml]
seeds: 1
episodes: 4
curve_points: 2
curve_episodes: 2
demonstrations: {policy: myopic, episodes: 2}
algorithms:
  ppo: {title: PPO, preset: ppo, config: &fast {
    num_envs_per_env_runner: 8, train_batch_size_per_learner: 64, minibatch_size: 32}}
  dense_ppo: {title: dense, preset: dense_ppo, config: *fast}
  moe_ppo: {title: MoE-PPO, preset: moe_ppo, config: *fast}
  bc: {title: BC, preset: bc, demonstrations: true, config: {updates: 4, train_batch_size_per_learner: 16}}
"""
OUTSIDE = '''
import numpy as np


class FirstLegal:
    """Plays the first legal choice of every part."""

    def act(self, observations, masks):
        expert, power = masks["user"][..., :-4], masks["user"][..., -4:]
        return {"user": np.stack([expert.argmax(-1), power.argmax(-1)], axis=-1)}


def too_short(observations, masks):
    return {"user": np.zeros((1, 1), int)}


def one_number(observations, masks):
    return 3


def __getattr__(name):  # an RLlib algorithm, which is slow to import
    if name == "Mine":
        from ray.rllib.algorithms.ppo import PPO

        class Mine(PPO):
            @classmethod
            def get_default_config(cls):
                small = {"train_batch_size_per_learner": 64, "minibatch_size": 32}
                return super().get_default_config().env_runners(num_env_runners=0).training(**small)

        return Mine
    raise AttributeError(name)
'''


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small scenario, a protocol and somebody's algorithms."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(
        "id: me/small-v0\nexperts: [gemma-7b-it, reka-flash, phi-3-mini-128k]\nproviders: {count: 2}\n"
        "devices: {count: 3}\nepisode: {slots: 8}\n"
    )
    (tmp_path / "bench.yaml").write_text(SMALL)
    (tmp_path / "mine.py").write_text(OUTSIDE)
    return tmp_path


def results(folder: Path) -> dict[str, Any]:
    return {
        f"{path.parent.name}/{path.stem}": json.loads(path.read_text())
        for path in folder.glob("results/bench/*/*/*.json")
    }


# --- cells ----------------------------------------------------------------------------------------------------------


def test_the_shipped_benchmark_is_what_is_asked_of_it() -> None:
    benchmark = load_benchmark()
    assert set(benchmark.envs) == set(shipped_ids())
    cells = select_cells(benchmark)
    for name, least in {"moe_ppo": 5, "dense_ppo": 5, "ppo": 5}.items():
        assert sum(cell.name == name for cell in cells) >= 3 * least
    for name in benchmark.algorithms:
        assert sum(cell.name == name for cell in cells) >= 9, name
    assert {entry.preset for entry in benchmark.algorithms.values()} == {*PRESETS} - {"generalist"}
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    for cell in cells[:20]:
        job = job_of(cell, 1000, benchmark.curve_points, Path("runs"))
        assert job.file is not None and job.file.is_file() and (job.seed, job.env) == (cell.seed, cell.env)


def test_a_task_is_the_same_after_it_was_written_and_read() -> None:
    """All that a cell's process is told, for every algorithm of the benchmark."""
    benchmark = load_benchmark()
    for cell in select_cells(benchmark):
        places = {"runs": Path("runs"), "results": Path("results"), "references": Path("references.json")}
        task = Task(cell=cell, benchmark=benchmark, **places)
        assert Task.from_json(task.to_json()) == task


def test_the_command_of_a_job_is_the_job() -> None:
    """What a result says of how it came about, read again by the command line."""
    job = Job(
        file=Path("configs/train/ppo.py"),
        env="text-v1",
        config={"hidden": [8, 8]},
        stop={"env_steps": 100},
        overrides={"devices.count": 8, "title": "a: b"},
        reward="private",
        num_env_runners=0,
        seed=3,
        checkpoint_steps=50,
        resume=True,
        name="x",
    )
    arguments = vars(build_parser().parse_args(job.command()[1:]))
    assert arguments.pop("source") == ["file", str(job.file)] and arguments.pop("command") == "train"
    changes = parse_overrides(arguments.pop("set"))
    given = {name: value for name, value in arguments.items() if value is not None}
    assert Job(**given, file=job.file, overrides=changes) == job


WRONG = {
    "algos": (["bench", "--algos", "moe_pp"], "--algos: 'moe_pp' is not in the benchmark; did you mean 'moe_ppo'?"),
    "envs": (["bench", "--envs", "CartPole-v1"], "--envs: 'CartPole-v1' is not one of ours"),
    "seeds": (["bench", "--seeds", "0"], "--seeds: 0 must be 1 or more"),
    "file": (["bench", "--benchmark", "no.yaml"], "--benchmark: there is no file 'no.yaml'"),
    "reference": (["bench", "--algo", "mine"], "--algo: 'mine' must be module:name or file.py:name"),
    "module": (["bench", "--algo", "mine.py:nothing"], "--algo: 'mine.py' has no 'nothing'"),
    "no act": (["bench", "--algo", "mine.py:np"], "is neither an RLlib Algorithm class nor something that can act"),
    "report": (["report", "--results", "nowhere"], "report: there are no results under 'nowhere'"),
    "exploit": (["exploit", "nobody", "--env", "small.yaml"], "policy: 'nobody' is not known"),
    "starts": (["exploit", "myopic", "--env", "small.yaml", "--starts", "0"], "--starts: 0 must be 1 or more"),
    "crossplay": (["crossplay", "myopic", "--env", "small.yaml", "--episodes", "1"], "--episodes: 1 must be 2 or more"),
    "twice": (["crossplay", "random", "random", "--env", "small.yaml"], "policies: 'random' is given twice"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_line(case: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = WRONG[case]
    before = sorted(workplace.rglob("*"))
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown and shown.count("\n") == 1
    assert [path for path in sorted(workplace.rglob("*")) if "__pycache__" not in str(path)] == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("algorithms:\n  x: {presett: ppo}", "algorithms.x.presett"),
        ("seeds: 0", "seeds: 0 is not valid: Input should be greater than or equal to 1"),
        ("envs: 3", "envs"),
        ("a: [", "not valid YAML"),
    ],
)
def test_protocols_are_checked(change: str, message: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = change if "[" in change else f"envs: [small.yaml]\nalgorithms: {{}}\n{change}"
    lines = {line.partition(":")[0]: line for line in text.split("\n") if not line.startswith(" ")}
    nested = [line for line in text.split("\n") if line.startswith(" ")]
    (workplace / "bench.yaml").write_text("\n".join([*lines.values(), *nested]) + "\n")
    assert main(["bench", "--benchmark", "bench.yaml", "--list"]) == 2
    assert message in capsys.readouterr().err


def test_cells_are_filled_once_and_hold_where_they_come_from(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = ["bench", "--benchmark", "bench.yaml", "--steps", "128", "--jobs", "2"]
    assert main([*bench, "--algos", "moe_ppo", "bc", "--algo", "mine.py:FirstLegal"]) == 0
    found = results(workplace)
    assert set(found) == {"moe_ppo/seed_0", "bc/seed_0", "mine.FirstLegal/seed_0"}
    one = found["moe_ppo/seed_0"]
    assert one["env_steps"] >= 128 and len(one["curve"]) == 2 and one["curve"][-1]["cpu_time_s"] > 0
    assert one["command"].startswith("rllib train file configs/train/moe_ppo.py --env small.yaml --seed 0")
    assert set(one["parameters"]) == {"user", "provider"} and one["router"]["user"]["load"]
    for name in ("welfare_ratio", "gini_index", "worst_decile", "jain_index", "returns"):
        assert name in one["measures"]
    assert one["provenance"]["versions"]["torch"] and one["provenance"]["scenario_hash"] and one["episodes"] == 4
    assert found["mine.FirstLegal/seed_0"]["env_steps"] == 0 and found["bc/seed_0"]["env_steps"] >= 128
    assert len(list((workplace / "runs/bench/small/moe_ppo/seed_0").glob("checkpoint_*"))) == 1
    # nothing is done twice, and one that is taken away is made again, the same
    stamp = {path: path.stat().st_mtime_ns for path in workplace.glob("results/bench/*/*/*.json")}
    bc = workplace / "results/bench/small/bc/seed_0.json"
    bc.unlink()
    assert main([*bench, "--algos", "moe_ppo", "bc"]) == 0
    again = {path: path.stat().st_mtime_ns for path in workplace.glob("results/bench/*/*/*.json")}
    assert {path for path in stamp if stamp[path] != again[path]} == {bc}
    assert results(workplace)["bc/seed_0"]["normalised_score"] == found["bc/seed_0"]["normalised_score"]
    capfd.readouterr()
    assert main([*bench, "--list"]) == 0
    listed = capfd.readouterr().out
    assert listed.count("done") == 2 and listed.count("missing") == 2


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]


def wait_for(condition: Callable[[], Any], child: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def cells_of(child: subprocess.Popen[bytes], name: str) -> list[psutil.Process]:
    """The processes that a benchmark has started for its cells."""
    family = psutil.Process(child.pid).children(recursive=True)
    return [process for process in family if name in process.cmdline()]


def test_a_killed_benchmark_goes_on_where_it_was(workplace: Path) -> None:
    bench = ["bench", "--benchmark", "bench.yaml", "--algos", "ppo", "--steps", "3000"]
    child = subprocess.Popen([BIN / "edge-experts", *bench], cwd=workplace)
    run = workplace / "runs/bench/small/ppo/seed_0"
    wait_for(lambda: list(run.glob("checkpoint_*")), child)
    first = rows_of(run)[0]
    assert cells_of(child, "edge_experts.baselines.bench")
    family = psutil.Process(child.pid).children(recursive=True)
    for process in (child, *family):
        process.kill()
    child.wait(60)
    assert not results(workplace)
    assert main(bench) == 0
    rows = rows_of(run)
    assert rows[0] == first and rows[-1]["env_steps"] >= 3000
    assert [row["training_iteration"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(results(workplace)["ppo/seed_0"]["curve"]) >= 2


def test_a_cell_that_is_told_to_stop_goes_on_where_it_was(
    workplace: Path, ray_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM comes in the middle of its first iteration."""
    from ray.rllib.algorithms.algorithm import Algorithm

    train = Algorithm.train

    def stop_and_train(algorithm: Algorithm) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return train(algorithm)

    benchmark = replace(load_benchmark(Path("bench.yaml")), steps=256)
    (cell,) = select_cells(benchmark, ["ppo"])
    runs, kept = Path("runs/bench"), Path("results/bench")
    references = _write_references({"small.yaml"}, benchmark, runs)
    task = Task(cell=cell, benchmark=benchmark, runs=runs, results=kept, references=references)
    with monkeypatch.context() as patch:
        patch.setattr(Algorithm, "train", stop_and_train)
        with pytest.raises(InterruptedError, match="stopped after 64 of 256 steps: the next call goes on from there"):
            run_cell(task)
    assert not results(workplace)  # none of a run that was told to stop
    run = cell.folder(runs)
    (first,) = rows_of(run)
    run_cell(task)
    rows = rows_of(run)
    assert rows[0] == first and rows[-1]["env_steps"] >= 256
    assert [row["training_iteration"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(results(workplace)["ppo/seed_0"]["curve"]) >= 2


IDLE = """
import subprocess, sys
from edge_experts.baselines.bench import scheduler
from edge_experts.baselines.cli import main

scheduler._start = lambda *task: subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", "idle cell"])
sys.exit(main(sys.argv[1:]))
"""


def test_a_terminated_benchmark_ends_its_cells(workplace: Path) -> None:
    """Here they are idle; what a real one does stands above."""
    bench = ["bench", "--benchmark", "bench.yaml", "--algos", "ppo", "dense_ppo", "--steps", "64", "--jobs", "2"]
    child = subprocess.Popen([sys.executable, "-c", IDLE, *bench], cwd=workplace)
    wait_for(lambda: len(cells_of(child, "idle cell")) == 2, child)
    cells = cells_of(child, "idle cell")
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 130 and not [cell for cell in cells if cell.is_running()]
    assert not results(workplace)


def test_two_benchmarks_at_a_time_do_not_run_the_same_cell(workplace: Path) -> None:
    bench = ["bench", "--benchmark", "bench.yaml", "--algos", "bc", "--steps", "128"]
    other = subprocess.Popen([BIN / "edge-experts", *bench], cwd=workplace)
    assert main(bench) == 0 and other.wait(240) == 0
    rows = rows_of(workplace / "runs/bench/small/bc/seed_0")
    assert [row["training_iteration"] for row in rows] == list(range(1, len(rows) + 1))
    assert len((workplace / "runs/bench/small/bc/seed_0.log").read_text().split("wrote ")) == 2  # trained once


def test_a_cell_that_fails_is_named_and_its_log_kept(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = SMALL.replace("train_batch_size_per_learner: 64, minibatch_size: 32", "train_batch_size_per_learner: -1")
    (workplace / "bench.yaml").write_text(text)
    assert main(["bench", "--benchmark", "bench.yaml", "--algos", "ppo", "--steps", "64"]) == 1
    assert "failed: ppo on small.yaml, seed 0: see runs/bench/small/ppo/seed_0.log" in capfd.readouterr().err
    assert "train_batch_size_per_learner" in (workplace / "runs/bench/small/ppo/seed_0.log").read_text()


# --- from outside ---------------------------------------------------------------------------------------------------


def test_what_comes_from_outside_is_told_apart(workplace: Path) -> None:
    assert kind_of("mine.py:FirstLegal") == kind_of("mine.py:too_short") == "policy"
    assert kind_of("ray.rllib.algorithms.ppo:PPO") == kind_of("mine.py:Mine") == "algorithm"
    assert name_of("mine.py:FirstLegal") == "mine.FirstLegal" and name_of("my_pkg.algos:Mine") == "my_pkg.algos.Mine"


def test_policies_from_outside_see_rows_and_play_legal_actions(workplace: Path) -> None:
    world = World(load_scenario("small.yaml"), 5, seed=1)
    world.reset()
    policy = load_array_policy("mine.py:FirstLegal")
    users, providers = policy.act(world)
    assert users.shape == (5, 3, 2) and providers is None
    world.step(users, providers)
    assert not world.state.users.invalid.any()
    shapes = r"actions of users are int64 of shape \(1, 1\), expected integers of shape \(5, 3, 2\)"
    for name, message in (
        ("too_short", f"mine.py:too_short: {shapes}"),
        ("one_number", "mine.py:one_number: returned a int, expected actions by role"),
    ):
        with pytest.raises(ValueError, match=message):
            load_array_policy(f"mine.py:{name}").act(world)
    shown = []
    ArrayPolicy(lambda observations, masks: shown.append((observations, masks)) or {}, "x").act(world)
    assert shown[0][0]["user"].shape == world.views.users.shape and shown[0][1]["provider"].shape[:2] == (5, 2)


def test_an_algorithm_from_outside_is_trained(workplace: Path) -> None:
    bench = ["bench", "--benchmark", "bench.yaml", "--steps", "64", "--seeds", "1", "--envs", "small.yaml"]
    assert main([*bench, "--algo", "mine.py:Mine"]) == 0
    one = results(workplace)["mine.Mine/seed_0"]
    assert one["env_steps"] >= 64 and "--algo mine.py:Mine" in one["command"]


# --- presets --------------------------------------------------------------------------------------------------------

LOSSES = {
    "bc": {"policy_loss"},
    "mappo": {"policy_loss"},
    "sac": {"policy_loss", "qf_loss"},
    "sac_box": {"policy_loss", "qf_loss"},
    "d2sac": {"policy_loss", "qf_loss"},
    "dqn": {"qf_loss"},
    "impala": {"mean_pi_loss", "vf_loss"},
}  # of others, those of policy and value


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_through_the_command_and_its_checkpoint_is_evaluated(
    preset: str, workplace: Path, ray_here: Any
) -> None:
    """And between its checkpoints the networks have learned."""
    import torch

    small = {"num_envs_per_env_runner": 4, "train_batch_size_per_learner": 32, "hidden": [8]}
    if preset in ("bc", "marwil"):
        where = ["--env", "small.yaml", "--episodes", "2", "--save", "runs/demonstrations/small.yaml"]
        assert main(["demonstrate", "myopic", *where]) == 0
        small |= {"updates": 2}
    elif preset in ("dqn", "sac", "sac_box", "d2sac"):
        small |= {"num_steps_sampled_before_learning_starts": 0, "train_batch_size_per_learner": 8}
        small |= {"min_sample_timesteps_per_iteration": 64}
    elif preset in ("appo", "impala"):
        small |= {"min_sample_timesteps_per_iteration": 512}  # they report now and then
    else:
        small |= {"minibatch_size": 16}
    file = str(ROOT / "configs" / "train" / f"{preset}.py")
    job = ["train", "file", file, "--env", "small.yaml", "--config", json.dumps(small), "--name", "job"]
    assert rllib([*job, "--stop", '{"training_iteration": 1}']) == 0
    assert rllib([*job, "--stop", '{"training_iteration": 2}', "--resume"]) == 0
    rows = rows_of(Path("runs/job"))
    assert [row["training_iteration"] for row in rows] == [1, 2] and rows[-1]["env_steps"] >= 64
    before, after = (CheckpointPolicy(f"runs/job/checkpoint_00000{i}").modules for i in (1, 2))
    for name, module in after.items():
        first, last = before[name].state_dict(), module.state_dict()
        assert any(not torch.equal(first[key], last[key]) for key in first if "weight" in key), name
        assert all(torch.isfinite(value).all() for value in last.values()), name
    told = scalars(Path("runs/job"))  # of losses, those that are finite
    learner = "learners/user_0" if preset == "ippo" else "learners/user"
    losses = LOSSES.get(preset, {"policy_loss", "vf_loss"})
    assert losses <= {name.removeprefix(f"{learner}/") for name in told}
    assert (f"{learner}/vf_loss" in told) == ("vf_loss" in losses) and ("learners/critic/vf_loss" in told) == (
        preset == "mappo"
    )
    checkpoint = "runs/job/checkpoint_000002"
    assert main(["evaluate", f"ours={checkpoint}", "--env", "small.yaml", "--episodes", "2", "--json", "e.json"]) == 0
    result = json.loads(Path("e.json").read_text())
    assert (
        result["policy"] == "ours"
        and result["invalid_actions"] == 0
        and np.isfinite(result["normalised_score"]["mean"])
    )
    assert rllib(["evaluate", checkpoint, "--episodes", "1"]) == 0


# --- the leaderboard ------------------------------------------------------------------------------------------------


def made_up(name: str, env: str, seed: int, score: float, **more: Any) -> dict[str, Any]:
    """A result as a cell writes it, for tests of tables alone."""
    scenario = load_scenario(env)
    point = {"env_steps": 100, "time_total_s": 2.0, "cpu_time_s": 1.0, "normalised_score": score / 2}
    last = {"env_steps": 200, "time_total_s": 4.0, "cpu_time_s": 2.0, "normalised_score": score}
    measures = {
        "welfare_ratio": score,
        "returns": {"user": {"mean": 1.0}, "provider": {"mean": 2.0}},
        **dict.fromkeys(("worst_decile", "jain_index", "gini_index", "quality", "deadline_miss_rate"), 0.5),
        "latency_s": {"p95": 3.0},
    }
    return {
        "name": name,
        "title": name.upper(),
        "preset": name,
        "config": {},
        "env": env,
        "seed": seed,
        "normalised_score": score,
        **{key: last[key] for key in ("env_steps", "time_total_s", "cpu_time_s")},
        "curve": [point, last],
        "parameters": {"user": 10},
        "router": {},
        "measures": measures,
        "heldout": {f"{env[:-3]}-heldout-prompts-v1": {"normalised_score": score - 0.1}},
        "provenance": provenance(scenario),
        **more,
    }


@pytest.fixture
def board() -> Leaderboard:
    envs = ("edge_experts/netmoe-v1", "edge_experts/text-v1")
    rows = [made_up("ppo", env, seed, 0.5 + 0.01 * seed) for env in envs for seed in range(4)]
    rows += [made_up("dqn", env, seed, 0.3 + 0.01 * seed) for env in envs for seed in range(3)]
    rows += [made_up("moe_ppo", envs[1], 0, 0.9)]
    return Leaderboard(rows, stored_references())


def test_tables_hold_what_the_results_say(board: Leaderboard) -> None:
    assert board.envs == ["edge_experts/netmoe-v1", "edge_experts/text-v1"]
    assert board.names == ["ppo", "dqn"] and board.ranked("edge_experts/text-v1") == ["moe_ppo", "ppo", "dqn"]
    assert board.partial == ["moe_ppo"] and board.seeds("moe_ppo") == "1"
    last = scores_table(board).splitlines()[4]
    assert last == "| **MOE_PPO** | - | 1 | - | 0.900 | - | - |", "shown, and not ranked"
    table = env_table(board, "edge_experts/text-v1")
    assert "| PPO | 4 | 0.515 [0.494, 0.536] | " in table and "| MOE_PPO | 1 | 0.900 |" in table
    assert "*coordinated*" in table and board.common_time("edge_experts/text-v1") == 2.0
    assert board.runs_at("edge_experts/text-v1", "ppo", 1.5).tolist() == [0.25, 0.255, 0.26, 0.265]
    assert (board.runs_at("edge_experts/text-v1", "ppo", 0.5) == 0).all()
    rows = [r for by_name in board.cells.values() for runs in by_name.values() for r in runs]
    quick = Leaderboard([*rows, made_up("bc", "edge_experts/text-v1", 0, 0.4, cpu_time_s=0.5)], stored_references())
    assert quick.common_time("edge_experts/text-v1") == 2.0  # of PPO, not of what is done sooner
    more = [made_up("moe_ppo", "edge_experts/netmoe-v1", seed, 0.9) for seed in range(2)]
    uneven = Leaderboard([*rows, *more], stored_references())
    assert board.seeds("ppo") == "4" and uneven.seeds("moe_ppo") == "1 to 2"
    assert [runs.tolist() for runs in uneven.scores("moe_ppo")] == [[0.9], [0.9]]  # of seed 0, which ran on both
    assert [runs.tolist() for runs in uneven.heldout_scores("moe_ppo")] == [[0.8], [0.8]]
    assert "| DQN | 3 | 0.31 [0.30, 0.32] | 0.69 [0.68, 0.70] | 0.00 [0.00, 0.00] |" in overall_table(board)
    assert "0.415" in heldout_table(board, "edge_experts/text-v1") and "0.50" in measures_table(
        board, "edge_experts/text-v1"
    )
    alone = [made_up("ppo", "edge_experts/netmoe-v1", seed, 0.5 + 0.1 * seed, heldout={}) for seed in range(3)]
    mine = Leaderboard(alone, {})
    for shown in (overall_table(mine), scores_table(mine), env_table(mine, mine.envs[0])):
        assert "held-out" not in shown and "nan" not in shown  # a market of one's own, without twins
    mixed = Leaderboard([*alone, *(made_up("ppo", "edge_experts/text-v1", seed, 0.4) for seed in range(3))], {})
    assert "0.30" in overall_table(mixed) and "nan" not in overall_table(mixed)
    assert digest(board) != digest(Leaderboard([made_up("ppo", board.envs[0], 0, 0.5)], {}))
    text = page(board)
    assert text.count("## ") == 3 and "bench_curves_text-v1.png" in text


def test_games_are_told_by_the_names_of_algorithms(board: Leaderboard, tmp_path: Path) -> None:
    policy = "runs/bench/text-v1/ppo/seed_1/checkpoint_000007"
    deviation = {"agent": "user_0", "gain": {"mean": 1.0, "low": 0.5, "high": 1.5}, "before": 3.0, "start": WARM}
    how = {"env": "edge_experts/text-v1", "explore": True, "episodes": 20}
    games = {
        "exploit": {
            **how,
            "steps": 2048,
            "starts": 2,
            "command": "edge-experts exploit x",
            "deviations": {policy: {"user": deviation}},
        },
        "cross": {**how, "explore": False, "policies": [policy, "random"], "matrix": [[0.5, 0.1], [0.2, 0.0]]},
    }
    rows = [r for by_name in board.cells.values() for runs in by_name.values() for r in runs]
    told = page(Leaderboard(rows, stored_references(), games))
    assert f"| text-v1 | PPO, seed 1 | user | 3.00 | +1.000 [+0.500, +1.500] | {WARM} |" in told
    assert "| PPO, seed 1 | 0.500 | 0.100 |\n| random | 0.200 | 0.000 |" in told
    assert (
        "20 episodes, checkpoints draw their actions; 2,048 steps from each of 2 starts; `edge-experts exploit x`.\n"
        in told
    )
    assert "edge_experts/text-v1: 20 episodes, checkpoints take their most likely actions.\n" in told
    assert "## Deviators" not in page(board) and "## Cross-play" not in page(board)


def test_a_block_is_replaced_and_nothing_else(board: Leaderboard, tmp_path: Path) -> None:
    text = with_block(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new")
    assert text == f"before\n{BEGIN}\nnew\n{END}\nafter\n" and with_block(text, "new") == text
    with pytest.raises(ValueError, match="has no lines"):
        with_block("nothing", "new")
    (tmp_path / "ppo.py").write_text('"""PPO.\n\nMore of it."""\n\nx = 1\n')
    (tmp_path / "a2c.py").write_text('"""A2C."""\n')
    for _ in range(2):  # saying it again changes nothing
        for path, told in presets(board, tmp_path).items():
            path.write_text(told)
        told = (tmp_path / "ppo.py").read_text()
        assert told.startswith(
            '"""PPO.\n\nMore of it.\n\nrllib train file configs/train/ppo.py --env'
        ) and told.endswith("x = 1\n")
        assert told.count(REACHED) == 1 and "    text-v1: 0.515 [0.494, 0.536], 200 steps, seeds 0, 1, 2, 3\n" in told
    assert REACHED not in (tmp_path / "a2c.py").read_text()


def test_the_report_is_made_from_a_folder(board: Leaderboard, workplace: Path) -> None:
    for result in [r for by_name in board.cells.values() for runs in by_name.values() for r in runs]:
        path = (
            workplace
            / "results/bench"
            / result["env"].rpartition("/")[2]
            / result["name"]
            / f"seed_{result['seed']}.json"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))
    (workplace / "READ.md").write_text(f"{BEGIN}\n{END}\n")
    assert main(["report", "--readme", "READ.md"]) == 0
    assert "| **MOE_PPO** | - | 1 | - |" in (workplace / "READ.md").read_text()  # not on every environment
    assert (workplace / "results/leaderboard.md").read_text() == page(
        Leaderboard.load(Path("results/bench"), stored_references())
    )
    for name in ("scores", "profile", "curves_text-v1", "curves_netmoe-v1"):
        from PIL import Image

        with Image.open(workplace / f"results/images/bench_{name}.png") as picture:
            assert picture.info["Results"] == digest(board)
    path.write_text("{")
    assert main(["report"]) == 2


# --- deviators and cross-play ---------------------------------------------------------------------------------------


def test_a_deviator_finds_what_a_foolish_policy_leaves(workplace: Path) -> None:
    """Everybody waits: a user that serves itself gains, and says how much; against the best reply it gains less."""

    class Idle:
        def act(self, world: World) -> Any:
            actions = world.default_actions("user")
            actions[..., 0] = world.sizes.X
            return actions, None

    scenario = load_scenario("small.yaml", {"providers.act": False, "episode.slots": 16})
    settings = PPOSettings(slots=16)
    found = exploit(lambda world: Idle(), scenario, starts=1, episodes=30, steps=20_000, settings=settings)
    assert set(found) == {"user"} and found["user"].gain.low > 0
    assert found["user"].before <= 0 and found["user"].start == "fresh network 0"
    clever = exploit(lambda world: make_policy("myopic", world), scenario, 1, 30, 20_000, settings)
    assert clever["user"].gain.mean < found["user"].gain.mean


def test_deviators_of_a_checkpoint_begin_from_itself(
    workplace: Path, ray_here: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"num_envs_per_env_runner": 4, "train_batch_size_per_learner": 32, "minibatch_size": 16, "hidden": [8]}
    small["num_env_runners"] = 0
    job = ["train", "--algo", "PPO", "--env", "small.yaml", "--config", json.dumps(small), "--name", "job"]
    assert rllib([*job, "--stop", '{"training_iteration": 1}']) == 0
    arguments = ["ours=runs/job/checkpoint_000001", "--env", "small.yaml", "--episodes", "4"]
    assert main(["exploit", *arguments, "--explore", "--steps", "2048", "--starts", "2", "--json", "x.json"]) == 0
    data = json.loads(Path("x.json").read_text())
    for deviation in data["deviations"]["ours"].values():
        assert set(deviation["starts"]) == {WARM, "fresh network 1"} and set(deviation["gain"]) == {
            "mean",
            "low",
            "high",
        }
    assert data["explore"] is True and data["command"].startswith(
        "edge-experts exploit ours=runs/job/checkpoint_000001 --env"
    )
    capsys.readouterr()
    assert main(["crossplay", *arguments[:1], "random", *arguments[1:], "--json", "c.json"]) == 0
    matrix = np.array(json.loads(Path("c.json").read_text())["matrix"])
    assert matrix.shape == (2, 2) and matrix[1, 1] == pytest.approx(0.0) and matrix[0, 0] != matrix[0, 1]
    assert main(["crossplay", *arguments[:1], "random", *arguments[1:], "--explore", "--json", "drawn.json"]) == 0
    drawn = np.array(json.loads(Path("drawn.json").read_text())["matrix"])
    assert drawn[0, 0] != matrix[0, 0] and drawn[1, 1] == matrix[1, 1]
    assert "| random |" in capsys.readouterr().out


def test_who_was_not_there_in_training_plays_as_another(workplace: Path, ray_here: Any) -> None:
    """Held-out twins may have more agents than there are independent policies."""
    from edge_experts.agents.checkpoints.metadata import CheckpointError

    small = {"num_envs_per_env_runner": 4, "train_batch_size_per_learner": 32, "minibatch_size": 16, "hidden": [8]}
    preset = str(ROOT / "configs" / "train" / "ippo.py")
    job = ["train", "file", preset, "--env", "small.yaml", "--config", json.dumps(small), "--name", "job"]
    assert rllib([*job, "--stop", '{"training_iteration": 1}']) == 0
    policy = CheckpointPolicy("runs/job/checkpoint_000001")
    crowd = World(load_scenario("small.yaml", {"devices.count": 5}), 2)
    crowd.reset()
    players = {f"{g.role}_{i}": g.module for g in policy.groups(crowd) for i in g.agents}
    assert {agent: player for agent, player in players.items() if agent != player} == {
        "user_3": "user_0",
        "user_4": "user_1",
    }
    users, providers = policy.act(crowd)
    assert users is not None and users.shape == (2, 5, 2)
    crowd.step(users, providers)
    assert not crowd.state.users.invalid.any()
    del policy.modules["provider_0"], policy.modules["provider_1"]
    with pytest.raises(CheckpointError, match="has no policy for 'provider_0' of me/small-v0"):
        policy.act(crowd)


def test_crossplay_of_a_policy_with_itself_is_its_score() -> None:
    scenario = load_scenario("edge_experts/text-v1", {"episode.slots": 20})
    makers = {name: (lambda world, name=name: make_policy(name, world)) for name in ("myopic", "shortest_queue")}
    matrix = crossplay(makers, scenario, 6)
    from edge_experts.baselines.evaluation.evaluate import evaluate

    alone = evaluate(["myopic", "shortest_queue"], scenario, 6)
    np.testing.assert_allclose(np.diag(matrix), [r["normalised_score"]["mean"] for r in alone], atol=1e-9)
    assert matrix[0, 1] != matrix[1, 0]
