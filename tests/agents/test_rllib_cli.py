"""The `rllib` command as users run it: trains, resumes, evaluates, and explains what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from building import scalars

from edge_experts.agents.cli import main
from edge_experts.agents.errors import SetupError
from edge_experts.agents.presets import presets
from edge_experts.baselines.cli import main as edge_experts
from edge_experts.envs import shipped_ids

BIN = Path(sys.executable).parent
PRESETS = Path(str(resources.files("edge_experts.configs.train")))
FAST = {
    "num_env_runners": 0,
    "num_envs_per_env_runner": 8,
    "train_batch_size_per_learner": 96,
    "minibatch_size": 48,
    "num_epochs": 1,
    "hidden": [16, 16],
    "lr": 1e-3,
    "network": "flat",
}
USER_ENV = '''
import functools
import gymnasium
import numpy as np
from pettingzoo import ParallelEnv


class Echo(ParallelEnv):
    """Two agents see a number and are paid for naming it."""

    metadata = {"name": "echo"}

    def __init__(self, length=5):
        self.length = length
        self.possible_agents = ["caller_0", "caller_1"]
        self.agents = []

    @functools.lru_cache(None)
    def observation_space(self, agent):
        return gymnasium.spaces.Box(0, 1, (3,), np.float32)

    @functools.lru_cache(None)
    def action_space(self, agent):
        return gymnasium.spaces.Discrete(3)

    def _see(self):
        self.number = self.rng.integers(3)
        return {agent: np.eye(3, dtype=np.float32)[self.number] for agent in self.agents}

    def reset(self, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        self.agents, self.t = list(self.possible_agents), 0
        return self._see(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.t += 1
        rewards = {agent: float(action == self.number) for agent, action in actions.items()}
        done = {agent: self.t >= self.length for agent in self.agents}
        seen, never = self._see(), dict.fromkeys(self.agents, False)
        infos = {agent: {} for agent in self.agents}
        if self.t >= self.length:
            self.agents = []
        return seen, rewards, never, done, infos
'''


def rllib(*arguments: str) -> None:
    assert main(arguments) == 0


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]


def test_train_writes_everything_and_resumes_and_evaluates(
    ray_here: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = [
        "train",
        "--algo",
        "MoEPPO",
        "--env",
        "edge_experts/text-v1",
        "--config",
        json.dumps(FAST),
        "--local-dir",
        str(tmp_path),
        "--name",
        "job",
        "--set",
        "episode.slots=10",
        "--set",
        "devices.churn=0.05",
        "--seed",
        "1",
        "--checkpoint-freq",
        "2",
    ]
    rllib(*job, "--stop", '{"training_iteration": 3}')
    run = tmp_path / "job"
    said = capsys.readouterr().out
    assert "checkpoint_000003" in said and "learning_curve.png" in said
    changed = "train_batch_size_per_learner, minibatch_size, num_epochs, hidden, lr, network"
    told = f"num_env_runners, num_envs_per_env_runner, {changed}: batch 96, minibatch 48, lr 0.001, gamma 0.85, "
    assert said.startswith(f"settings    preset moe_ppo, but for {told}network flat [16, 16]\n")
    assert "\ntime        start-up " in said
    spent = [row["seconds"] for row in rows(run)]
    assert set(spent[0]) == {"start-up", "sampling", "learning", "evaluation and checkpoints"}
    assert all(0 < a[part] < b[part] for a, b in pairwise(spent) for part in ("sampling", "learning"))
    assert spent[0]["start-up"] == spent[2]["start-up"] > 0 and spent[2]["evaluation and checkpoints"] > 0
    both = spent[2]["sampling"] + spent[2]["learning"]
    assert both <= rows(run)[2]["time_total_s"], "parts are of the whole, none is counted twice"
    assert [row["training_iteration"] for row in rows(run)] == [1, 2, 3]
    assert {p.name for p in run.glob("checkpoint_*")} == {"checkpoint_000002", "checkpoint_000003"} and not list(
        run.glob(".*part")
    )
    assert (run / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    tags = scalars(run)
    for tag in (
        "env_runners/episode_return_mean",
        "learners/user/router_entropy",
        "learners/user/branch_load_0",
        "learners/provider/branch_load_3",
    ):
        assert tag in tags, tag
    # resume goes on in the same directory, from the iteration it stopped at
    rllib(*job, "--stop", '{"env_steps": 480}', "--resume")
    assert rows(run)[3]["seconds"]["sampling"] > spent[2]["sampling"], "time goes on, too"
    assert [row["training_iteration"] for row in rows(run)] == [1, 2, 3, 4, 5]
    steps = [row["env_steps"] for row in rows(run)]
    assert steps == sorted(steps) and len(set(steps)) == 5 and steps[-1] >= 480
    # without --resume a new directory is taken; --restore begins there with the old weights, or with --trust with all
    rllib(*job, "--stop", '{"training_iteration": 1}', "--restore", str(run / "checkpoint_000005"))
    assert [row["training_iteration"] for row in rows(tmp_path / "job-2")] == [1]
    rllib(*job, "--stop", '{"training_iteration": 6}', "--restore", str(run / "checkpoint_000005"), "--trust")
    assert [row["training_iteration"] for row in rows(tmp_path / "job-3")] == [6]
    capsys.readouterr()
    rllib("evaluate", str(run / "checkpoint_000005"), "--episodes", "2", "--render")
    shown = capsys.readouterr()
    assert "mean return" in shown.out and "slot 3 of 10" in shown.out + shown.err
    evaluate = ["evaluate", str(run / "checkpoint_000005"), "--episodes", "2", "--env"]
    where = ["--set", "episode.slots=10", "--json", str(tmp_path / "r.json")]
    assert edge_experts([*evaluate, "text-v1", *where]) == 0
    assert "normalised score" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["invalid_actions"] == 0
    wrong = subprocess.run([BIN / "edge-experts", *evaluate, "netmoe-v1"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "was trained on observations of 73 entries" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_killed_runs_resume_from_the_last_checkpoint_and_ctrl_c_saves_one(tmp_path: Path) -> None:
    job = [
        str(BIN / "rllib"),
        "train",
        "--algo",
        "MoEPPO",
        "--env",
        "edge_experts/netmoe-v1",
        "--config",
        json.dumps(FAST),
        "--local-dir",
        str(tmp_path),
        "--name",
        "job",
        "--num-env-runners",
        "1",
        "--checkpoint-freq",
        "1",
        "--stop",
        '{"training_iteration": 100000}',
    ]
    run = tmp_path / "job"
    first = subprocess.Popen(job, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: len(list(run.glob("checkpoint_*"))) >= 2, first)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    reached = max(int(p.name[-6:]) for p in run.glob("checkpoint_*"))
    second = subprocess.Popen([*job, "--resume"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: max(int(p.name[-6:]) for p in run.glob("checkpoint_*")) > reached + 1, second)
    second.send_signal(signal.SIGINT)
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0 and "checkpoint_" in out
    last = max(int(p.name[-6:]) for p in run.glob("checkpoint_*"))
    iterations = [row["training_iteration"] for row in rows(run)]
    assert iterations == list(range(1, last + 1)), "no iteration is lost or counted twice"
    assert not list(run.glob("*.part"))


def wait_for(condition: object, process: subprocess.Popen[str] | subprocess.Popen[bytes], seconds: float = 120) -> None:
    end = time.time() + seconds
    while time.time() < end:
        try:
            if condition():  # type: ignore[operator]
                return
        except ValueError:
            pass
        assert process.poll() is None, "ended before it was meant to"
        time.sleep(0.2)
    process.kill()
    raise AssertionError("took too long")


def test_env_of_ones_own_from_a_file_with_a_remote_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a process of its own, whose Ray begins in this folder, as it does for a user."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_env.py").write_text(USER_ENV)
    (tmp_path / "envs").mkdir()  # a package of the user's own with the name of one of our folders
    (tmp_path / "envs" / "__init__.py").write_text("raise RuntimeError('the wrong envs was imported')")
    config = {
        "train_batch_size_per_learner": 60,
        "minibatch_size": 30,
        "num_epochs": 1,
        "hidden": [8, 8],
        "env_config": {"length": 4},
    }
    job = ["train", "--algo", "MoEPPO", "--env", "my_env.py:Echo", "--config", json.dumps(config)]
    job += ["--num-env-runners", "1", "--stop", '{"training_iteration": 2}', "--name", "echo"]
    done = subprocess.run([BIN / "rllib", *job], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    last = rows(tmp_path / "runs" / "echo")[-1]
    assert set(last["module_returns"]) == {"caller"} and 0 < last["episode_return_mean"] < 8
    evaluate = ["evaluate", "runs/echo/checkpoint_000002", "--episodes", "3"]
    assert main(evaluate) == 2  # its description names code
    assert "names 'my_env.py:Echo', whose code would be run: add --trust" in capsys.readouterr().err
    for named in (["--trust"], ["--env", "my_env.py:Echo"]):
        rllib(*evaluate, *named)
        assert "MoEPPO on my_env.py:Echo" in capsys.readouterr().out


YAML = """
my-experiment:
  run: MoEPPO
  env: edge_experts/netmoe-v1
  stop: {training_iteration: 1}
  config:
    num_env_runners: 0
    num_envs_per_env_runner: 4
    train_batch_size_per_learner: 24
    minibatch_size: 12
    num_epochs: 1
    hidden: [8, 8]
