"""The compiled kernel against a plain reference, on random scenarios."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from building import parts_market
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import Reference, read_world

from edge_experts.envs import World, load_scenario
from edge_experts.envs.physics import jit

EXPERTS = [
    "gemma-7b-it",
    "reka-edge",
    "reka-flash",
    "qwen1.5-72b-chat",
    "phi-3-mini-128k",
    "gemma-2b-it",
    "gpt-3.5-turbo-0125",
    "reka-core",
]


@st.composite
def scenarios(draw: Any) -> dict[str, Any]:
    count = draw(st.integers(2, 8))
    local = draw(st.sampled_from(["", "gemma-2b-it"]))
    return {
        "experts": EXPERTS[:count],
        "providers.count": draw(st.integers(1, min(count, 4))),
        "providers.memory_gb": draw(st.sampled_from([18.0, 25.0])),
        "devices.count": draw(st.integers(1, 6)),
        "devices.churn": draw(st.sampled_from([0.0, 0.1])),
        "devices.battery_j": draw(st.sampled_from([3.0, 2000.0])),
        "devices.may_wait": draw(st.booleans()),
        "devices.local_expert": local,
        "devices.local_budget_units": 150.0 if local else 0.0,
        "mobility.model": draw(st.sampled_from(["static", "waypoint", "highway"])),
        "arrivals.process": draw(st.sampled_from(["saturated", "poisson", "bursty", "trace_conv", "trace_code"])),
        "arrivals.rate_per_s": 0.2,
        "queue_limit_s": draw(st.sampled_from([2.0, 10.0])),
        "requests.subtasks": draw(st.integers(1, 4)),
        "requests.parts": draw(st.sampled_from(["auto", "own", "shared"])),
        "requests.topic_share": draw(st.sampled_from([0.0, 0.6, 1.0])),
        "tables.prompts": draw(st.sampled_from([0, 40])),
        "devices.taste": draw(st.sampled_from([None, 0.05, 2.0])),
        "providers.period": draw(st.sampled_from([1, 3])),
        "requests.deadline_slots": draw(st.integers(2, 5)),
        "radio.bandwidth_hz": draw(st.sampled_from([2e4, 5e6])),
        "episode.requests_per_user": draw(st.sampled_from([0, 3])),
        "episode.slot_s": draw(st.sampled_from([2.5, 5.0])),
        "rewards.team": draw(st.sampled_from([0.0, 0.4, 1.0])),
        "episode.slots": 1000,
    }


@given(overrides=scenarios(), seed=st.integers(0, 2**40))
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_kernel_equals_the_plain_reference(overrides: dict[str, Any], seed: int) -> None:
    play_beside_reference("text-v1", overrides, seed, 12)


@st.composite
def changes(draw: Any) -> dict[str, Any]:
    """Changes that any shipped market bears."""
    return {
        "devices.count": draw(st.integers(3, 6)),
        "devices.scripted": draw(st.integers(0, 2)),
        "devices.taste": draw(st.sampled_from([None, 0.5])),
        "providers.period": draw(st.sampled_from([1, 4])),
        "requests.topic_share": draw(st.sampled_from([0.0, 0.5])),
        "devices.churn": draw(st.sampled_from([0.0, 0.1])),
        "arrivals.process": "saturated",
        "requests.strict_share": draw(st.sampled_from([0.0, 0.5])),
        "requests.max_hallucination": 0.2,
        "providers.view_levels": [1, 2],
        "providers.view_angle_deg": 150.0,
        "providers.default_views": 1,
        "providers.power_factors": [0.5, 1.0, 2.0],
        "providers.default_power": 1,
        "events.price_factor": 2.0,
        "events.price_slot": draw(st.integers(0, 8)),
        "events.outage_slot": 3,
        "events.outage_slots": 4,
        "radio.min_snr_db": draw(st.sampled_from([None, 10.0])),
        "episode.slots": 1000,
    }


@pytest.mark.parametrize("name", ["video-v1", "object3d-v1", "mixed-v1", "compact-v1", "vehicles-v1", "networked-v1"])
@given(overrides=changes(), seed=st.integers(0, 2**40))
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_every_market_equals_the_plain_reference(name: str, overrides: dict[str, Any], seed: int) -> None:
    failing = load_scenario(name).experts[seed % 3]
    play_beside_reference(name, {**overrides, "events.outage_expert": failing}, seed, 16)


@given(
    overrides=changes(),
    k=st.integers(2, 4),
    split_work=st.booleans(),
    narrow=st.booleans(),
    local=st.sampled_from([{}, {"devices.local_expert": "gemma-2b-it", "devices.local_budget_units": 150.0}]),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_ensembles_asked_in_one_slot_equal_the_plain_reference(
    overrides: dict[str, Any], k: int, split_work: bool, narrow: bool, local: dict[str, Any], seed: int
) -> None:
    """Few providers with several experts each and short queues, so that parts share a band and some are refused."""
    crowded = {"providers.count": 2, "providers.memory_gb": 60.0, "devices.at_home": False, "queue_limit_s": 4.0}
    asked = {"requests.dispatch": "parallel", "requests.subtasks": k, "requests.split_work": split_work}
    kept = {**overrides, **asked, **(crowded if narrow else {}), **local, "radio.range_m": None}
    play_beside_reference("networked-v1", kept, seed, 12)


@pytest.mark.parametrize("source", ["auto", "modelled"])
def test_tables_with_parts_a_gate_and_features_equal_the_plain_reference(tmp_path: Path, source: str) -> None:
    market = {**parts_market(tmp_path), "gate.source": source, "requests.topic_share": 0.5, "devices.taste": 0.5}
    play_beside_reference("text-v1", {**market, "devices.count": 8, "arrivals.process": "saturated"}, 5, 40)


def play_beside_reference(name: str, overrides: dict[str, Any], seed: int, slots: int) -> None:
    world = World(name, n_worlds=2, seed=seed, overrides=overrides)
    world.reset()
    reference = Reference(world)
    rng = np.random.default_rng(seed)
    limits = {role: world._limits[role] for role in ("user", "provider")}
    for _ in range(slots):
        legal = world.sample_actions(rng)
        # one in five actions is anything at all, legal or not
        users, providers = (
            np.where(rng.random((*a.shape[:-1], 1)) < 0.2, rng.integers(0, limits[role], a.shape), a)
            for role, a in zip(("user", "provider"), legal, strict=True)
        )
        plain = read_world(world, 1)
        expected = reference.step(plain, users[1], providers[1])
        world.step(users, providers)
        if world.state.clock.over[1]:
            break
        compare(world, plain, expected)


def compare(world: World, plain: dict[str, Any], expected: dict[str, Any]) -> None:
    users, providers = world.state.users[1], world.state.providers[1]
    assert world.state.asked[1].tolist() == expected["asked"]
    np.testing.assert_allclose(world.state.share[1], expected["share"], rtol=1e-9, atol=1e-12)
    for name in ("placed", "refused", "ended", "terminated", "joined", "arrived"):
        assert users[name].tolist() == expected[name], name
    assert (
        users.invalid.tolist() == expected["user_invalid"]
        and providers.invalid.tolist() == expected["provider_invalid"]
    )
    assert users.handover.tolist() == expected["handover"]
    for name in ("quality", "latency_s", "hallucination", "part_latency_s", "earned", "payment", "energy", "latency"):
        np.testing.assert_allclose(users[name], expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
    for name in ("revenue", "electricity", "loading_cost", "late_cost"):
        np.testing.assert_allclose(providers[name], expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(users.reward, expected["user_reward"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(providers.reward, expected["provider_reward"], rtol=1e-9, atol=1e-12)
    now = read_world(world, 1)
    assert now["order"] == plain["order"]
    for user, other in zip(now["users"], plain["users"], strict=True):
        for name in (
            "presence",
            "open",
            "requests",
            "battery_j",
            "local_backlog_s",
            "x_m",
            "y_m",
            "last_latency_s",
            "serving",
        ):
            assert user[name] == pytest.approx(other[name], rel=1e-9, abs=1e-12), name
        if user["open"]:
            for name in (
                "prompt",
                "age",
                "done",
                "last_expert",
                "value",
                "context_bits",
                "strict",
                "kind",
                "output_bits",
                "finish_s",
                "local_budget",
            ):
                assert user[name] == pytest.approx(other[name], rel=1e-9, abs=1e-12), name
    for expert, other in zip(now["experts"], plain["experts"], strict=True):
        assert expert["loaded"] == other["loaded"] and expert["backlog"] == pytest.approx(
            other["backlog"], rel=1e-9, abs=1e-9
        )
    for link, other in zip(sum(now["links"], []), sum(plain["links"], []), strict=True):
        for name, value in link.items():
            assert value == pytest.approx(other[name], rel=1e-9, abs=1e-9), name
    np.testing.assert_allclose(now["gate"], plain["gate"], rtol=1e-12)
    for u, user in enumerate(now["users"]):
        assert not user["open"] or now["parts"]["prompt"][u] == plain["parts"]["prompt"][u]
        for name in ("expert", "gate"):
            mine, other = (parts[name][u][: user["done"]] for parts in (now["parts"], plain["parts"]))
            assert mine == pytest.approx(other, rel=1e-12), name


INTERPRETED = """
import numpy as np
from edge_experts.envs import World
world = World("text-v1", n_worlds=2, seed=5, overrides={"devices.count": 4, "devices.churn": 0.1, "episode.slots": 6})
rng = np.random.default_rng(0)
world.reset()
for _ in range(9):
    world.step(*world.sample_actions(rng))
    users, providers = world.state.users, world.state.providers
    shown = (world.state.links.gain_db, world.views.users, world.views.providers)
    for values in (users.reward, providers.reward, *shown):
        print(repr(float(values.sum())))
