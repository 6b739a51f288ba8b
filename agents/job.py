"""What `rllib train` is asked to do, as data: read it, set it up, train."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from edge_experts.envs import load_scenario
from edge_experts.envs.io.import_string import LoadError, load_file
from edge_experts.envs.io.strict_yaml import read_yaml
from edge_experts.envs.registry import find, is_market

from .algorithms.imitation import MaskedMARWILConfig, check_rewards
from .checkpoints.metadata import is_exported
from .checkpoints.modules import has_modules
from .checkpoints.weights import check_fits, check_same_run
from .errors import SetupError
from .launch.events import check_logger
from .launch.folder import held, place
from .launch.numbers import check_numbers
from .launch.settings import algorithm_of, describe
from .market_names import markets_of
from .networks.config import NetworkConfig
from .policy_mapping import DEFAULT_SCHEME, SCHEMES
from .presets import preset_of, presets
from .ray_env import find_env
from .reward import FIELD, REWARDS
from .sampling.teacher import phases_of, slowed
from .setup import CONFIGS, new_config, set_up, update_config
from .training import Run, check_stop

LONGEST = 100  # name of a folder


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training run; every field is an option of `rllib train`."""

    file: Path | None = None
    """A Python file with `config` (and `stop`), or a YAML file."""
    algo: str | None = None
    """Without a file: an algorithm's name, or a reference to an RLlib `Algorithm`; on our environments, sampled by the
    batched runner, with the settings of its preset."""
    env: str | None = None
    """Where; replaces the file's."""
    logger: str | None = None
    """What takes its numbers beside TensorBoard, one of `launch.events.LOGGERS`."""
    seed: int | None = None
    """Of weights, sampling and environments."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the algorithm that replace others."""
    stop: Mapping[str, Any] | None = None
    """When it ends; replaces the file's."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Dotted scenario fields to change."""
    reward: str | None = None
    """What agents are paid: one of `reward.REWARDS`; as the file and the scenario say by default."""
    policies: str | None = None
    """Which agents share a policy: one of `policy_mapping.SCHEMES`; as the file says by default."""
    order: str | None = None
    """How users choose in a slot: one of `sampling.turns.ORDERS`; as the file says by default."""
    imitate: str | None = None
    """A planner to imitate first, for a third of the run: a name or a reference (see `sampling.teacher`)."""
    runner: str = "auto"
    """How environments are sampled: `auto`, `stock` or `batched`."""
    num_env_runners: int | None = None
    """Remote sampling processes."""
    ray_address: str | None = None
    """The Ray cluster to train on; this machine by default."""
    checkpoint_freq: int = 0
    """Iterations between checkpoints; 0: only at the end."""
    checkpoint_steps: int = 0
    """Environment steps between checkpoints."""
    restore: Path | None = None
    """A checkpoint, an export or `zoo:NAME` whose weights to begin from, in a new folder."""
    trust: bool = False
    """Whether whoever wrote `restore` is trusted: go on from all of its state, which is pickled and may run code."""
    resume: bool = False
    """Whether to go on with the last run of this name."""
    local_dir: Path = Path("runs")
    """Where runs have their folders."""
    name: str | None = None
    """Of the folder."""

    def command(self) -> list[str]:
        """The words of the command that does the same."""
        words = ["rllib", "train", *(["file", str(self.file)] if self.file is not None else [])]
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name == "file" or value in (option.default, {}, None):
                continue
            name = f"--{option.name.replace('_', '-')}"
            if option.name == "overrides":
                words += [word for key, change in value.items() for word in ("--set", f"{key}={json.dumps(change)}")]
            elif isinstance(value, Mapping):
                words += [name, json.dumps(value)]
            else:
                words += [name] if value is True else [name, str(value)]
        return words