"""


def test_yaml_file_and_stock_runner(ray_here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(YAML)
    rllib("train", "file", "job.yaml", "--runner", "stock", "--set", "tables.prompts=5")
    assert rows(tmp_path / "runs" / "job")[-1]["env_steps"] >= 24


@pytest.mark.parametrize("env", [*shipped_ids(), "edge_experts/mixed-heldout-partners-v1"])
def test_every_shipped_scenario_trains_an_iteration(env: str, ray_here: Any, tmp_path: Path) -> None:
    small = {"num_envs_per_env_runner": 4, "train_batch_size_per_learner": 80, "minibatch_size": 40, "num_epochs": 1}
    small["num_env_runners"] = 0
    stop = ["--stop", '{"training_iteration": 1}', "--local-dir", str(tmp_path), "--name", "one"]
    rllib("train", "--algo", "MoEPPO", "--env", env, "--set", "episode.slots=6", "--config", json.dumps(small), *stop)
    (row,) = rows(tmp_path / "one")
    assert row["episode_return_mean"] is not None


@pytest.mark.parametrize(
    ("algo", "env", "config"),
    [
        ("PPO", "edge_experts/text-v1", {"train_batch_size_per_learner": 40, "minibatch_size": 20, "num_epochs": 1}),
        ("PPO", "CartPole-v1", {"train_batch_size_per_learner": 40, "minibatch_size": 20, "num_epochs": 1}),
        ("MoEPPO", "CartPole-v1", {"train_batch_size_per_learner": 40, "minibatch_size": 20, "num_epochs": 1}),
        (
            "DQN",
            "edge_experts/netmoe-v1",
            {
                "num_steps_sampled_before_learning_starts": 0,
                "train_batch_size": 8,
                "min_sample_timesteps_per_iteration": 20,
            },
        ),
    ],
)
def test_other_algorithms_and_gymnasium_ids(
    algo: str, env: str, config: dict[str, object], ray_here: Any, tmp_path: Path
) -> None:
    where = ["--num-env-runners", "0", "--stop", '{"training_iteration": 1}', "--local-dir", str(tmp_path)]
    rllib("train", "--algo", algo, "--env", env, "--config", json.dumps(config), *where, "--name", "x")
    assert rows(tmp_path / "x")[-1]["env_steps"] > 0


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in ("edge_experts/text-v1", "edge_experts/netmoe-v1", "MoEPPO", "IMPALA", "SAC", "per_role"):
        assert name in shown


def test_more_processes_than_processors(ray_here: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Ray would wait for ever."""
    assert main([*GOOD, "--num-env-runners", "99", "--local-dir", str(tmp_path)]) == 2
    assert "99 sampling and 0 learning processes need 99 processors" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


