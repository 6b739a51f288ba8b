"""Several markets at once: a module for each of them, with the weights of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.env_context import EnvContext
from ray.rllib.policy.policy import PolicySpec
from ray.tune.registry import register_env

from edge_experts.envs import Scenario, World, load_scenario
from edge_experts.envs.api.spaces import role_spaces
from edge_experts.envs.sim.spec import ROLES

from .market_names import title_of
from .mixture.observation_layout import layout_of
from .networks.shared_weights import SharedWeights
from .policy_mapping import DEFAULT_SCHEME, MarketMapping
from .ray_env import find_env
from .reward import FIELD


def settings_of(market: str, env_config: Mapping[str, Any]) -> EnvContext:
    """The environment's settings in one market; where nobody is to share rewards with, they stay as they are."""
    overrides = dict(env_config.get("overrides", {}))
    if load_scenario(market).acting < 2:
        overrides.pop(FIELD, None)
    return EnvContext({**env_config, "overrides": overrides}, worker_index=0)


def scenarios_of(config: Any) -> dict[str, Scenario]:
    """The scenarios that a configuration is trained on together, by title; none where there is one."""
    return {
        title_of(market): load_scenario(market, settings_of(market, config.env_config)["overrides"])
        for market in getattr(config, "markets", ())
    }


def describe_markets(config: Any) -> None:
    """Give a configuration a module for each role of each of its markets, all of a role with the same weights.

    Raises:
        ValueError: if its settings do not fit several markets.
    """
    if config.network != "entities":
        raise ValueError(f"network: {config.network!r} is for one market; several take 'entities'")
    if config.identities:
        raise ValueError("identities: True ties a network to one market; several take False")
    if getattr(config.policy_mapping_fn, "scheme", None) != DEFAULT_SCHEME:
        raise ValueError(f"policies: several markets take '{DEFAULT_SCHEME}', a policy for each role")
    kind = config.get_default_rl_module_spec().module_class
    specs, policies = {}, {}
    for market in config.markets:
        register_env(market, find_env(market))
    for title, scenario in scenarios_of(config).items():
        world, named = World(scenario), MarketMapping(title)
        for role in ROLES:
            if world.agents(role):
                module, spaces = named(world.agents(role)[0]), role_spaces(role, world.sizes)
                specs[module] = RLModuleSpec(
                    module_class=kind,
                    observation_space=spaces.observation,
                    action_space=spaces.action,
                    model_config={"layout": layout_of(role, world)},
                )
                policies[module] = PolicySpec(None, spaces.observation, spaces.action)
    config.multi_agent(policies=policies, policy_mapping_fn=MarketMapping(title_of(config.markets[0])))
    config.rl_module(rl_module_spec=MultiRLModuleSpec(multi_rl_module_class=SharedWeights, rl_module_specs=specs))