def train(job: Job, started: float | None = None, say: Callable[[str], None] | None = None) -> Run:
    """Set a job up and train it.

    Args:
        job: What is asked for.
        started: When that was, `time.perf_counter()`; now by default.
        say: Takes the lines that tell which settings are in force, before anything is started.

    Returns:
        The run: its folder and its results.

    Raises:
        EnvError, ScenarioError, TableError, SetupError, CheckpointError: before anything is started.
    """
    started = time.perf_counter() if started is None else started
    config, stop, name, policies, source = _read(job)
    criteria = check_stop(job.stop if job.stop is not None else stop)
    if not criteria:
        raise SetupError("stop: no criterion; give --stop '{\"env_steps\": 1000000}', or `stop` in the file")
    _stretch(config, stop.get("env_steps"), criteria.get("env_steps"))
    if getattr(config, "imitate", None):
        _imitate_first(config, criteria.get("env_steps"))
    overrides = dict(job.overrides)
    if job.reward is not None:
        overrides[FIELD] = _team_share(config, job)
    if overrides:
        overrides = {**config.env_config.get("overrides", {}), **overrides}
        config.environment(env_config={**config.env_config, "overrides": overrides})
    if job.num_env_runners is not None:
        config.env_runners(num_env_runners=job.num_env_runners)
    if job.seed is not None:
        config.debugging(seed=job.seed)
    check_numbers(config, job.ray_address is None)
    config = set_up(config, job.policies or policies, job.runner)
    if job.reward is not None and isinstance(config, MaskedMARWILConfig) and config.beta:
        check_rewards(str(config.demonstrations), load_scenario(str(config.env), config.env_config["overrides"]))
    try:
        config.validate()
    except (ValueError, NotImplementedError) as error:
        raise SetupError(f"config: {' '.join(str(error).split())}") from None
    _check_names(job)
    check_logger(job.logger)
    folder, restore = place(job.local_dir / (job.name or name), job.resume, job.restore, job.trust)
    if restore is not None and job.resume:
        check_same_run(restore, config)
    elif restore is not None and has_modules(restore):
        check_fits(restore, config, "--restore")
    if say is not None:
        say(describe(config, source))
    start_ray(job.ray_address)
    if job.ray_address is None:
        _check_processors(config)
    with held(folder, job.resume) as mine:
        whole = job.resume or (job.trust and restore is not None and not is_exported(restore))
        run = Run(
            config,
            criteria,
            mine,
            job.checkpoint_freq,
            restore,
            job.checkpoint_steps,
            whole,
            job.trust,
            started,
            job.logger,
        )
        run.train()
    return run


def _check_names(job: Job) -> None:
    """See that a run is one, and has a folder of its own in `local_dir`.

    Raises:
        SetupError: if not.
    """
    if job.name is not None and (job.name in ("", ".", "..") or Path(job.name).name != job.name):
        raise SetupError(f"--name: {job.name!r} must be a plain name, as mine; --local-dir says where it goes")
    if job.resume and job.restore is not None:
        raise SetupError("--resume: goes on with a run, and --restore begins a new one: give one of them")


def _read(job: Job) -> tuple[Any, Mapping[str, Any], str, str, str]:
    """Configuration, stop criteria, name of the run, which agents share a policy, and whose settings these are."""
    stop: Mapping[str, Any] = {}
    policies = DEFAULT_SCHEME
    if job.file is not None:
        name = job.file.stem if job.env is None else f"{job.file.stem}_{_file_name(job.env)}"
        config, stop, policies = read_file(job.file, job.env, job.runner)
        source = f"preset {job.file.stem}" if job.file in presets().values() else str(job.file)
    elif job.algo and job.env:
        name = f"{_file_name(job.algo)}_{_file_name(job.env)}"
        home = (markets_of(job.env) or (job.env,))[0]
        find_env(home)
        preset = preset_of(job.algo) if job.algo in CONFIGS and job.runner != "stock" and is_market(home) else None
        if preset is not None:
            config, stop, policies = read_file(preset, job.env)
            source = f"preset {preset.stem}"
        else:
            config = new_config(job.algo, home, job.runner)
            _settle(config, job.env)
            source = f"defaults of {algorithm_of(config)}"
    else:
        raise SetupError("train: give --algo and --env, or: rllib train file X.py|X.yaml")
    if getattr(config, "markets", ()) and not config.takes_markets:
        algo = config.algo_class.__name__.removeprefix("Masked")
        raise SetupError(f"env: {algo} trains on one market; for several take PPO or MoEPPO")
    given = {name: getattr(job, name) for name in ("order", "imitate") if getattr(job, name) is not None}
    update_config(config, {**job.config, **given})
    changed = [*job.config, *given]
    return config, stop, name, policies, f"{source}, but for {', '.join(changed)}" if changed else source


def _stretch(config: Any, planned: float | None, steps: float | None) -> None:
    """Let what a file's configuration changes over the run, as learning rates, do so over the run as it is to be.

    Args:
        config: Schedules in it are lists of (environment steps, value).
        planned: Environment steps that the file itself would run for.
        steps: Those that it will.
    """
    if not planned or not steps or planned == steps:
        return
    for name, value in vars(config).items():
        is_schedule = isinstance(value, list) and value and all(isinstance(point, list | tuple) for point in value)
        if is_schedule and len(value[-1]) == 2 and value[-1][0] == planned:
            setattr(config, name, [[at * steps / planned, *rest] for at, *rest in value])


def _imitate_first(config: Any, steps: float | None) -> None:
    """Set when a run imitates, and slow its learning down after that.

    Raises:
        SetupError: if nothing says how long the run is.
    """
    if not steps:
        raise SetupError("imitate: for a third of how many steps? give --stop '{\"env_steps\": 300000}'")
    config.phases = phases_of(steps)
    config.lr = slowed(config.lr, config.phases)


