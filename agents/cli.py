"""The `rllib` command: train, evaluate and list, on RLlib's new API stack."""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from . import ray_logging
from .policy_mapping import DEFAULT_SCHEME, SCHEMES

RUNNERS = ("auto", "stock", "batched")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="rllib", description="Train and evaluate with RLlib, new API stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser(
        "train",
        help="train an algorithm on an environment",
        usage="rllib train file X.py|X.yaml [options]\n       rllib train --algo NAME --env ID [options]",
    )
    train.add_argument(
        "source", nargs="*", metavar="file PATH", help="a Python file with `config` (and `stop`), or a YAML file"
    )
    train.add_argument(
        "--algo", "--run", help="algorithm, see `rllib list`, or module:Class / file.py:Class of an RLlib Algorithm"
    )
    train.add_argument(
        "--env",
        help="our id, scenario .yaml, Gymnasium id, or module:Class / file.py:Class of a PettingZoo parallel env; "
        "replaces the file's",
    )
    train.add_argument("--config", default="{}", metavar="JSON", help="settings of the algorithm")
    train.add_argument("--stop", default=None, metavar="JSON", help='as {"env_steps": 1000000}; replaces the file\'s')
    train.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a scenario field, as devices.count=32"
    )
    train.add_argument(
        "--policies", choices=SCHEMES, help="which agents share a policy (per_role, if the file says nothing)"
    )
    train.add_argument("--runner", default="auto", choices=RUNNERS, help="how environments are sampled")
    train.add_argument("--num-env-runners", type=int, metavar="N", help="remote sampling processes (0: in this one)")
    train.add_argument(
        "--ray-address",
        metavar="ADDR",
        default=os.environ.get("RAY_ADDRESS"),
        help="train on this Ray cluster, as `auto` or host:6379 (RAY_ADDRESS by default); sampling runs on its nodes",
    )
    train.add_argument("--seed", type=int, help="seed of weights, sampling and environments")
    train.add_argument(
        "--checkpoint-freq", type=int, default=0, metavar="N", help="iterations between checkpoints (0: at the end)"
    )
    train.add_argument(
        "--checkpoint-steps", type=int, default=0, metavar="N", help="environment steps between checkpoints"
    )
    train.add_argument(
        "--restore", type=Path, metavar="CKPT", help="begin from a checkpoint, in a new results directory"
    )
    train.add_argument(
        "--resume", action="store_true", help="continue the last run of this name from its last checkpoint"
    )
    train.add_argument("--local-dir", type=Path, default=Path("runs"), metavar="D", help="where results directories go")
    train.add_argument("--name", help="name of the results directory")
    evaluate = commands.add_parser("evaluate", help="play a checkpoint")
    evaluate.add_argument("checkpoint", type=Path)
    evaluate.add_argument("--episodes", type=int, default=10)
    evaluate.add_argument("--render", action="store_true", help="print the world after every step of the first episode")
    commands.add_parser("list", help="list environments, algorithms and policy schemes")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2: the input is not valid)."""
    arguments = build_parser().parse_args(argv)
    ray_logging.before_import()
    try:  # imported from here on, so that `rllib --help` answers at once
        from edge_experts.envs import ScenarioError, TableError
        from edge_experts.envs.registry import EnvError

        from .errors import CheckpointError, SetupError
    except ModuleNotFoundError as error:
        print(f"rllib: {error}; pip install 'edge-experts[rllib]'", file=sys.stderr)
        return 2
    ray_logging.after_import()
    try:
        return {"train": _train, "evaluate": _evaluate, "list": _list}[arguments.command](arguments)
    except (SetupError, EnvError, ScenarioError, TableError, CheckpointError) as error:
        print(f"rllib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _train(arguments: argparse.Namespace) -> int:
    from edge_experts.envs.scenarios import parse_overrides

    from .errors import SetupError
    from .setup import set_up
    from .training import CURVE, RESULTS, Run, check_stop, latest_checkpoint

    config, stop, name, policies = _read_source(arguments)
    stop = check_stop(_parse_json("--stop", arguments.stop) if arguments.stop is not None else stop)
    if not stop:
        raise SetupError("stop: no criterion; give --stop '{\"env_steps\": 1000000}', or `stop` in the file")
    if arguments.set:
        scenario = {**config.env_config.get("scenario", {}), **parse_overrides(arguments.set)}
        config.environment(env_config={**config.env_config, "scenario": scenario})
    if arguments.num_env_runners is not None:
        if arguments.num_env_runners < 0:
            raise SetupError(f"--num-env-runners: {arguments.num_env_runners} must not be negative")
        config.env_runners(num_env_runners=arguments.num_env_runners)
    if arguments.seed is not None:
        config.debugging(seed=arguments.seed)
    config = set_up(config, arguments.policies or policies, arguments.runner)
    try:
        config.validate()
    except (ValueError, NotImplementedError) as error:
        raise SetupError(f"config: {' '.join(str(error).split())}") from None
    folder, restore = _place(arguments, name)
    _start_ray(arguments.ray_address)
    if arguments.ray_address is None:
        _check_processors(config)
    run = Run(config, stop, folder, arguments.checkpoint_freq, restore, arguments.checkpoint_steps)
    last = run.train()
    print(
        f"results     {folder / RESULTS}\ncheckpoint  {latest_checkpoint(folder)}\nTensorBoard tensorboard --logdir {folder}"
    )
    if (folder / CURVE).exists():
        print(f"curve       {folder / CURVE}")
    summary = {
        key: last.get(key)
        for key in ("training_iteration", "env_steps", "time_total_s", "episode_return_mean", "normalised_score")
    }
    print(
        "  ".join(
            f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in summary.items()
            if value is not None
        )
    )
    return 0


def _start_ray(address: str | None) -> None:
    """Start Ray on this machine, or join the cluster at an address."""
    import ray

    from .errors import SetupError

    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        if not ray.is_initialized():
            ray.init("local", include_dashboard=False, **options)  # never one that happens to run on this machine
        return
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SetupError(f"--ray-address: no Ray cluster answers at '{address}' ({reason})") from None


def _check_processors(config: Any) -> None:
    """Ray waits without a word for processors that this machine does not have."""
    import ray

    from .errors import SetupError

    runners = config.num_env_runners + config.evaluation_num_env_runners
    needed = runners * config.num_cpus_per_env_runner + config.num_learners
    there = ray.cluster_resources().get("CPU", 0)
    if needed > there:
        raise SetupError(
            f"num_env_runners: {runners} sampling and {config.num_learners} learning processes need {needed:g} "
            f"processors, Ray has {there:g} here; lower --num-env-runners, or --config '{{\"num_learners\": 0}}'"
        )


def _place(arguments: argparse.Namespace, name: str) -> tuple[Path, Path | None]:
    """Results directory and the checkpoint to begin from."""
    from .checkpoints.metadata import read_description
    from .errors import SetupError
    from .training import latest_checkpoint

    base = arguments.local_dir / (arguments.name or name)
    taken = sorted(
        (p for p in base.parent.glob(f"{base.name}*") if p.is_dir() and _number(p, base) is not None),
        key=lambda p: _number(p, base) or 0,
    )
    if arguments.resume:
        found = latest_checkpoint(taken[-1]) if taken else None
        if found is None:
            raise SetupError(f"--resume: there is no run with a checkpoint under '{base}'; start it without --resume")
        return taken[-1], found
    if arguments.restore is not None:
        read_description(arguments.restore)
    last = _number(taken[-1], base) if taken else None
    return (base if last is None else base.with_name(f"{base.name}-{last + 1}")), arguments.restore


def _number(path: Path, base: Path) -> int | None:
    """1 for `base` itself, n for `base-n`, None for another name."""
    if path.name == base.name:
        return 1
    rest = path.name.removeprefix(f"{base.name}-")
    return int(rest) if rest.isdigit() and rest != path.name else None


def _read_source(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any], str, str]:
    """Configuration, stop criteria, name of the run, and which agents share a policy."""
    from .errors import SetupError
    from .ray_env import find_env
    from .setup import new_config, update_config

    source = arguments.source
    if source:
        if len(source) != 2 or source[0] != "file":
            raise SetupError(
                f"train: {' '.join(source)!r} is not understood; write: rllib train file X.py, or --algo NAME --env ID"
            )
        path = Path(source[1])
        if not path.is_file():
            raise SetupError(f"train file: there is no file '{path}'")
        is_yaml = path.suffix in (".yaml", ".yml")
        config, stop, policies = (_read_yaml if is_yaml else _read_python)(path, arguments.env, arguments.runner)
        update_config(config, _parse_json("--config", arguments.config))
        name = path.stem if arguments.env is None else f"{path.stem}_{_file_name(arguments.env)}"
        return config, stop, name, policies
    if not arguments.algo or not arguments.env:
        raise SetupError("train: give --algo and --env, or: rllib train file X.py|X.yaml")
    find_env(arguments.env)
    config = new_config(arguments.algo, arguments.env, arguments.runner).environment(arguments.env)
    update_config(config, _parse_json("--config", arguments.config))
    return config, {}, f"{_file_name(arguments.algo)}_{_file_name(arguments.env)}", DEFAULT_SCHEME


def _file_name(name: str) -> str:
    """An id or a reference as a part of a folder's name."""
    return Path(name.replace(":", "_")).name


