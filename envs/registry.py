"""Environments by name: shipped scenarios, yours, and any PettingZoo or Gymnasium class.

    from edge_experts.envs import make, register

    register("me/my-env-v0", "my_pkg.envs:MyEnv")      # a PettingZoo parallel (or Gymnasium) class
    register("me/cell-v0", "cell.yaml")                # a scenario of your own
    env = make("me/my-env-v0")

A package can register its environments for everybody who installs it, as entry points of the group `edge_experts.envs`:
the name is the id, the value the class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import gymnasium
import pettingzoo

from .heldout import NAMESPACE
from .io.import_string import LoadError, is_reference, load_object
from .io.suggestions import nearest
from .scenario import Scenario, ScenarioError
from .scenarios import heldout_ids, load_scenario, register_scenario, registered_scenarios, shipped_ids

if TYPE_CHECKING:
    from .api.parallel_env import EdgeEnv

Shipped = Literal[
    "edge_experts/compact-v1",
    "edge_experts/mixed-v1",
    "edge_experts/netmoe-v1",
    "edge_experts/networked-v1",
    "edge_experts/object3d-v1",
    "edge_experts/specialists-v1",
    "edge_experts/text-v1",
    "edge_experts/vehicles-v1",
    "edge_experts/video-v1",
]
"""The shipped ids, for type checkers: `make` gives an `EdgeEnv` of each."""
GROUP = "edge_experts.envs"
CLASSES = {
    f"{NAMESPACE}/federated-v0": (
        "edge_experts.federated.game.env:FederatedEnv",
        "Federated training: 8 clients decide what they give to a round, a provider what it pays for",
    )
}
"""Shipped environments that are no scenarios: reference, imported when it is asked for, and title."""
ID = re.compile(r"[\w.-]+/[\w.-]+-v\d+")
YAML = (".yaml", ".yml")


class EnvError(ValueError):
    """An environment cannot be found or made. Names it and the fix."""


@dataclass(frozen=True)
class Source:
    """Where an environment comes from; can be sent to other processes.

    Attributes:
        name: As it was asked for.
        market: The scenario behind it, as `World` takes it; `None` if it is not one.
        create: Makes an environment from keyword arguments: a PettingZoo parallel or a Gymnasium one.
        kwargs: Arguments that `create` is always given.
    """

    name: str
    market: Scenario | str | None
    create: Callable[..., Any]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def make(self, **kwargs: Any) -> Any:
        """An environment.

        Raises:
            EnvError: if its class does not take these arguments, or cannot be made.
            ScenarioError: if a scenario is not valid.
        """
        arguments = {**self.kwargs, **kwargs}
        try:
            return self.create(**arguments)
        except ScenarioError:
            raise
        except Exception as error:  # whatever the class raises
            shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
            raise EnvError(
                f"env: '{self.name}' cannot be made with ({shown}): {type(error).__name__}: {error}"
            ) from error


_registered: dict[str, Source] = {}


def register(id: str, target: str | Callable[..., Any], **kwargs: Any) -> None:
    """Make an environment known under an id: to `make`, the command lines, PettingZoo's and Gymnasium's `make`.

    Args:
        id: `namespace/name-vN`; the namespace `edge_experts` is ours.
        target: `module:Class` or `file.py:Class` of a PettingZoo parallel (or Gymnasium) environment, the class
            itself, or a scenario's YAML file.
        **kwargs: Arguments that the class is always given; for a scenario, fields to change.

    Raises:
        EnvError: for an id of another form or one that is taken, or a target that does not exist.
        ScenarioError: for a scenario that is not valid.
    """
    if not ID.fullmatch(id) or id.startswith(f"{NAMESPACE}/"):
        raise EnvError(f"id: '{id}' must have the form namespace/name-v0, with a namespace other than {NAMESPACE}")
    if id in _registered or id in registered_scenarios() or id in _references():
        raise EnvError(f"id: '{id}' is registered already; take another name or a higher version")
    if isinstance(target, str) and target.endswith(YAML):
        register_scenario(id, load_scenario(target, kwargs))
        _announce_market(id)
        return
    if isinstance(target, str) and not is_reference(target):
        raise EnvError(f"target: '{target}' must be module:Class, file.py:Class, a class, or a scenario's .yaml file")
    source = _class_source(id, target, kwargs)
    _registered[id] = source
    _announce_class(id)


def find(name: str) -> Source:
    """Where an environment comes from.

    Args:
        name: A shipped id or a held-out twin, a scenario file, a registered id, the id of an entry point, a Gymnasium
            id, or `module:Class` or `file.py:Class`.

    Raises:
        EnvError: if there is none, with the nearest name.
        ScenarioError: if it is a scenario file that is not valid.
    """
    name = str(name)
    if name.endswith(YAML):
        load_scenario(name)
        return _market(name, str(Path(name).resolve()))
    if name in registered_scenarios():
        return _market(name, registered_scenarios()[name])
    if name in _market_ids() or f"{NAMESPACE}/{name}" in _market_ids():
        return _market(name, name)
    if name in _registered:
        return _registered[name]
    if (full := name if "/" in name else f"{NAMESPACE}/{name}") in _references():
        return _class_source(full, _references()[full], {})
    if name in gymnasium.registry:
        return Source(name, None, partial(gymnasium.make, name))
    if is_reference(name):
        return _class_source(name, name, {})
    near = nearest(full, known_ids(), cutoff=0.7) or nearest(name, gymnasium.registry)
    hint = f"did you mean '{near}'?" if near else "give an id, a scenario .yaml, module:Class or file.py:Class"
    raise EnvError(f"env: '{name}' is not known; {hint}")


@overload
def make(name: Shipped, **kwargs: Any) -> EdgeEnv: ...
@overload
def make(name: str, **kwargs: Any) -> Any: ...
def make(name: str, **kwargs: Any) -> Any:
    """An environment by name (see `find`): a PettingZoo parallel one, or a Gymnasium one where the class is.

    Raises:
        EnvError, ScenarioError: if it cannot be found or made.
    """
    return find(name).make(**kwargs)


def known_ids() -> list[str]:
    """Every id that `find` knows besides Gymnasium's: scenarios, twins, yours, and shipped and installed classes."""
    return [*shipped_ids(), *heldout_ids(), *registered_scenarios(), *_registered, *_references()]