"""


def test_interpreted_functions_give_the_same_numbers() -> None:
    """NUMBA_DISABLE_JIT=1 runs the same functions as plain Python: the debugger's view must not differ."""

    def run(**env: str) -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", INTERPRETED], capture_output=True, text=True, check=True, env={**os.environ, **env}
        )
        return [float(x) for x in done.stdout.split()]

    assert run(NUMBA_DISABLE_JIT="1") == pytest.approx(run(), rel=1e-9)


ELSEWHERE = """
from edge_experts.envs.physics.jit import entry
@entry
def double(x):
    return 2.0 * x
"""


def test_cached_machine_code_is_found_in_every_process_and_dropped_when_a_source_changes(tmp_path: Path) -> None:
    """A kernel that stands outside of `envs`, as the planners do: its stamp covers both folders, in one order."""
    (tmp_path / "kernels.py").write_text(ELSEWHERE)
    script = (
        "import kernels; from edge_experts.envs.physics.jit import bind; assert bind(kernels.double, 1.5)(1.5) == 3.0; "
        "print(sum(kernels.double.stats.cache_misses.values()))"
    )

    def compilations(hash_seed: int) -> int:
        environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
        return int(done.stdout)

    assert [compilations(hash_seed) for hash_seed in (1, 2, 3, 4)] == [1, 0, 0, 0]
    (tmp_path / "formulas.py").write_text("# another file of the same folder\n")
    assert compilations(1) == 1
    for index in (tmp_path / "cache").rglob("*.nbi"):  # what another version kept, whose types are gone
        index.write_bytes(pickle.dumps(numba.__version__) + b"cedge_experts.envs.sim.state\nGone\n.")
    assert [compilations(1), compilations(2)] == [1, 0]


