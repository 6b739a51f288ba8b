"""Algorithms by name, and what each needs to run on a given environment."""

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

from edge_experts.envs.api.spaces import RoleSpaces
from edge_experts.envs.io.import_string import LoadError, is_reference, load_object
from edge_experts.envs.io.suggestions import did_you_mean
from edge_experts.envs.recording.demonstrations import DemonstrationError
from edge_experts.envs.registry import is_market

from .algorithms.dqn import MaskedDQNConfig
from .algorithms.imitation import MaskedBCConfig, MaskedMARWILConfig, check_demonstrations
from .algorithms.impala import MaskedAPPOConfig, MaskedIMPALAConfig
from .algorithms.mappo import CRITIC, MAPPO, MAPPOConfig
from .algorithms.moe_ppo import MoEPPO, MoEPPOConfig
from .algorithms.ppo import MaskedPPOConfig
from .algorithms.sac import D2SAC, MaskedSACConfig
from .mixture.observation_layout import layout_of
from .policy_mapping import DEFAULT_SCHEME, SCHEMES, PolicyMapping
from .ray_env import PettingZooEnv, find_env
from .sampling.batched_runner import BatchedEnvRunner

DEFAULT_WORLDS = 64
# these expect the transitions of each agent in episodes
REPLAY = {"DQN": "MultiAgentPrioritizedEpisodeReplayBuffer", "SAC": "MultiAgentEpisodeReplayBuffer"}
OWN = {"MoEPPO": MoEPPO, "MAPPO": MAPPO, "D2SAC": D2SAC}
# RLlib's algorithms that the batched runner can feed, and what they become then
BATCHED = {
    "PPO": MaskedPPOConfig,
    "APPO": MaskedAPPOConfig,
    "IMPALA": MaskedIMPALAConfig,
    "DQN": MaskedDQNConfig,
    "SAC": MaskedSACConfig,
    "BC": MaskedBCConfig,
    "MARWIL": MaskedMARWILConfig,
}
TAKE_MASKS = tuple(BATCHED.values())
ONLY_BATCHED = (MAPPOConfig, MaskedDQNConfig, MaskedSACConfig, MaskedMARWILConfig)

for _name, _algorithm in OWN.items():
    register_trainable(_name, _algorithm)


class SetupError(ValueError):
    """A run cannot be set up. Names the setting, its value and the fix."""


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
    if algo in BATCHED and runner != "stock" and env is not None and is_market(env):
        return BATCHED[algo]()
    found: Any = OWN.get(algo) or get_trainable_cls(algo)
    return found.get_default_config()


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
    try:
        config.update_from_dict(dict(settings))
    except (TypeError, ValueError, AttributeError) as error:
        raise SetupError(f"config: {error}") from None