GOOD = ["train", "--algo", "MoEPPO", "--env", "edge_experts/text-v1", "--stop", '{"env_steps": 1}']
BAD = {
    "algorithm": (
        ["train", "--algo", "MoEPO", "--env", "edge_experts/text-v1"],
        "algo: 'MoEPO' is not known; did you mean 'MoEPPO'",
    ),
    "environment": (
        ["train", "--algo", "PPO", "--env", "edge_experts/txt-v0"],
        "env: 'edge_experts/txt-v0' is not known; did you mean 'edge_experts/text-v1'",
    ),
    "module": (["train", "--algo", "PPO", "--env", "no_such_module:Env"], "'no_such_module' cannot be imported"),
    "class": (
        ["train", "--algo", "PPO", "--env", "edge_experts.envs:EdgEnv"],
        "has no 'EdgEnv'; did you mean 'EdgeEnv'",
    ),
    "env file": (["train", "--algo", "PPO", "--env", "none.py:Env"], "there is no file 'none.py'"),
    "scenario file": (
        ["train", "--algo", "PPO", "--env", "none.yaml", "--stop", '{"env_steps": 1}'],
        "there is no file 'none.yaml'",
    ),
    "nothing": (["train"], "give --algo and --env"),
    "words": (["train", "files", "x.py"], "'files x.py' is not understood"),
    "preset": (["train", "moe_pp", "--env", "edge_experts/text-v1"], "did you mean 'moe_ppo'?"),
    "setting": (
        ["train", "ppo", "num_epoch=4"],
        "num_epoch: unknown key of MaskedPPO; did you mean 'num_epochs'",
    ),
    "setting's kind": (["train", "ppo", "num_epochs=many"], "config.num_epochs: 'many' must be a whole number of 1"),
    "setting's form": (["train", "ppo", "entropy_coeff=high"], "config.entropy_coeff: 'high' must be a number, as 0"),
    "setting's number": (["train", "ppo", "num_epochs=0"], "config.num_epochs: 0 must be a whole number of 1 or more"),
    "setting's flag": (["train", "ppo", "use_kl_loss=3"], "config.use_kl_loss: 3 must be true or false"),
    "scenario field": (
        ["train", "ppo", "devices.count=3"],
        "devices.count: is a field of the scenario; write --set devices.count=3",
    ),
    "file": (["train", "file", "none.py"], "there is no file 'none.py'"),
    "no stop": (["train", "--algo", "PPO", "--env", "CartPole-v1"], "stop: no criterion"),
    "stop json": ([*GOOD[:5], "--stop", "{1}"], "--stop: '{1}' is not valid JSON"),
    "stop list": ([*GOOD[:5], "--stop", "[1]"], "--stop: '[1]' must be a JSON object"),
    "stop name": (
        [*GOOD[:5], "--stop", '{"env_step": 1}'],
        "stop.env_step: unknown criterion; did you mean 'env_steps'",
    ),
    "stop value": ([*GOOD[:5], "--stop", '{"env_steps": "many"}'], "stop.env_steps: 'many' is not a number"),
    "config key": ([*GOOD, "--config", '{"lrr": 1}'], "config.lrr: unknown key of MoEPPO; did you mean 'lr'"),
    "config value": ([*GOOD, "--config", '{"branches": 0}'], "branches: 0 must be 1 or more"),
    "top k": ([*GOOD, "--config", '{"top_k": 9}'], "top_k: 9 must be between 1 and branches = 4"),
    "config json": ([*GOOD, "--config", "lr=1"], "--config: 'lr=1' is not valid JSON"),
    "env_config": (
        [*GOOD, "--config", '{"env_config": {"overide": {}}}'],
        "env_config.overide: unknown key; did you mean 'overrides'",
    ),
    "set field": ([*GOOD, "--set", "devices.cuont=3"], "devices.cuont: unknown field; did you mean 'devices.count'"),
    "set value": ([*GOOD, "--set", "devices.count=0"], "devices.count: 0"),
    "set form": ([*GOOD, "--set", "devices.count"], "--set: 'devices.count' must be FIELD=VALUE"),
    "reward": ([*GOOD, "--reward", "shared"], "--reward: invalid choice: 'shared'"),
    "reward elsewhere": (
        ["train", "--algo", "PPO", "--env", "CartPole-v1", "--stop", '{"env_steps": 1}', "--reward", "team"],
        "--reward: CartPole-v1 is none of our environments: it has no rewards.team to set",
    ),
    "reward twice": (
        [*GOOD, "--reward", "team", "--set", "rewards.team=0.5"],
        "--reward: --set rewards.team says what agents are paid, too; give one of them",
    ),
    "shared": ([*GOOD, "--policies", "shared"], "policies: 'shared' gives agents with different spaces"),
    "runner": (
        ["train", "--algo", "PPO", "--env", "CartPole-v1", "--stop", '{"env_steps": 1}', "--runner", "batched"],
        "runner: batched samples our environments",
    ),
    "runners": ([*GOOD, "--num-env-runners", "-1"], "--num-env-runners: -1 must be 0 or more"),
    "own algo": (
        ["train", "--algo", "os:path", "--env", "edge_experts/text-v1"],
        "'os:path' is not an RLlib Algorithm",
    ),
    "own module": (
        ["train", "--algo", "no:Such", "--env", "edge_experts/text-v1"],
        "algo: 'no:Such': 'no' cannot be imp",
    ),
    "no demonstrations": (
        ["train", "--algo", "BC", "--env", "edge_experts/text-v1", "--stop", '{"env_steps": 1}'],
        "there is no file 'runs/demonstrations/text-v1/user.parquet'; make it with: edge-experts demonstrate",
    ),
    "resume": ([*GOOD, "--resume", "--local-dir", "nowhere"], "--resume: there is no run with a checkpoint"),
    "restore": ([*GOOD, "--restore", "nowhere"], "checkpoint: there is no folder 'nowhere'"),
    "checkpoint": (["evaluate", "nowhere"], "checkpoint: there is no folder 'nowhere'"),
    "not a checkpoint": (["evaluate", "."], "is not a checkpoint of rllib train"),
    "episodes": (["evaluate", ".", "--episodes", "0"], "--episodes: 0 must be 1 or more"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import ray

    def start(*arguments: Any, **options: Any) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", start)
    arguments, message = BAD[case]
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "compiling the simulation" not in line]
    assert len(lines) == 1 and message in lines[0] and lines[0].startswith("rllib: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1", "expected one experiment"),
        ("x: {run: MoEPPO}", "'env' is missing"),
        ("x: {run: MoEPPO, env: e, sotp: {}}", "unknown key 'sotp'"),
        ("x: {run: MoEPO, env: e}", "did you mean 'MoEPPO'"),
        ("x: [", "not valid YAML"),
    ],
)
def test_bad_experiment_files(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert main(["train", "file", str(tmp_path / "bad.yaml")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "must define `config`"),
        ("config = 3", "must define `config`, an AlgorithmConfig; it is int"),
        ("import nope", "ModuleNotFoundError"),
        ("config = lambda env=None: 3", "must define `config`, an AlgorithmConfig; it is int"),
        (
            "from ray.rllib.algorithms.ppo import PPOConfig\nconfig = PPOConfig()\npolicies = 'mine'",
            "policies: 'mine' is not one of shared, per_role, independent",
        ),
        (
            "from ray.rllib.algorithms.ppo import PPOConfig\nconfig = PPOConfig()\nstop = {'env_steps': 1}",
            "env: none is given",
        ),
    ],
)
def test_bad_python_files(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.py").write_text(text)
    assert main(["train", "file", str(tmp_path / "bad.py")]) == 2
    assert message in capsys.readouterr().err


def test_the_same_seed_trains_the_same_networks_in_every_process(ray_here: Any, tmp_path: Path) -> None:
    """Also where Python orders its sets otherwise."""
    import torch
    from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule

    from edge_experts.agents.checkpoints.metadata import MODULE

    def train(*arguments: str) -> tuple[int, str | None]:
        return main(arguments), os.environ.get("PYTHONHASHSEED")

    job = ["train", "--algo", "MoEPPO", "--env", "edge_experts/text-v1", "--seed", "5", "--config", json.dumps(FAST)]
    job += ["--stop", '{"training_iteration": 2}', "--local-dir", str(tmp_path), "--name"]
    keys = ("1", "2")
    environments = [{"env_vars": {"PYTHONHASHSEED": key, "OMP_NUM_THREADS": "1"}} for key in keys]
    processes = [ray_here.remote(runtime_env=environment)(train) for environment in environments]
    ends = ray_here.get([process.remote(*job, key) for process, key in zip(processes, keys, strict=True)], timeout=240)
    assert ends == [(0, key) for key in keys]
    weights = []
    for key in keys:
        modules = MultiRLModule.from_checkpoint(str(tmp_path / key / "checkpoint_000002" / MODULE))
        weights.append({name: module.state_dict() for name, module in modules.items()})
    for name, mine in weights[0].items():
        assert all(torch.equal(value, weights[1][name][key]) for key, value in mine.items()), name


def test_files_may_be_functions_of_the_environment(tmp_path: Path) -> None:
    from edge_experts.agents.job import read_file

    file = tmp_path / "preset.py"
    file.write_text(
        "from edge_experts.agents.algorithms.moe_ppo import MoEPPOConfig\n"
        "def config(env='edge_experts/text-v1'):\n    return MoEPPOConfig().environment(env)\n"
        "def stop(env='edge_experts/text-v1'):\n    return {'env_steps': len(env)}\n"
        "policies = 'independent'\n"
    )
    config, stop, policies = read_file(file, "edge_experts/netmoe-v1")
    assert (config.env, stop, policies) == ("edge_experts/netmoe-v1", {"env_steps": 22}, "independent")
    assert read_file(file)[1] == {"env_steps": 20}
    (tmp_path / "x.yaml").write_text("x: {run: DQN, env: edge_experts/text-v1, config: {hidden: [8]}}")
    assert read_file(tmp_path / "x.yaml", "edge_experts/netmoe-v1")[0].env == "edge_experts/netmoe-v1"


def test_flattened_actions_are_the_same_actions() -> None:
    from edge_experts.agents.ray_env import find_env

    plain, flat = (find_env("edge_experts/text-v1")(config) for config in ({}, {"flatten": True}))
    plain.reset(seed=3)
    observations, _ = flat.reset(seed=3)
    assert observations["user_0"].shape == flat.observation_spaces["user_0"].shape == (73 + 10 * 4,)
    choice = {agent: 5 for agent in flat.agents}
    unravelled = {agent: np.array(np.unravel_index(5, plain.action_spaces[agent].nvec)) for agent in plain.agents}
    for _ in range(5):
        assert flat.step(choice)[1] == plain.step(unravelled)[1]


@pytest.mark.parametrize("reward", ["private", "team", None])
def test_reward_decides_what_agents_are_paid(
    reward: str | None, ray_here: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the run says which, also where nothing is asked for: the presets pay the team."""
    asked = [] if reward is None else ["--reward", reward]
    job = ["train", "file", str(PRESETS / "moe_ppo.py"), "--env", "edge_experts/text-v1", "--config", json.dumps(FAST)]
    job += ["--stop", '{"training_iteration": 1}', "--local-dir", str(tmp_path), "--name", "job", *asked]
    rllib(*job)
    about = json.loads((tmp_path / "job" / "checkpoint_000001" / "edge_experts.json").read_text())
    assert about["reward"] == (reward or "team")
    assert about["env_config"]["overrides"]["rewards.team"] == {"private": 0.0, "team": 1.0}[reward or "team"]
    said = "reward      private\n" if reward == "private" else "reward      team; credit: difference\n"
    assert said in capsys.readouterr().out
    assert about["credit"] == ("reward" if reward == "private" else "difference")


@pytest.mark.parametrize("preset", sorted(p.stem for p in PRESETS.glob("*.py") if p.stem not in ("common", "__init__")))
def test_reward_reaches_every_preset(preset: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those that learn from recorded rewards only take the ones that are asked for."""
    from edge_experts.agents import job as jobs
    from edge_experts.agents.errors import SetupError

    monkeypatch.chdir(tmp_path)
    for name, team in (("private", 0), ("team", 1)):
        place = "runs/demonstrations/text-v1"
        change = ["--set", f"rewards.team={team}", "--set", "episode.slots=3"]
        words = ["demonstrate", "myopic", "--env", "text-v1", "--episodes", "1", "--save", place, *change]
        assert preset not in ("bc", "marwil") or edge_experts(words) == 0
        seen: list[Any] = []
        monkeypatch.setattr(jobs, "start_ray", lambda address: None)
        monkeypatch.setattr(jobs, "_check_processors", lambda config: None)
        monkeypatch.setattr(jobs.Run, "train", lambda run, seen=seen: seen.append(run))
        file, env = PRESETS / f"{preset}.py", "edge_experts/text-v1"
        run = jobs.train(jobs.Job(file=file, env=env, reward=name))
        assert seen == [run] and run.reward == name and run.scenario is not None and run.scenario.rewards.team == team
        assert run.config.env_config["overrides"]["rewards.team"] == team
        if preset == "marwil":
            other = "team" if name == "private" else "private"
            with pytest.raises(SetupError, match=r"recorded with rewards.team = .*: record it with --set rewards.team"):
                jobs.train(jobs.Job(file=file, env=env, reward=other))


def test_a_preset_by_its_name_with_settings_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings may stand anywhere, and come to the same job as `--config`."""
    import edge_experts.agents.job as jobs

    asked: list[jobs.Job] = []

    def note(job: jobs.Job, *how: Any) -> None:
        asked.append(job)
        raise SetupError("noted")

    monkeypatch.setattr(jobs, "train", note)
    long = ["--config", '{"lr": 0.0003, "num_epochs": 4, "minibatch_size": 1000000}', "--set", "devices.count=3"]
    for words in (
        ["file", str(presets()["ppo"]), "--env", "text-v1", *long],
        ["ppo", "lr=3e-4", "num_epochs=4", "--env", "text-v1", "--set", "devices.count=3", "minibatch_size=1000000"],
        ["ppo", "--env", "text-v1", "lr=3e-4", "--set", "devices.count=3", "num_epochs=4", "minibatch_size=1_000_000"],
    ):
        assert main(["train", *words]) == 2
    assert asked[0] == asked[1] == asked[2] and asked[0].config["lr"] == 3e-4
    config, stop, *_ = jobs._read(asked[1])
    assert (config.lr, config.num_epochs, stop) == (3e-4, 4, {"env_steps": 300_000})
    assert config.gamma == 0.85, "the preset's"


@pytest.mark.parametrize("algo", ["PPO", "APPO", "IMPALA", "DQN", "SAC", "MoEPPO", "MAPPO", "D2SAC"])
def test_an_algorithm_has_the_settings_of_its_preset_on_our_environments(
    algo: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And needs no more processors; what is given goes before it."""
    from edge_experts.agents import job as jobs
    from edge_experts.agents.presets import preset_of

    seen: list[Any] = []
    monkeypatch.setattr(jobs, "start_ray", lambda address: None)
    monkeypatch.setattr(jobs.Run, "train", lambda run: seen.append(run))
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 1.0})
    said: list[str] = []
    where: dict[str, Any] = {"env": "edge_experts/text-v1", "local_dir": tmp_path}
    file = preset_of(algo)
    assert file is not None
    jobs.train(jobs.Job(algo=algo, **where), say=said.append)
    jobs.train(jobs.Job(file=file, **where))
    named, preset = ({**run.config.to_dict(), "rl_module": ""} for run in seen)
    assert {key for key in named if repr(named[key]) != repr(preset[key])} <= {"_rl_module_spec", "policies"}
    assert seen[0].stop == seen[1].stop == {"env_steps": 300_000}
    assert said[0].startswith(f"settings    preset {file.stem}: batch {named['_train_batch_size_per_learner']}, ")
    assert "batched runner" in said[0] and said[0].count("\n") == 1
    jobs.train(jobs.Job(algo=algo, config={"train_batch_size": 768, "gamma": 0.5}, **where), say=said.append)
    assert (seen[2].config.gamma, seen[2].config.total_train_batch_size) == (0.5, 768)
    assert f"preset {file.stem}, but for train_batch_size, gamma: batch 768, " in said[1] and "gamma 0.5," in said[1]


