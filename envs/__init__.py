"""Environments: importing this package registers the `edge_experts/...` ids with PettingZoo and Gymnasium."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .registry import register_all

if TYPE_CHECKING:
    from .flat import FlatEnv as FlatEnv
    from .library import heldout_ids as heldout_ids
    from .library import load_scenario as load_scenario
    from .library import shipped_ids as shipped_ids
    from .models import arrival_process as arrival_process
    from .models import channel_model as channel_model
    from .models import mobility_model as mobility_model
    from .models import quality_rule as quality_rule
    from .parallel import EdgeEnv as EdgeEnv
    from .recorder import Recorder as Recorder
    from .registry import EnvError as EnvError
    from .registry import make as make
    from .registry import register as register
    from .scenario import Scenario as Scenario
    from .scenario import ScenarioError as ScenarioError
    from .single_agent import SingleAgentEnv as SingleAgentEnv
    from .spaces import MaskedMultiDiscrete as MaskedMultiDiscrete
    from .tables import ExpertTable as ExpertTable
    from .tables import QualityTable as QualityTable
    from .tables import TableError as TableError
    from .turns import TurnEnv as TurnEnv
    from .vector import AgentBatch as AgentBatch
    from .vector import MarketVectorEnv as MarketVectorEnv
    from .world import Views as Views
    from .world import World as World

_HOME = {
    "EdgeEnv": "parallel",
    "SingleAgentEnv": "single_agent",
    "TurnEnv": "turns",
    "FlatEnv": "flat",
    "Recorder": "recorder",
    "AgentBatch": "vector",
    "MarketVectorEnv": "vector",
    "MaskedMultiDiscrete": "spaces",
    "World": "world",
    "Views": "world",
    "make": "registry",
    "register": "registry",
    "EnvError": "registry",
    "quality_rule": "models",
    "arrival_process": "models",
    "mobility_model": "models",
    "channel_model": "models",
    "Scenario": "scenario",
    "ScenarioError": "scenario",
    "load_scenario": "library",
    "shipped_ids": "library",
    "heldout_ids": "library",
    "QualityTable": "tables",
    "ExpertTable": "tables",
    "TableError": "tables",
}
__all__ = sorted(_HOME)

register_all()


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: the kernel's compiler is not needed to list environments."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