def _team_share(config: Any, job: Job) -> float:
    """The value of `rewards.team` that `--reward` asks for.

    Raises:
        EnvError, SetupError: if the environment has no scenario, or `--set` says it, too.
    """
    if job.reward not in REWARDS:
        raise SetupError(f"reward: {job.reward!r} is not one of {', '.join(REWARDS)}")
    if FIELD in job.overrides:
        raise SetupError(f"--reward: --set {FIELD} says what agents are paid, too; give one of them")
    if config.env is not None and (not isinstance(config.env, str) or find(config.env).market is None):
        raise SetupError(f"--reward: {config.env} is none of our environments: it has no {FIELD} to set")
    return REWARDS[job.reward]


def _settle(config: Any, env: str) -> None:
    """Set the environment of a configuration, or several markets.

    Raises:
        SetupError: if it cannot have several.
    """
    markets = markets_of(env)
    config.environment(markets[0] if markets else env)
    if markets and not isinstance(config, NetworkConfig):
        raise SetupError(f"env: {config.algo_class.__name__} trains on one environment; for several take PPO or MoEPPO")
    if markets:
        config.training(markets=markets, network="entities")


def _file_name(name: str) -> str:
    """An id, a reference, or several of them as a part of a folder's name."""
    return "_".join(Path(part.strip().replace(":", "_")).name for part in name.split(","))[:LONGEST]


def read_file(
    path: Path, env: str | None = None, runner: str = "auto"
) -> tuple[AlgorithmConfig, Mapping[str, Any], str]:
    """What a file says of a run: its configuration, stop criteria, and which agents share a policy.

    Args:
        path: A Python file with `config` and, if it likes, `stop`, as values or as functions of the environment, and
            `policies`; or a YAML file with one experiment, as in RLlib's examples.
        env: The environment that replaces the file's.
        runner: As `set_up` takes it; algorithms that a YAML file names are those of the runner.

    Raises:
        SetupError: if there is no such file, or it does not say that.
    """
    if not path.is_file():
        raise SetupError(f"train file: there is no file '{path}'")
    if path.suffix in (".yaml", ".yml"):
        return _read_yaml(path, env, runner)
    if path.suffix == ".py":
        return _read_python(path, env)
    raise SetupError(f"train file: '{path}' must end in .py or .yaml")


def _read_python(path: Path, env: str | None) -> tuple[AlgorithmConfig, Mapping[str, Any], str]:
    try:
        module = load_file(path, anew=True)  # a configuration is changed by setting it up
    except LoadError as error:
        raise SetupError(f"train file: {error}") from None
    config, stop = getattr(module, "config", None), getattr(module, "stop", {})
    given = () if env is None else (env,)
    if callable(config) and not isinstance(config, AlgorithmConfig):
        config = config(*given)
    elif env is not None and isinstance(config, AlgorithmConfig):
        _settle(config, env)
    if not isinstance(config, AlgorithmConfig):
        raise SetupError(f"{path}: must define `config`, an AlgorithmConfig; it is {type(config).__name__}")
    policies = getattr(module, "policies", DEFAULT_SCHEME)
    if policies not in SCHEMES:
        raise SetupError(f"{path}: policies: {policies!r} is not one of {', '.join(SCHEMES)}")
    return config, stop(*given) if callable(stop) else stop, policies


def _read_yaml(path: Path, env: str | None, runner: str) -> tuple[AlgorithmConfig, Mapping[str, Any], str]:
    data = read_yaml(path, SetupError)
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


def start_ray(address: str | None) -> None:
    """Start Ray on this machine, or join the cluster at an address."""
    import ray

    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        if not ray.is_initialized():
            # never one that happens to run on this machine; workers are started when they are asked for
            lean = {"enable_worker_prestart": False, "prestart_worker_first_driver": False}
            ray.init("local", include_dashboard=False, _system_config=lean, **options)
        return
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SetupError(f"--ray-address: no Ray cluster answers at '{address}' ({reason})") from None


def _check_processors(config: Any) -> None:
    """Ray waits without a word for processors that this machine does not have."""
    import ray

    runners = config.num_env_runners + config.evaluation_num_env_runners
    needed = runners * config.num_cpus_per_env_runner + config.num_learners
    there = ray.cluster_resources().get("CPU", 0)
    if needed > there:
        raise SetupError(
            f"num_env_runners: {runners} sampling and {config.num_learners} learning processes need {needed:g} "
            f"processors, Ray has {there:g} here; lower --num-env-runners, or --config '{{\"num_learners\": 0}}'"
        )
