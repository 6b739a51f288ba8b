"""A table of attacks: whatever a field, an action or a call is given that it cannot mean, one line names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_bounds import HINTS, NUMBERS

from edge_experts.envs import FlatEnv, ScenarioError, World, load_scenario, make
from edge_experts.envs.api.aec_env import aec_env
from edge_experts.envs.registry import EnvError

TEXT = "edge_experts/text-v1"
LONGEST = 500  # characters of a message
JUNK: dict[str, Any] = {
    "nan": float("nan"),
    "infinite": float("inf"),
    "flag": True,
    "word": "many",
    "mapping": {"a": 1},
    "long": "x" * 1_000_000,
}
FIELDS = [(name, what) for name in sorted(NUMBERS) for what in JUNK]
FLAGS = [(name, what) for name, hint in HINTS.items() if "Strict" in str(hint) for what in ("word", "nan", "mapping")]
WORDS = [(name, what) for name, hint in HINTS.items() if hint is str for what in ("nan", "mapping", "flag")]


@pytest.mark.parametrize(("name", "what"), FIELDS + FLAGS + WORDS)
def test_a_field_of_a_scenario(name: str, what: str) -> None:
    for given in (JUNK[what], [JUNK[what]]):
        with pytest.raises(ScenarioError, match=f"^{name}[.0-9]*: ") as error:
            load_scenario(TEXT, {name: given})
        assert "\n" not in str(error.value) and len(str(error.value)) < LONGEST


def _world() -> World:
    return World(TEXT, 2)


def _market() -> Any:
    env = make(TEXT)
    env.reset(seed=1)
    return env


def _flat(kind: str) -> Any:
    env = FlatEnv(TEXT, actions=kind)
    env.reset(seed=1)
    return env


def _each(env: Any, change: Callable[[Any], Any]) -> Any:
    return env.step({agent: change(env.action_space(agent).sample()) for agent in env.agents})


def _in_turn(action: Any) -> Any:
    env = aec_env(scenario=TEXT)
    env.reset(seed=1)
    return env.step(action)


CALLS: list[tuple[str, Callable[[], Any], str]] = [
    # worlds
    ("no worlds", lambda: World(TEXT, 0), "n_worlds: 0, expected an integer"),
    ("half a world", lambda: World(TEXT, 1.5), "n_worlds: 1.5"),  # type: ignore[arg-type]
    ("true worlds", lambda: World(TEXT, True), "n_worlds: True"),
    ("worlds by word", lambda: World(TEXT, "2"), "n_worlds: '2'"),  # type: ignore[arg-type]
    ("negative seed", lambda: World(TEXT, seed=-1), "seed: -1"),
    ("endless seed", lambda: World(TEXT, seed=2**63), "seed: 9223372036854775808"),
    ("seed of a flag", lambda: World(TEXT, seed=True), "seed: True"),
    ("no threads", lambda: World(TEXT, threads=0), "threads: 0"),
    ("reset to a fraction", lambda: _world().reset(seed=0.5), "seed: 0.5"),  # type: ignore[arg-type]
    ("episode before the first", lambda: _world().reset(episode=-1), "episode: -1"),
    ("episode after the last", lambda: _world().reset(episode=2**31), "episode: 2147483648"),
    ("fork of half", lambda: _world().fork([0.5]), "worlds: "),
    ("fork of flags", lambda: _world().fork([True, False]), "worlds: "),
    ("fork of none", lambda: _world().fork([]), "worlds: "),
    ("fork of one that is not", lambda: _world().fork([2]), "worlds: "),
    ("fork below", lambda: _world().fork([-1]), "worlds: "),
    ("fork of too large a number", lambda: _world().fork([2**70]), "worlds: "),
    ("fork of a table", lambda: _world().fork([[0], [1]]), "worlds: "),
    ("actions of a word", lambda: _world().step("x"), "user actions: "),
    ("actions of nan", lambda: _world().step(np.full((2, 16, 2), np.nan)), "user actions: float64"),
    ("actions of flags", lambda: _world().step(np.zeros((2, 16, 2), bool)), "user actions: bool"),
    ("actions of one world", lambda: _world().step(np.zeros((1, 16, 2), int)), "user actions: .*shape"),
    ("actions beyond", lambda: _world().step(np.full((2, 16, 2), 99)), "user actions: expert = 99 of user 0"),
    ("actions below", lambda: _world().step(np.full((2, 16, 2), -1)), "user actions: expert = -1 of user 0"),
    ("prices beyond", lambda: _world().step(None, np.full((2, 4, 6), 9)), "provider actions: price = 9"),
    ("prices of objects", lambda: _world().step(None, [[None] * 4] * 2), "provider actions: "),
    # scenarios
    ("scenario of a number", lambda: load_scenario(5), "scenario: '5' is not known"),  # type: ignore[arg-type]
    ("scenario of nothing", lambda: load_scenario({}), "id: is required"),
    ("scenario with a typo", lambda: load_scenario("edge_experts/txt-v1"), "did you mean 'edge_experts/text-v1'"),
    ("changes in a list", lambda: load_scenario(TEXT, [1]), "overrides: .* is no mapping"),  # type: ignore[arg-type]
    ("a field that is not", lambda: load_scenario(TEXT, {"devices.cuont": 1}), "did you mean 'devices.count'"),
    ("a field of nothing", lambda: load_scenario(TEXT, {"": 1}), "unknown field"),
    ("a field with a line break", lambda: load_scenario(TEXT, {"a\nb": 1}), "a b: unknown field"),
    ("a field of a number", lambda: load_scenario(TEXT, {5: 1}), "5: unknown field"),  # type: ignore[dict-item]
    ("a section as a number", lambda: load_scenario(TEXT, {"devices": 5}), "devices: 5 is not valid"),
    ("a section as a list", lambda: load_scenario(TEXT, {"devices": [1]}), "devices: "),
    ("an entry far away", lambda: load_scenario(TEXT, {"experts.99": "x"}), "experts.99: unknown field"),
    # parallel
    ("no actions", lambda: _market().step(None), "actions: None, expected a mapping"),
    ("actions in a list", lambda: _market().step([0]), r"actions: \[0\], expected a mapping"),
    ("nobody's action", lambda: _market().step({}), "'user_0' is missing|'provider_0' is missing"),
    ("a stranger's action", lambda: _market().step({"x": 0}), "'x' is not in the present agents"),
    ("halves", lambda: _each(_market(), lambda a: a + 0.5), "which is not in MultiDiscrete"),
    ("below", lambda: _each(_market(), lambda a: a * 0 - 1), "actions: .*= -1"),
    ("beyond", lambda: _each(_market(), lambda a: a * 0 + 99), "actions: .*= 99"),
    ("words", lambda: _each(_market(), lambda a: "abc"), "plays 'abc'"),
    ("nothing each", lambda: _each(_market(), lambda a: None), "plays None"),
    ("too many parts", lambda: _each(_market(), lambda a: [*a, 0]), "which is not in"),
    ("a scalar", lambda: _each(_market(), lambda a: 1), "plays 1"),
    ("objects", lambda: _each(_market(), lambda a: object()), "which is not in"),
    ("a reset to a fraction", lambda: _market().reset(seed=0.5), "seed: 0.5"),
    ("a reset below", lambda: _market().reset(seed=-1), "seed: -1"),
    ("before reset", lambda: make(TEXT).step({}), "call reset"),
    ("an unknown render mode", lambda: make(TEXT, render_mode="film"), "render_mode: 'film'"),
    ("an unknown keyword", lambda: make(TEXT, speed=3), "cannot be made with"),
    # flat
    ("a box too far", lambda: _each(_flat("box"), lambda a: a * 0 + 7), r"which is not in Box.*: clip it"),
    ("a box of nan", lambda: _each(_flat("box"), lambda a: a * np.nan), "which is not in Box"),
    ("a box of words", lambda: _each(_flat("box"), lambda a: "x"), "which is not in Box"),
    ("a discrete half", lambda: _each(_flat("discrete"), lambda a: 0.5), "which is not in Discrete"),
    ("a discrete below", lambda: _each(_flat("discrete"), lambda a: -1), "which is not in Discrete"),
    ("a discrete beyond", lambda: _each(_flat("discrete"), lambda a: 10**9), "which is not in Discrete"),
    ("flat without actions", lambda: _flat("box").step(None), "actions: None"),
    ("an unknown kind of flat", lambda: FlatEnv(TEXT, actions="square"), "actions: 'square'"),
    # in turn
    ("in turn: beyond", lambda: _in_turn(np.array([99, 99])), r"action: array\(\[99, 99\]\) of .provider_0. is not in"),
    ("in turn: nothing", lambda: _in_turn(None), "action: None"),
    ("in turn: a word", lambda: _in_turn("x"), "action: 'x'"),
]


@pytest.mark.parametrize(("call", "said"), [(call, said) for _, call, said in CALLS], ids=[name for name, *_ in CALLS])
def test_a_call(call: Callable[[], Any], said: str) -> None:
    with pytest.raises((ValueError, EnvError), match=said) as error:
        call()
    assert "\n" not in str(error.value) and len(str(error.value)) < LONGEST


def test_the_table_is_long() -> None:
    assert len(FIELDS) + len(FLAGS) + len(WORDS) + len(CALLS) > 500
