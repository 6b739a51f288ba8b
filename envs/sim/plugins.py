"""Models of your own, compiled into the kernel: quality rules, arrival processes, mobility and channel models.

A model is a plain function of numbers (and, for a quality rule, of arrays) in the part of Python that numba compiles. A
scenario names it by the name it was registered with, or as `module:function` or `file.py:function`, which also works in
processes that never ran your registration:

    from edge_experts.envs import channel_model

    @channel_model("free_space")
    def free_space(distance_m, carrier_hz, line_of_sight):
        return 20.0 * math.log10(4.0 * math.pi * max(distance_m, 1.0) * carrier_hz / 299_792_458.0)

    World("edge_experts/text-v1", overrides={"radio.channel": "free_space"})
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeVar

from numba import cfunc, types
from numba.core.errors import NumbaError

from ..io.import_string import LoadError, is_reference, load_object
from ..io.suggestions import did_you_mean
from ..physics import arrivals, mobility, quality, radio
from ..physics.jit import callback
from ..scenario import Scenario, ScenarioError

F = TypeVar("F", bound=Callable[..., Any])
CUSTOM = 99  # the code of a model from outside

_real, _integer = types.float64, types.int64
_row = types.Array(_real, 1, "C")


@dataclass(frozen=True)
class Slot:
    """A place in the kernel that a model can fill.

    Attributes:
        field: The scenario field that names the model.
        built_in: The models that come with the package, and their codes.
        arguments: What a model is called with, in order.
        signature: The same as types, and the type of the result.
    """

    field: str
    built_in: dict[str, int]
    arguments: str
    signature: Any


SLOTS = {
    "quality": Slot(
        "requests.rule",
        {"text": quality.TEXT, "video": quality.VIDEO, "object3d": quality.OBJECT3D, "ensemble": quality.ENSEMBLE},
        "experts, n, quality, work, aspects, gate, coherence, temperature",
        _real(types.Array(_integer, 1, "C"), _integer, _row, _row, types.Array(_real, 2, "C"), _row, _real, _real),
    ),
    "arrivals": Slot(
        "arrivals.process",
        {
            "saturated": arrivals.SATURATED,
            "poisson": arrivals.POISSON,
            "bursty": arrivals.BURSTY,
            "trace_conv": arrivals.TRACE,
            "trace_code": arrivals.TRACE,
        },
        "rate_per_s, slot, slot_s, phase",
        _real(_real, _integer, _real, _real),
    ),
    "mobility": Slot(
        "mobility.model",
        {"static": mobility.STATIC, "waypoint": mobility.WAYPOINT, "highway": mobility.HIGHWAY},
        "x_m, y_m, target_x_m, target_y_m, heading, step_m, area_m, u, v",
        types.UniTuple(_real, 5)(*[_real] * 9),
    ),
    "channel": Slot(
        "radio.channel",
        {"umi": radio.UMI},
        "distance_m, carrier_hz, line_of_sight",
        _real(_real, _real, types.boolean),
    ),
}


@dataclass(frozen=True)
class Model:
    """A registered model; `aspects` are the recorded columns that a quality rule reads."""

    function: Callable[..., Any]
    aspects: tuple[str, ...] = ()


class Pointers(NamedTuple):
    """The compiled models of a world, called by the kernel where a scenario names one from outside."""

    quality: Any
    arrivals: Any
    mobility: Any
    channel: Any


_registered: dict[str, dict[str, Model]] = {slot: {} for slot in SLOTS}


def quality_rule(name: str, aspects: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Register what a composed request is worth.

    The function is called as `(experts, n, quality, work, aspects, gate, coherence, temperature)` and returns a
    number in [0, 1]. `experts` (K,) int64 says which expert answered each part; the first `n` count. `quality`, `work`
    and `gate` (K,) are the recorded quality of these answers, their work and what the gate had said of the experts;
    `aspects` (K, A) the recorded columns named here; `coherence` and `temperature` the scenario's. It is also asked for
    the value of a request that is not complete yet.

    Args:
        name: How `requests.rule` names it.
        aspects: Further columns of the quality table that it reads.
    """
    return _registration("quality", name, tuple(aspects))


def arrival_process(name: str) -> Callable[[F], F]:
    """Register when users ask: `(rate_per_s, slot, slot_s, phase) -> rate per second of an idle user in this slot`.

    `phase` in [0, 1) is drawn once an episode.
    """
    return _registration("arrivals", name)