def test_elsewhere_an_algorithm_has_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_experts.agents import job as jobs

    for env, runner in (("CartPole-v1", "auto"), ("edge_experts/text-v1", "stock")):
        config, stop, *_, source = jobs._read(jobs.Job(algo="PPO", env=env, runner=runner))
        assert (config.total_train_batch_size, stop, source) == (4000, {}, "defaults of PPO")


def test_presets_are_those_that_ship(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"ppo", "moe_ppo", "mappo", "generalist"} < set(presets()) and "common" not in presets()
    assert main(["list"]) == 0
    assert "presets\n  appo\n" in capsys.readouterr().out


def test_messages_name_the_scenario_file_that_they_speak_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("id: me/x-v0\nexperts: [gemma-7b-it]\nproviders: {count: 1}\narrivals: {rate_per_s: -1}\n")
    train = ["train", "--algo", "PPO", "--env", str(file), "--stop", '{"env_steps": 10}', "--local-dir", str(tmp_path)]
    assert main(train) == 2
    assert f"rllib: {file}: arrivals.rate_per_s: -1 is not valid" in capsys.readouterr().err
    file.write_text(file.read_text().replace("-1", "1"))
    assert main([*train, "--set", "devices.count=-5"]) == 2
    assert capsys.readouterr().err.startswith("rllib: devices.count: -5 is not valid")