def test_the_stamp_of_the_kernel_covers_every_file_of_the_environments(tmp_path: Path) -> None:
    from edge_experts.envs.physics import kept_code

    package = tmp_path / "envs"
    shutil.copytree(kept_code.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "*.csv"))
    stamps = {kept_code.fingerprint(package, package)}
    sources = sorted(package.rglob("*.py"))
    for source in sources:
        source.write_text(source.read_text() + "\n")
        stamps.add(kept_code.fingerprint(package, package))
    assert len(stamps) == len(sources) + 1


NOWHERE_TO_CACHE = """
import numpy as np
from edge_experts.envs.physics.jit import bind
from edge_experts.envs.sim.kernel.step import first_wrong
limits = np.array([3, 4])
for actions in (np.array([[[2, 3], [0, 4]]]), np.array([[[2, 3], [0, 3]]], np.int32)):
    print(bind(first_wrong, actions, limits)(actions, limits))
"""


def test_where_nothing_can_be_kept_it_works_and_says_that_it_compiles(tmp_path: Path) -> None:
    """All its kernels are imported; the smallest is compiled, for two types."""
    (tmp_path / "file").touch()  # no folder can be made below it
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "file")}
    command = [sys.executable, "-c", NOWHERE_TO_CACHE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert [int(line) for line in done.stdout.split()] == [3, -1]
    assert done.stderr.count("compiling the simulation for this machine") == 1
    assert "edge-experts cannot be written: set NUMBA_CACHE_DIR" in done.stderr


def test_first_step_with_a_warm_cache_is_silent() -> None:
    script = "from edge_experts.envs import World; w = World('text-v1'); w.reset(); w.step()"
    World("text-v1")  # fills the cache
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_handle_is_seen_through_and_keeps_what_it_holds(tmp_path: Path) -> None:
    """Also where nothing is compiled."""
    code = """
import gc
import numpy as np
from edge_experts.envs.physics.handle import Handle, held
from edge_experts.envs.physics.jit import bind
from numba import njit

@njit
def total(handle, factor):
    (a, (b, c)), d = held(handle)
    a[0] += 1.0
    return factor * (a.sum() + b.sum() + c[0].x + d)

record = np.zeros(1, [("x", float)]).view(np.recarray)
a = np.arange(3.0)
handle = Handle((a, (np.ones((2, 2)), record)), 5)
gc.collect()
record[0].x = 7.0  # written after it was handed over
call = bind(total, handle, 2.0)
assert call(handle, 2.0) == 2.0 * (4.0 + 4.0 + 7.0 + 5.0) and a[0] == 1.0
assert call(handle, 2.0) == 2.0 * (5.0 + 4.0 + 7.0 + 5.0) and a[0] == 2.0
"""
    for disabled in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled, "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_terminal_sees_that_compiling_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for terminal, is_shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(jit, "SECOND", 0.01)
        monkeypatch.setattr(jit._Announcement, "made", False)
        announcement = jit._Announcement(kept=True)
        announcement.on_start(None)
        announcement.on_start(None)  # a function that the first one is made of
        time.sleep(0.2)
        announcement.on_end(None)
        assert (announcement._ticking is not None) == is_shown
        announcement.on_end(None)
        assert announcement._ticking is None
        text = terminal.getvalue()
        assert text.count("compiling the simulation") == 1 and ("\rcompiling " in text) == is_shown, text
