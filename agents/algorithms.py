"""Algorithms by name, and what each needs to run on a given environment."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import gymnasium
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.registry import ALGORITHMS
from ray.rllib.env.env_context import EnvContext
from ray.tune.registry import get_trainable_cls, register_env, register_trainable

from edge_experts.envs.registry import is_market

from .batched_runner import BatchedEnvRunner
from .mappo import CRITIC, MAPPO, CentralEnvRunner, MAPPOConfig
from .moe_ppo import MoEPPO
from .policies import SCHEMES, PolicyMapping
from .ppo import MaskedPPOConfig
from .rllib_env import PettingZooEnv, find_env
from .vtrace import MaskedAPPOConfig, MaskedIMPALAConfig

DEFAULT_WORLDS = 64
# these expect the transitions of each agent in episodes
REPLAY = {"DQN": "MultiAgentPrioritizedEpisodeReplayBuffer", "SAC": "MultiAgentEpisodeReplayBuffer"}
OWN = {"MoEPPO": MoEPPO, "MAPPO": MAPPO}
TAKE_MASKS = (MaskedPPOConfig, MaskedAPPOConfig, MaskedIMPALAConfig)
# RLlib's algorithms that the batched runner can feed, and what they become then
BATCHED = {"PPO": MaskedPPOConfig, "APPO": MaskedAPPOConfig, "IMPALA": MaskedIMPALAConfig}

for _name, _algorithm in OWN.items():
    register_trainable(_name, _algorithm)


class SetupError(ValueError):
    """A run cannot be set up. Names the setting, its value and the fix."""


def algorithm_names() -> list[str]:
    """Every algorithm that `rllib train --algo` takes."""
    return sorted([*OWN, *ALGORITHMS])


def new_config(algo: str) -> AlgorithmConfig:
    """The default configuration of an algorithm.

    Raises:
        SetupError: if there is no such algorithm, with the nearest name.
    """
    if algo not in algorithm_names():
        near = get_close_matches(algo, algorithm_names(), n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(algorithm_names())}"
        raise SetupError(f"algo: '{algo}' is not known; {hint}")
    return (OWN.get(algo) or get_trainable_cls(algo)).get_default_config()


def update_config(config: AlgorithmConfig, settings: Mapping[str, Any]) -> None:
    """Apply plain settings to a configuration.

    Raises:
        SetupError: for a key the configuration does not have, with the nearest one, or a value it rejects.
    """
    known = set(config.to_dict()) | {"lambda_", "train_batch_size_per_learner"}
    for key in settings:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise SetupError(
                f"config.{key}: unknown key of {config.algo_class.__name__}"
                + (f"; did you mean '{near[0]}'?" if near else "")
            )
    try:
        config.update_from_dict(dict(settings))
    except (TypeError, ValueError, AttributeError) as error:
        raise SetupError(f"config: {error}") from None


def set_up(config: AlgorithmConfig, policies: str = "per_role", runner: str = "auto") -> AlgorithmConfig:
    """Complete a configuration for its environment: creator, policies, runner, and what the algorithm lacks.

    Args:
        config: With `env` named (see `find_env`) and `env_config`.
        policies: One of `policies.SCHEMES`, used unless the configuration has a mapping of its own.
        runner: `stock`, `batched`, or `auto`: batched where the environment is one of ours, the algorithm is MoE-PPO or in
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
    if runner == "batched" and not fits:
        raise SetupError(
            f"runner: batched samples our environments for {', '.join([*OWN, *BATCHED])}; {algo} on {name} needs "
            "--runner stock"
        )
    central = isinstance(config, MAPPOConfig)
    if central and (runner == "stock" or not is_market(name)):
        raise SetupError(
            f"runner: MAPPO's critic reads the worlds of the batched runner, on our environments only; {name} with "
            f"--runner {runner} has none: take PPO"
        )
    if runner == "batched" and algo in BATCHED and _has_own_network(config):
        raise SetupError(
            f"runner: batched trains {algo} with a plain network that takes masks, but the configuration brings a network "
            "of its own (rl_module); leave that out, or use --runner stock"
        )
    batched = fits and (central or runner == "batched" or (runner == "auto" and not _has_own_network(config)))
    if batched and algo in BATCHED:
        config = _become(config, BATCHED[algo])
    if not isinstance(config, TAKE_MASKS) and (is_market(name) or name not in gymnasium.registry):
        config.environment(env_config={"flatten": True, **config.env_config})
    env = creator(EnvContext(config.env_config, worker_index=0))
    register_env(name, creator)
    config.environment(disable_env_checking=True)  # RLlib's check samples without masks
    if isinstance(env, PettingZooEnv):
        _set_policies(config, env, policies)
        if algo in REPLAY and config.replay_buffer_config.get("type") in (None, *_SINGLE_AGENT_BUFFERS):
            config.replay_buffer_config = {**config.replay_buffer_config, "type": REPLAY[algo]}
        if central and CRITIC not in config.policies:
            config.add_critic(env.env.world.sizes)
    if batched:
        config.env_runners(env_runner_cls=CentralEnvRunner if central else BatchedEnvRunner)
        if config.num_envs_per_env_runner == 1:  # RLlib's default; one world would waste the batch
            config.env_runners(num_envs_per_env_runner=DEFAULT_WORLDS)
    env.close()
    return config


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
    config.multi_agent(policies=set(spaces), policy_mapping_fn=mapping)