def _read_python(path: Path, env: str | None, runner: str) -> tuple[Any, dict[str, Any], str]:
    """What a Python file defines: `config` and `stop`, as values or as functions of the environment, and `policies`."""
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    from .errors import SetupError

    if path.suffix != ".py":
        raise SetupError(f"train file: '{path}' must end in .py or .yaml")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SetupError(f"{path}: {type(error).__name__}: {error}") from None
    config, stop = getattr(module, "config", None), getattr(module, "stop", {})
    given = () if env is None else (env,)
    if callable(config) and not isinstance(config, AlgorithmConfig):
        config = config(*given)
    elif env is not None and isinstance(config, AlgorithmConfig):
        config.environment(env)
    if not isinstance(config, AlgorithmConfig):
        raise SetupError(f"{path}: must define `config`, an AlgorithmConfig; it is {type(config).__name__}")
    policies = getattr(module, "policies", DEFAULT_SCHEME)
    if policies not in SCHEMES:
        raise SetupError(f"{path}: policies: {policies!r} is not one of {', '.join(SCHEMES)}")
    return config, stop(*given) if callable(stop) else stop, policies


def _read_yaml(path: Path, env: str | None, runner: str) -> tuple[Any, dict[str, Any], str]:
    from .errors import SetupError
    from .setup import new_config, update_config

    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or len(data) != 1 or not isinstance(next(iter(data.values())), dict):
        raise SetupError(f"{path}: expected one experiment: a name, and under it run, env, stop, config")
    experiment = next(iter(data.values()))
    for key in experiment:
        if key not in ("run", "env", "stop", "config"):
            raise SetupError(f"{path}: unknown key '{key}'; the keys are run, env, stop, config")
    env = env or experiment.get("env")
    for key, value in (("run", experiment.get("run")), ("env", env)):
        if value is None:
            raise SetupError(f"{path}: '{key}' is missing")
    config = new_config(experiment["run"], env, runner).environment(env)
    update_config(config, experiment.get("config", {}))
    return config, experiment.get("stop", {}), DEFAULT_SCHEME


def _parse_json(option: str, text: str) -> dict[str, Any]:
    from .errors import SetupError

    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise SetupError(f"{option}: {text!r} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise SetupError(f"{option}: {text!r} must be a JSON object, as '{{\"lr\": 0.001}}'")
    return value


def _evaluate(arguments: argparse.Namespace) -> int:
    from .checkpoints.play import play_checkpoint
    from .errors import SetupError

    if arguments.episodes < 1:
        raise SetupError(f"--episodes: {arguments.episodes} must be 1 or more")
    play_checkpoint(arguments.checkpoint, arguments.episodes, arguments.render)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from edge_experts.envs import shipped_ids

    from .setup import algorithm_names

    print("environments (and any Gymnasium id, module:Class, file.py:Class, scenario .yaml)")
    print("\n".join(f"  {name}" for name in shipped_ids()))
    print("algorithms")
    print("\n".join(f"  {name}" for name in algorithm_names()))
    print("policies")
    print("\n".join(f"  {name:12s} {text}" for name, text in SCHEMES.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