def set_up(config: AlgorithmConfig, policies: str = DEFAULT_SCHEME, runner: str = "auto") -> AlgorithmConfig:
    """Complete a configuration for its environment: creator, policies, runner, and what the algorithm lacks.

    Args:
        config: With `env` named (see `find_env`) and `env_config`.
        policies: One of `policies.SCHEMES`, used unless the configuration has a mapping of its own.
        runner: `stock`, `batched`, or `auto`: batched where the environment is one of ours, the algorithm is in `OWN` or
            `BATCHED`, and the configuration brings no network of its own.

    Returns:
        The completed configuration: the given one, or what took its place for the batched runner.

    Raises:
        EnvError, ScenarioError, TableError, SetupError: before anything is started.
    """
    name = config.env
    if not isinstance(name, str):
        if name is None:
            raise SetupError("env: none is given; add .environment(ID) to the config, or --env ID")
        return config  # a class or creator of the user's own, with all that goes with it
    creator = find_env(name)
    algo = config.algo_class.__name__
    fits = is_market(name) and (isinstance(config, TAKE_MASKS) or algo in BATCHED)
    own_network = _has_own_network(config)
    if runner == "batched" and not fits:
        raise SetupError(
            f"runner: batched samples our environments for {', '.join([*OWN, *BATCHED])}; {algo} on {name} needs "
            "--runner stock"
        )
    if isinstance(config, ONLY_BATCHED) and (runner == "stock" or not is_market(name)):
        raise SetupError(
            f"runner: {_shown_name(algo)} as it is here lives on the worlds of the batched runner, on our environments only; "
            f"{name} with --runner {runner} has none"
        )
    if own_network and (runner == "batched" or isinstance(config, ONLY_BATCHED)) and algo not in OWN:
        raise SetupError(
            f"runner: batched trains {_shown_name(algo)} with a plain network that takes masks, but the configuration brings a "
            "network of its own (rl_module); leave that out, or use --runner stock"
        )
    batched = fits and (
        runner == "batched" or isinstance(config, ONLY_BATCHED) or (runner == "auto" and not own_network)
    )
    if batched and algo in BATCHED:
        config = _become(config, BATCHED[algo])
    if getattr(config, "memory", 0) and not batched:
        raise SetupError(
            f"memory: {config.memory} needs the batched runner, on our environments; elsewhere take RLlib's own PPO with "
            "rl_module(model_config=DefaultModelConfig(use_lstm=True))"
        )
    if not isinstance(config, TAKE_MASKS) and (is_market(name) or name not in gymnasium.registry):
        config.environment(env_config={"flatten": True, **config.env_config})
    env = creator(EnvContext(config.env_config, worker_index=0))
    register_env(name, creator)
    config.environment(disable_env_checking=True)  # RLlib's check samples without masks
    if isinstance(env, PettingZooEnv):
        _set_policies(config, env, policies)
        if not batched and algo in REPLAY and config.replay_buffer_config.get("type") in (None, *_SINGLE_AGENT_BUFFERS):
            config.replay_buffer_config = {**config.replay_buffer_config, "type": REPLAY[algo]}
        if isinstance(config, MAPPOConfig) and CRITIC not in config.policies:
            config.add_critic(env.env.world.sizes)
        if isinstance(config, MoEPPOConfig) and not own_network:
            _describe_policies(config, env, is_market(name))
    elif isinstance(config, MoEPPOConfig) and (config.modality_sets or not isinstance(config.branches, int)):
        raise SetupError("branches: one number, and no modality_sets, for an environment of a single agent")
    if isinstance(config, MaskedMARWILConfig):
        try:
            check_demonstrations(config.demonstrations, name, _acting(env))
        except DemonstrationError as error:
            raise SetupError(str(error)) from None
    if batched:
        config.env_runners(env_runner_cls=getattr(config, "runner_class", BatchedEnvRunner))
        if config.num_envs_per_env_runner == 1:  # RLlib's default; one world would waste the batch
            config.env_runners(num_envs_per_env_runner=DEFAULT_WORLDS)
    env.close()
    return config


def _acting(env: PettingZooEnv) -> dict[str, RoleSpaces]:
    """The spaces of the roles that act."""
    return {role: spaces for role, spaces in env.env.role_spaces.items() if env.env.scenario.acts(role)}


def _shown_name(algo: str) -> str:
    return algo.removeprefix("Masked")


def _describe_policies(config: MoEPPOConfig, env: PettingZooEnv, has_layout: bool) -> None:
    """Tell the mixtures what their observations are about."""
    layouts: dict[str, Any] = {}
    for agent in env.possible_agents:
        role = agent.rpartition("_")[0]
        policy = config.policy_mapping_fn(agent, None)
        if policy not in layouts:
            layouts[policy] = layout_of(role, env.env.world) if has_layout else None
    try:
        config.describe_policies(layouts)
    except ValueError as error:
        raise SetupError(str(error)) from None


def _has_own_network(config: AlgorithmConfig) -> bool:
    return config._rl_module_spec is not None or bool(config._model_config)


def _become(config: AlgorithmConfig, kind: type) -> AlgorithmConfig:
    """The same settings as another kind of configuration."""
    other = kind()
    vars(other).update({name: value for name, value in vars(config).items() if name != "algo_class"})
    return other


_SINGLE_AGENT_BUFFERS = ("PrioritizedEpisodeReplayBuffer", "EpisodeReplayBuffer")


def _set_policies(config: AlgorithmConfig, env: PettingZooEnv, policies: str) -> None:
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
