"""Make the shipped scenarios known to PettingZoo and Gymnasium."""

from __future__ import annotations

import gymnasium
import pettingzoo.env_registry.registration as pettingzoo_registry

from .scenario import shipped_ids

SINGLE_AGENT = ("edge_experts/netmoe-v0",)


def register_all() -> None:
    """Register every shipped id for `pettingzoo.make("parallel" | "aec", id)`, the single-agent ones for `gymnasium.make`."""
    package = __name__.rpartition(".")[0]
    for name in shipped_ids():
        pettingzoo_registry.register("parallel", name, f"{package}.parallel:parallel_env", kwargs={"base": name})
        pettingzoo_registry.register("aec", name, f"{package}.views:aec_env", kwargs={"base": name})
    for name in SINGLE_AGENT:
        gymnasium.register(name, f"{package}.views:SingleAgentEnv", kwargs={"base": name})