def mobility_model(name: str) -> Callable[[F], F]:
    """Register where users go in a slot.

    Called as `(x_m, y_m, target_x_m, target_y_m, heading, step_m, area_m, u, v)`, with two fresh uniform numbers, and
    returns `(x_m, y_m, target_x_m, target_y_m, heading)`.
    """
    return _registration("mobility", name)


def channel_model(name: str) -> Callable[[F], F]:
    """Register a path loss: `(distance_m, carrier_hz, line_of_sight) -> dB`."""
    return _registration("channel", name)


def _registration(slot: str, name: str, aspects: tuple[str, ...] = ()) -> Callable[[F], F]:
    if name in SLOTS[slot].built_in or is_reference(name) or not name:
        raise ScenarioError(f"{SLOTS[slot].field}: '{name}' cannot be registered: take a new name without a colon")

    def register(function: F) -> F:
        _registered[slot][name] = Model(function, aspects)
        return function

    return register


def code_of(slot: str, name: str) -> int:
    """The code by which the kernel knows a model.

    Raises:
        ScenarioError: if there is no such model, with the nearest name.
    """
    built_in = SLOTS[slot].built_in
    if name in built_in:
        return built_in[name]
    find_model(slot, name)
    return CUSTOM


def find_model(slot: str, name: str) -> Model:
    """A model from outside.

    Raises:
        ScenarioError: if there is no such model, with the nearest name.
    """
    if name in _registered[slot]:
        return _registered[slot][name]
    field = SLOTS[slot].field
    if not is_reference(name):
        known = [*SLOTS[slot].built_in, *_registered[slot], *(["auto"] if slot == "quality" else [])]
        hint = did_you_mean(name, known, f"known: {', '.join(known)}, or module:function")
        raise ScenarioError(f"{field}: '{name}' is not known; {hint}")
    try:
        function = load_object(name)
    except LoadError as error:
        raise ScenarioError(f"{field}: {error}") from None
    for model in _registered[slot].values():
        if model.function is function:
            return model
    return Model(function)


def pointers(scenario: Scenario) -> Pointers:
    """The compiled models that a scenario names.

    Raises:
        ScenarioError: if one cannot be found or compiled, or two tables name different rules from outside.
    """
    rules = {scenario.kind(table).rule for table in scenario.quality_tables}
    named = {
        "quality": {rule for rule in rules if rule != "auto" and rule not in SLOTS["quality"].built_in},
        "arrivals": {scenario.arrivals.process},
        "mobility": {scenario.mobility.model},
        "channel": {scenario.radio.channel},
    }
    if len(named["quality"]) > 1:
        raise ScenarioError(f"requests.rule: {sorted(named['quality'])} are two rules from outside; a world takes one")
    compiled = {}
    for slot, names in named.items():
        custom = [name for name in names if name not in SLOTS[slot].built_in]
        compiled[slot] = _compile(slot, find_model(slot, custom[0]).function, custom[0]) if custom else _unused(slot)
    return Pointers(**compiled)


@cache
def _compile(slot: str, function: Callable[..., Any], name: str) -> Any:
    plain = getattr(function, "py_func", function)
    place = SLOTS[slot]
    try:
        return cfunc(place.signature)(plain)
    except (NumbaError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ScenarioError(
            f"{place.field}: '{name}' cannot be compiled as a function of ({place.arguments}): {reason}"
        ) from None


@cache
def _unused(slot: str) -> Any:
    """Fills the place of a model that is never called."""
    return callback(SLOTS[slot].signature, _UNUSED[slot])


def _no_quality(
    experts: Any, n: Any, quality: Any, work: Any, aspects: Any, gate: Any, coherence: Any, temperature: Any
) -> float:
    return 0.0


def _no_arrivals(rate_per_s: Any, slot: Any, slot_s: Any, phase: Any) -> float:
    return 0.0


def _no_move(x: Any, y: Any, to_x: Any, to_y: Any, heading: Any, step: Any, area: Any, u: Any, v: Any) -> Any:
    return x, y, to_x, to_y, heading


def _no_loss(distance_m: Any, carrier_hz: Any, line_of_sight: Any) -> float:
    return 0.0


_UNUSED: dict[str, Any] = {"quality": _no_quality, "arrivals": _no_arrivals, "mobility": _no_move, "channel": _no_loss}