def is_market(name: str) -> bool:
    """Whether a name is a scenario, which `World` can step and the batched runner sample; `text-v1` is one, too."""
    name = str(name)
    return name.endswith(YAML) or name in registered_scenarios() or name in _market_ids()


def is_installed(name: str) -> bool:
    """Whether a name is of an environment that this or another installed package brings."""
    return name in _references()


@cache
def _market_ids() -> frozenset[str]:
    names = [*shipped_ids(), *heldout_ids()]
    return frozenset([*names, *(name.rpartition("/")[2] for name in names)])


@cache
def _references() -> dict[str, str]:
    """Classes by id: of other packages by their entry points, and our own."""
    return {point.name: point.value for point in entry_points(group=GROUP)} | {
        name: reference for name, (reference, _) in CLASSES.items()
    }


def _market(name: str, scenario: Scenario | str) -> Source:
    return Source(name, scenario, partial(_create_market, scenario))


def _create_market(scenario: Scenario | str, **kwargs: Any) -> Any:
    from .api.parallel_env import EdgeEnv

    return EdgeEnv(scenario, **kwargs)


def _class_source(name: str, target: str | Callable[..., Any], kwargs: Mapping[str, Any]) -> Source:
    if not isinstance(target, str):
        return Source(name, None, target, kwargs)
    _load(target)  # fails here and now rather than in another process
    return Source(name, None, partial(_create_referred, target), kwargs)


def _create_referred(reference: str, **kwargs: Any) -> Any:
    return _load(reference)(**kwargs)


def _load(reference: str) -> Any:
    try:
        found = load_object(reference)
    except LoadError as error:
        raise EnvError(f"env: {error}") from None
    if not callable(found):
        raise EnvError(
            f"env: '{reference}' is a {type(found).__name__}, not a class or a function that makes an environment"
        )
    return found


def register_all() -> None:
    """Register every shipped id, the scenarios' held-out twins and entry points with PettingZoo and Gymnasium.

    With `pettingzoo.make`, `gymnasium.make` and `gymnasium.make_vec`. `gymnasium.make` is for scenarios with one agent;
    of any other it says so.
    """
    for name in _market_ids():
        _announce_market(name)
    for name in _references():
        if name in CLASSES or (ID.fullmatch(name) and not name.startswith(f"{NAMESPACE}/")):
            _announce_class(name)


def _announce_class(name: str) -> None:
    for kind in ("parallel", "aec"):
        _announce(kind, name, partial(_make_pettingzoo, kind, name))
    gymnasium.register(name, partial(_make_gymnasium, name))


def _make_pettingzoo(kind: str, name: str, **kwargs: Any) -> Any:
    """What `pettingzoo.make` gives for the id of a class: that, by turns if asked for so.

    Raises:
        EnvError: if the class is a Gymnasium environment, or cannot be made.
    """
    from pettingzoo.utils import aec_to_parallel, parallel_to_aec

    env = make(name, **kwargs)
    if not hasattr(env, "possible_agents"):
        raise EnvError(f"env: '{name}' is a Gymnasium environment; gymnasium.make(\"{name}\")")
    if kind == "aec":
        return env if isinstance(env, pettingzoo.AECEnv) else parallel_to_aec(env)
    return aec_to_parallel(env) if isinstance(env, pettingzoo.AECEnv) else env


def _make_gymnasium(name: str, **kwargs: Any) -> Any:
    """What `gymnasium.make` gives for the id of a class.

    Raises:
        EnvError: if the class is a PettingZoo environment, or cannot be made.
    """
    env = make(name, **kwargs)
    if not isinstance(env, gymnasium.Env):
        raise EnvError(f'env: \'{name}\' has several agents; pettingzoo.make("parallel", "{name}")')
    return env


def _announce(kind: str, name: str, create: Callable[..., Any] | str, **kwargs: Any) -> None:
    """Register with PettingZoo, whose versions before 1.27 know no ids."""
    try:
        from pettingzoo.env_registry import registration
    except ImportError:
        return
    registration.register(kind, name, create, kwargs=kwargs)


def _announce_market(name: str) -> None:
    package = __name__.rpartition(".")[0]
    _announce("parallel", name, f"{package}.api.parallel_env:parallel_env", scenario=name)
    _announce("aec", name, f"{package}.api.aec_env:aec_env", scenario=name)
    gymnasium.register(
        name,
        f"{package}.api.single_agent_env:SingleAgentEnv",
        vector_entry_point=f"{package}.api.vector_env:MarketVectorEnv",
        kwargs={"scenario": name},
    )
