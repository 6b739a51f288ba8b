"""Make the shipped scenarios known to PettingZoo and Gymnasium."""

from __future__ import annotations

import gymnasium
import pettingzoo.env_registry.registration as pettingzoo_registry

from .scenario import shipped_ids


def register_all() -> None:
    """Register every shipped id for `pettingzoo.make("parallel" | "aec", id)`, `gymnasium.make_vec` and `gymnasium.make`.

    `gymnasium.make` is for scenarios with one agent; of any other it says so.
    """
    package = __name__.rpartition(".")[0]
    for name in shipped_ids():
        pettingzoo_registry.register("parallel", name, f"{package}.parallel:parallel_env", kwargs={"base": name})
        pettingzoo_registry.register("aec", name, f"{package}.turns:aec_env", kwargs={"base": name})
        gymnasium.register(
            name,
            f"{package}.single_agent:SingleAgentEnv",
            vector_entry_point=f"{package}.vector:MarketVectorEnv",
            kwargs={"base": name},
        )
