"""Algorithms by name, and how a configuration is completed for an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.registry import ALGORITHMS
from ray.rllib.env.env_context import EnvContext
from ray.rllib.policy.policy import PolicySpec
from ray.tune.registry import get_trainable_cls, register_env, register_trainable

from edge_experts.envs.io.import_string import LoadError, is_reference, load_object
from edge_experts.envs.io.suggestions import did_you_mean
from edge_experts.envs.registry import is_market

from .algorithms.appo import MaskedAPPOConfig
from .algorithms.dqn import MaskedDQNConfig
from .algorithms.imitation import MaskedBCConfig, MaskedMARWILConfig
from .algorithms.impala import MaskedIMPALAConfig
from .algorithms.mappo import MAPPOConfig
from .algorithms.moe_ppo import MoEPPOConfig
from .algorithms.ppo import MaskedPPOConfig
from .algorithms.sac import D2SACConfig, MaskedSACConfig
from .errors import SetupError
from .launch.numbers import REAL, WHOLE
from .networks.config import NetworkConfig, brings_network
from .policy_mapping import DEFAULT_SCHEME, SCHEMES, PolicyMapping
from .ray_env import PettingZooEnv, find_env

DEFAULT_WORLDS = 64
# what samples worlds and takes masks: our own algorithms, and what some of RLlib's become
CONFIGS: dict[str, type[Any]] = {
    "MoEPPO": MoEPPOConfig,
    "MAPPO": MAPPOConfig,
    "D2SAC": D2SACConfig,
    "PPO": MaskedPPOConfig,
    "APPO": MaskedAPPOConfig,
    "IMPALA": MaskedIMPALAConfig,
    "DQN": MaskedDQNConfig,
    "SAC": MaskedSACConfig,
    "BC": MaskedBCConfig,
    "MARWIL": MaskedMARWILConfig,
}
OWN = tuple(name for name in CONFIGS if name not in ALGORITHMS)
# RLlib's replay buffers of single agents, and those that take several agents' episodes in their place
REPLAY_BUFFERS = {
    "PrioritizedEpisodeReplayBuffer": "MultiAgentPrioritizedEpisodeReplayBuffer",
    "EpisodeReplayBuffer": "MultiAgentEpisodeReplayBuffer",
}

for _name in OWN:
    register_trainable(_name, CONFIGS[_name]().algo_class)


def algorithm_names() -> list[str]:
    """Every algorithm that `rllib train --algo` takes."""
    return sorted([*OWN, *ALGORITHMS])


def new_config(algo: str, env: str | None = None, runner: str = "auto") -> AlgorithmConfig:
    """The default configuration of an algorithm.

    Args:
        algo: A name of `algorithm_names`, or `module:Class` or `file.py:Class` of an RLlib `Algorithm`.
        env: Where it will run; on our environments some of RLlib's algorithms become ones that take masks.
        runner: As `set_up` takes it.

    Raises:
        SetupError: if there is no such algorithm, with the nearest name.
    """
    if is_reference(algo):
        return _outside_algorithm(algo).get_default_config()
    if algo not in algorithm_names():
        raise SetupError(f"algo: '{algo}' is not known; {did_you_mean(algo, algorithm_names(), cutoff=0.4)}")
    if algo in OWN or (algo in CONFIGS and runner != "stock" and env is not None and is_market(env)):
        return CONFIGS[algo]()
    return get_trainable_cls(algo).get_default_config()


def _outside_algorithm(path: str) -> Any:
    try:
        found = load_object(path)
    except LoadError as error:
        raise SetupError(f"algo: {error}") from None
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise SetupError(f"algo: '{path}' is not an RLlib Algorithm class")
    register_trainable(found.__name__, found)
    return found


def update_config(config: AlgorithmConfig, settings: Mapping[str, Any]) -> None:
    """Apply plain settings to a configuration.

    Raises:
        SetupError: for a key the configuration does not have, with the nearest one, or a value it rejects.
    """
    known = set(config.to_dict()) | {"lambda_", "train_batch_size_per_learner"}
    for key in settings:
        if key not in known:
            hint = did_you_mean(key, known, "see the documentation of the algorithm for its keys")
            raise SetupError(f"config.{key}: unknown key of {config.algo_class.__name__}; {hint}")
    if "train_batch_size" in settings and "train_batch_size_per_learner" not in settings:
        config.train_batch_size_per_learner = None  # which would go before it
    settings = {key: _typed(config, key, value) for key, value in settings.items()}
    try:
        config.update_from_dict(settings)
    except (TypeError, ValueError, AttributeError) as error:
        raise SetupError(f"config: {error}") from None


def _typed(config: AlgorithmConfig, key: str, value: Any) -> Any:
    """A setting as a number or a flag, where that is what the configuration has now.

    Raises:
        SetupError: if it is a text or something else.
    """
    now = getattr(config, key, None)
    if isinstance(now, bool) and not isinstance(value, bool | None):
        raise SetupError(f"config.{key}: {value!r} must be true or false")
    is_checked = key in WHOLE or key in REAL  # by `check_numbers`, which says more
    if isinstance(now, int | float) and isinstance(value, str) and value != "auto" and not is_checked:
        raise SetupError(f"config.{key}: {value!r} must be a number, as {now:g}")
    is_whole = isinstance(now, int) and isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value  # 1e6


def set_up(config: AlgorithmConfig, policies: str = DEFAULT_SCHEME, runner: str = "auto") -> AlgorithmConfig:
    """Complete a configuration for its environment: creator, runner, policies, and what the algorithm itself needs.

    Args:
        config: With `env` named (see `find_env`) and `env_config`.
        policies: One of `policy_mapping.SCHEMES`, used unless the configuration has a mapping of its own.
        runner: `stock`, `batched`, or `auto`: batched where the environment is one of ours, the algorithm is in
            `CONFIGS`, and the configuration brings no network of its own.

    Returns:
        The completed configuration: the given one, or what took its place for the batched runner.

    Raises:
        EnvError, ScenarioError, TableError, SetupError: before anything is started.
    """
    if config.env is None:
        raise SetupError("env: none is given; add .environment(ID) to the config, or --env ID")
    if not isinstance(config.env, str):
        return config  # a class or creator of the user's own, with all that goes with it
    creator = find_env(config.env)
    config = _choose_runner(config, runner)
    env = creator(EnvContext(config.env_config, worker_index=0))
    register_env(config.env, creator)
    if isinstance(env, PettingZooEnv):
        _set_policies(config, env, policies)
    if isinstance(config, NetworkConfig):
        try:
            config.prepare(env)
        except ValueError as error:
            raise SetupError(str(error)) from None
    env.close()
    return config


def _choose_runner(config: AlgorithmConfig, runner: str) -> AlgorithmConfig:
    """The configuration for the batched runner, or for RLlib's stock runner with what that needs.

    Raises:
        SetupError: if the runner that is asked for cannot sample for the algorithm on its environment.
    """
    name, algo = config.env, config.algo_class.__name__
    fits = is_market(name) and (isinstance(config, NetworkConfig) or algo in CONFIGS)
    needs_worlds = config.needs_worlds if isinstance(config, NetworkConfig) else ""
    if runner == "batched" and not fits:
        raise SetupError(
            f"runner: batched samples our environments for {', '.join(CONFIGS)}; {algo} on {name} needs --runner stock"
        )
    if needs_worlds and (runner == "stock" or not is_market(name)):
        raise SetupError(f"{needs_worlds} (env {name}, --runner {runner})")
    if brings_network(config) and algo not in OWN and (runner == "batched" or needs_worlds):
        raise SetupError(
            f"runner: batched trains {algo.removeprefix('Masked')} with a plain network that takes masks, but the "
            "configuration brings one of its own (rl_module); leave that out, or use --runner stock"
        )
    config.environment(disable_env_checking=True)  # RLlib's check samples without masks
    if fits and runner != "stock" and (runner == "batched" or needs_worlds or not brings_network(config)):
        config = _become(config, CONFIGS[algo]) if algo in ALGORITHMS else config
        config.env_runners(env_runner_cls=config.runner_class)
        if config.num_envs_per_env_runner == 1:  # RLlib's default; one world would waste the batch
            config.env_runners(num_envs_per_env_runner=DEFAULT_WORLDS)
    elif not isinstance(config, NetworkConfig) and (is_market(name) or name not in gymnasium.registry):
        config.environment(env_config={"flatten": True, **config.env_config})
    return config


def _become(config: AlgorithmConfig, kind: type) -> Any:
    """The same settings as another kind of configuration."""
    other = kind()
    vars(other).update({name: value for name, value in vars(config).items() if name != "algo_class"})
    return other


def _set_policies(config: AlgorithmConfig, env: PettingZooEnv, policies: str) -> None:
    """Give every agent its policy, and RLlib's own algorithms a replay buffer for several agents."""
    buffer = getattr(config, "replay_buffer_config", None)
    if buffer and not isinstance(config, NetworkConfig):
        kind = str(buffer.get("type", "EpisodeReplayBuffer"))
        config.replay_buffer_config = {**buffer, "type": REPLAY_BUFFERS.get(kind, kind)}  # type: ignore[attr-defined]
    if config.policies and set(config.policies) != {"default_policy"}:
        return
    if policies not in SCHEMES:
        raise SetupError(f"policies: '{policies}' is not one of {', '.join(SCHEMES)}")
    mapping = PolicyMapping(policies)
    spaces: dict[str, Any] = {}
    for agent in env.possible_agents:
        own = (env.observation_spaces[agent], env.action_spaces[agent])
        if spaces.setdefault(mapping(agent), own) != own:
            raise SetupError(
                f"policies: '{policies}' gives agents with different spaces the policy '{mapping(agent)}': "
                "use per_role or independent"
            )
    # in the order of the agents: a set has another one in every process, and networks are made in this order
    config.multi_agent(policies={name: PolicySpec() for name in spaces}, policy_mapping_fn=mapping)
