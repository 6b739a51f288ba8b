"""Everything that is observed, done or configured matters: change it, and some outcome changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from edge_experts.envs import World, load_scenario
from edge_experts.envs.scenario import field_docs
from edge_experts.envs.schema import Kind
from edge_experts.envs.sim.spec import PROVIDER_FIELDS, USER_FIELDS, action_parts, action_sizes, slices
from edge_experts.envs.sim.state import ON_TIME

BUSY = {"arrivals.process": "saturated", "queue_limit_s": 60.0, "devices.count": 3}


def prepared(seed: int = 3, **overrides: Any) -> World:
    """A busy market in the middle of an episode, in which user 0 has placed one segment and waits for the next."""
    world = World("text-v1", seed=seed, overrides={**BUSY, **overrides})
    world.reset()
    world.step(act(world, 2), None)
    return world


def act(world: World, expert: int, power: int = 3) -> np.ndarray:
    actions = world.default_actions("user")
    actions[0, :, 0], actions[0, :, 1] = expert, power
    return actions


def steady(world: World) -> np.ndarray:
    """Provider actions that leave everything as it is."""
    p = world.state.providers
    return np.stack([p.price, p.speed, p.bandwidth, np.zeros_like(p.price), p.views, p.power], axis=-1)


def outcome(
    world: World, actions: Callable[[World], np.ndarray], slots: int = 3, providers: np.ndarray | None = None
) -> np.ndarray:
    """All rewards of a few slots."""
    rewards = []
    for _ in range(slots):
        world.step(actions(world), steady(world) if providers is None else providers)
        rewards += [*world.state.users.reward[0], *world.state.providers.reward[0]]
    return np.array(rewards)


def moves(change: Callable[[World], None], expert: int = 2, **overrides: Any) -> bool:
    """Whether a change of the state, all else equal, changes a reward."""
    world = prepared(**overrides)
    changed = world.fork([0])
    change(changed)
    return not np.array_equal(outcome(world, lambda w: act(w, expert)), outcome(changed, lambda w: act(w, expert)))


def user(name: str, value: Any) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.state.users[name][0, 0] = value

    return change


def expert(name: str, value: Any, index: int = 2) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.state.experts[name][0, index] = value

    return change


def provider(name: str, value: Any, index: int = 2) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.state.providers[name][0, index] = value

    return change


def reverse_order(world: World) -> None:
    world.state.order[0] = world.state.order[0][::-1].copy()


def fade(world: World) -> None:
    world.state.links.gain_db[0, 0] -= 60.0


def other_provider(world: World) -> None:
    world.state.users.serving[0, 0] = (world.state.users.serving[0, 0] + 1) % 4


def other_handover(world: World) -> None:
    world.state.users.handover[0, 0] ^= True


def another_prompt(world: World, now: int) -> int:
    return int(np.flatnonzero(world.params.category != world.params.category[now])[0])


def other_category(world: World) -> None:
    world.state.users.prompt[0, 0] = another_prompt(world, world.state.users.prompt[0, 0])


def other_part_later(world: World) -> None:
    world.state.parts.prompt[0, 0, 2] = another_prompt(world, world.state.parts.prompt[0, 0, 2])


def other_taste(world: World) -> None:
    """Everybody comes to ask for the category that it has asked for least."""
    rarest = world.state.taste[0].argmin(axis=1)
    world.state.taste[0] = np.eye(world.state.taste.shape[2])[rarest]


def next_slot(world: World) -> None:
    world.state.clock.slot[0] += 1


LOCAL = 8
SERVING = {"radio.access": "serving", "radio.handover_s": 3.0}
VARIANTS = {"devices.local_expert": ["phi-3-mini-128k-Q4_K_M", "gemma-2b-it-q8_0"], "devices.memory_gb": [4.0, 8.0]}
VIEWS = {"providers.view_levels": [1, 2], "providers.view_angle_deg": 180.0, "providers.default_views": 1}
RADIO = {"providers.power_factors": [0.1, 1.0], "providers.default_power": 1}
# a change, the expert that is chosen, and the overrides under which the field is there
USER_CAUSES: dict[str, tuple[Any, ...]] = {
    "open": (user("open", False), 2),
    "category": (other_category, 2),
    "later": (other_part_later, 2),
    "taste": (other_taste, 2, {"devices.taste": 0.2}),
    "value": (user("value", 9.0), 2),
    "subtasks_left": (user("done", 2), 2),
    "deadline_left": (user("age", 3), 2),
    "context": (user("context_bits", 1e7), 2),
    "battery": (user("battery_j", 0.0), 2),
    "local_budget": (user("local_budget", 0.0), LOCAL),
    "local_backlog": (user("local_backlog_s", 12.0), LOCAL),
    "turn": (reverse_order, 2),
    "last_expert": (user("last_expert", 3), 2),
    "compute": (provider("speed", 0), 2),
    "quote": (provider("price", 4), 2),
    "backlog": (expert("backlog", 300.0), 2),
    "available": (expert("loaded", False), 2),
    "link": (fade, 2),
    "strict": (user("strict", True), 2, {"requests.strict_share": 1e-9}),
    "memory": (user("memory_gb", 1.0), LOCAL, VARIANTS),
    "in_memory": (user("loaded", LOCAL + 1), LOCAL, VARIANTS),
    "serving": (other_provider, 2, SERVING),
    "handover": (other_handover, 2, SERVING),
    "reachable": (fade, 2, {"radio.min_snr_db": -5.0}),
    "host_views": (provider("views", 0), 2, VIEWS),
    "host_power": (provider("power", 0), 2, RADIO),
}
PROVIDER_CAUSES: dict[str, tuple[Any, ...]] = {
    "backlog": (expert("backlog", 300.0), 2),
    "loaded": (expert("loaded", False), 2),
    "loading": (provider("loading", 2), 2),
    "margin": (provider("price", 0), 2),
    "prices": (provider("price", 4), 2),
    "speed": (provider("speed", 2), 2),
    "bandwidth": (provider("bandwidth", 1), 2),
    "demand": (user("open", False), 2),
    "tastes": (other_taste, 2, {"devices.taste": 0.2}),
    "until_decision": (next_slot, 2, {"providers.period": 4}),
    "views": (provider("views", 0), 2, VIEWS),
    "radio": (provider("power", 0), 2, RADIO),
}
REPORTS = {"user": {"last_latency"}, "provider": {"power", "served", "late"}}
SIGNALS = {"user": {"gate"}, "provider": {"quality"}}


def test_every_field_is_covered() -> None:
    assert {f.name for f in USER_FIELDS} == set(USER_CAUSES) | REPORTS["user"] | SIGNALS["user"]
    assert {f.name for f in PROVIDER_FIELDS} == set(PROVIDER_CAUSES) | REPORTS["provider"] | SIGNALS["provider"]


@pytest.mark.parametrize("name", USER_CAUSES)
def test_what_a_user_observes_moves_an_outcome(name: str) -> None:
    change, choice, overrides = (*USER_CAUSES[name], {})[:3]
    assert moves(change, choice, **overrides)
    assert observation_shows("user", name, change, overrides)


@pytest.mark.parametrize("name", PROVIDER_CAUSES)
def test_what_a_provider_observes_moves_an_outcome(name: str) -> None:
    change, choice, overrides = (*PROVIDER_CAUSES[name], {})[:3]
    if name == "loading":
        world = prepared()
        keep = world.default_actions("provider")
        load = keep.copy()
        load[0, 0, 3] = 2
        assert not np.array_equal(
            outcome(world.fork([0]), lambda w: act(w, 4), 4, load), outcome(world, lambda w: act(w, 4), 4, keep)
        )
        world.step(None, load)
        assert world.views.providers[0, 0, slices("provider", world.sizes)["loading"]].max() > 0
        return
    assert moves(change, choice, **overrides)
    assert observation_shows("provider", name, change, overrides)


def observation_shows(role: str, name: str, change: Callable[[World], None], overrides: dict[str, Any]) -> bool:
    """Whether the field shows the change: the same state, observed with and without it."""
    world = prepared(**overrides)
    changed = world.fork([0])
    change(changed)
    if name == "turn":
        changed.state.users.turn[0, changed.state.order[0]] = np.arange(3)
    fields = []
    for each in (world, changed):
        views = each.observe()
        fields.append((views.users if role == "user" else views.providers)[..., slices(role, each.sizes)[name]].copy())
    return not np.array_equal(*fields)


def test_reports_tell_what_happened(rng: np.random.Generator) -> None:
    world = prepared()
    where = {role: slices(role, world.sizes) for role in ("user", "provider")}
    told = 0
    for _ in range(20):
        world.step(*world.sample_actions(rng))
        users, providers = world.state.users[0], world.state.providers[0]
        done = users.latency_s > 0
        shown = world.views.users[0, done][:, where["user"]["last_latency"]][:, 0]
        assert np.allclose(shown, np.minimum(4, users.latency_s[done] / 20), atol=1e-6)
        assert np.allclose(world.views.providers[0][:, where["provider"]["served"]][:, 0] * 3, providers.served)
        assert np.allclose(world.views.providers[0][:, where["provider"]["late"]][:, 0] * 3, providers.late)
        rated = [60 + sum(world.params.machines.power_w[e] for e in range(p, 8, 4)) for p in range(4)]
        assert np.allclose(
            world.views.providers[0][:, where["provider"]["power"]][:, 0], providers.power_w / rated, rtol=1e-5
        )
        told += done.sum() + providers.served.sum()
    assert told > 20


def test_the_gate_informs_of_the_quality_to_come() -> None:
    def correlation(skill: float) -> float:
        world = World(
            "text-v1",
            n_worlds=64,
            seed=1,
            overrides={"gate.skill": skill, "gate.noise": 0.05, "arrivals.process": "saturated"},
        )
        world.reset()
        assert (world.state.users.done == 0).all()
        deviation = world.params.scores.quality - world.params.priors.quality[world.params.category]
        reading = world.state.gate - world.params.priors.quality[world.params.category[world.state.users.prompt]]
        return float(np.corrcoef(reading.ravel(), deviation[world.state.users.prompt].ravel())[0, 1])

    assert abs(correlation(0.0)) < 0.05 and correlation(0.8) > 0.9


@pytest.mark.parametrize(("role", "part"), [("user", i) for i in range(2)] + [("provider", i) for i in range(6)])
def test_every_choice_of_every_action_moves_an_outcome(role: str, part: int) -> None:
    """All legal choices of a part, played by one agent in copies of the same world, lead to different lives."""
    world = prepared(**VIEWS, **RADIO)
    choices = action_sizes(role, world.sizes)[part]
    lives = {}
    for choice in range(choices):
        # every provider's catalogue has two places, of which only those of providers 0 and 1 can be loaded
        for agent in range(2):
            copy = world.fork([0])
            users, providers = act(copy, 0), copy.default_actions("provider")
            (users if role == "user" else providers)[0, agent, part] = choice
            first = outcome(copy, lambda w, d=users: d, 1, providers)
            later = np.concatenate([outcome(copy, lambda w: act(w, 0), 2), outcome(copy, lambda w: act(w, 4), 4)])
            lives[agent, choice] = (first.tobytes(), later.tobytes())
    legal = world.views.user_masks[0, 0, :10] if (role, part) == ("user", 0) else np.ones(choices)
    distinct = {lives[0, choice] for choice in range(choices) if legal[choice]}
    if (role, action_parts(role, world.sizes)[part][0]) == ("provider", "load"):
        assert lives[0, 0] == lives[0, 1] and lives[0, 2] != lives[0, 0], "gemma-7b is loaded, phi-3 can be"
        return
    assert len(distinct) == int(legal.sum())


TWO = {
    "tables.quality": ["text", "video"],
    "experts": ["gemma-7b-it", "reka-edge", "reka-flash", "gen3", "kling"],
    "kinds": {"video": {"share": 1.0}},
}
OUTAGE = {"events.outage_expert": "reka-flash"}


def free_space(distance_m, carrier_hz, line_of_sight):  # type: ignore[no-untyped-def]
    return 20.0 * math.log10(4.0 * math.pi * max(distance_m, 1.0) * carrier_hz / 299_792_458.0)


# a value that differs from text-v1's default, and what else must hold for the field to act
CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "id": None,
    "title": None,  # names
    "experts": (["gemma-7b-it", "reka-edge", "reka-flash", "qwen1.5-72b-chat"], {}),
    "queue_limit_s": (2.0, BUSY),
    "episode.slots": (7, {}),
    "episode.slot_s": (4.0, {}),
    "episode.requests_per_user": (1, {}),
    "tables.quality": "a file",
    "tables.experts": "a file",
    "about": None,
    "source": None,
    "kinds": ({"video": {"share": 3.0}}, TWO),
    "requests.rule": ("ensemble", {}),
    "requests.split_work": (False, {}),
    "requests.distinct": (True, {}),
    "requests.temperature": (5.0, {"requests.rule": "ensemble"}),
    "requests.strict_share": (0.5, {}),
    "requests.max_hallucination": (0.02, {"requests.strict_share": 0.5}),
    "tables.split": ("heldout", {}),
    "tables.prompts": (50, {}),
    "requests.value_low": (1.0, {}),
    "requests.value_high": (9.0, {}),
    "requests.subtasks": (2, {}),
    "requests.deadline_slots": (3, {}),
    "requests.context_tokens": (5000.0, {}),
    "requests.context_spread": (0.1, {}),
    "requests.coherence": (0.5, {}),
    "requests.parts": ("shared", {}),
    "requests.topic_share": (1.0, {}),
    "requests.dispatch": ("parallel", {"requests.rule": "ensemble", "requests.parts": "shared"}),
    "arrivals.process": ("bursty", {}),
    "arrivals.rate_per_s": (0.2, {}),
    "arrivals.burst_ratio": (9.0, {"arrivals.process": "bursty"}),
    "arrivals.burst_slots": (2.0, {"arrivals.process": "bursty"}),
    "gate.source": "a file",
    "gate.skill": (0.1, {}),
    "gate.noise": (0.3, {}),
    "gate.length": (True, {}),
    "radio.channel": (f"{__file__}:free_space", {}),
    "radio.access": ("serving", {}),
    "radio.handover_margin_db": (20.0, {"radio.access": "serving", "mobility.speed_mps": 30.0}),
    "radio.handover_s": (4.0, {"radio.access": "serving", "mobility.speed_mps": 30.0}),
    "radio.min_snr_db": (20.0, {}),
    "radio.range_m": (100.0, {}),
    "radio.carrier_hz": (28e9, {}),
    "radio.bandwidth_hz": (1e6, {}),
    "radio.noise_dbm_hz": (-150.0, {}),
    "radio.noise_figure_db": (12.0, {}),
    "radio.provider_power_w": (0.01, {}),
    "radio.max_tx_s": (0.01, {}),
    "radio.backhaul_bps": (1e5, {}),
    "radio.cloud_rtt_s": (2.0, {}),
    "mobility.model": ("highway", {}),
    "mobility.speed_mps": (20.0, {}),
    "mobility.area_m": (900.0, {}),
    "devices.count": (9, {}),
    "devices.act": (False, {}),
    "devices.may_wait": (False, {}),
    "devices.power_levels_w": ([0.1, 0.2], {}),
    "devices.churn": (0.1, {}),
    "devices.taste": (0.5, {}),
    "devices.battery_j": (5.0, {}),
    "devices.scripted": (4, {}),
    "devices.at_home": (True, {"mobility.model": "static"}),
    "devices.memory_gb": ([2.0, 4.0], VARIANTS),
    "devices.load_gb_per_s": (0.1, VARIANTS),
    "devices.local_expert": ("phi-3-mini-128k", {}),
    "devices.local_seconds_per_unit": (0.01, {}),
    "devices.local_power_w": (50.0, {}),
    "devices.local_budget_units": (30.0, {}),
    "providers.count": (2, {"providers.memory_gb": 18.0}),
    "providers.act": (False, {}),
    "providers.period": (4, {}),
    "providers.price_levels": ([1.0, 2.0, 3.0], {}),
    "providers.speed_levels": ([0.5, 1.0], {}),
    "providers.default_price": (0, {"providers.act": False}),
    "providers.default_speed": (0, {"providers.act": False}),
    "providers.default_bandwidth": (2, {"providers.act": False}),
    "providers.default_views": (0, {**VIEWS, "providers.act": False}),
    "providers.default_power": (0, {**RADIO, "providers.act": False}),
    "providers.view_levels": ([1, 3], {"providers.view_angle_deg": 90.0}),
    "providers.view_angle_deg": (90.0, {}),
    "providers.power_factors": ([0.1], {}),
    "providers.machines": ([0.5, 2.0], {}),
    "providers.memory_gb": (40.0, {}),
    "providers.load_gb_per_s": (10.0, {}),
    "providers.load_cost_per_gb": (1.0, {}),
    "providers.usd_per_kwh": (0.5, {}),
    "providers.idle_power_w": (500.0, {}),
    "providers.late_penalty": (3.0, {}),
    "rewards.energy_weight": (0.1, {}),
    "rewards.latency_weight": (0.5, {}),
    "rewards.team": (0.5, {}),
    "rewards.others": (0.5, {}),
    "events.outage_expert": ("reka-flash", {}),
    "events.outage_slot": (10, OUTAGE),
    "events.outage_slots": (3, OUTAGE),
    "events.price_factor": (3.0, {}),
    "events.price_slot": (10, {"events.price_factor": 3.0}),
}  # type: ignore[dict-item]


def test_every_scenario_field_has_a_change() -> None:
    assert {name for name, _ in field_docs()} == set(CHANGES)


def life(overrides: dict[str, Any]) -> list[bytes]:
    """Everything agents see and get over an episode; roles that do not act keep their defaults."""
    world = World(load_scenario("text-v1", overrides), n_worlds=4, seed=6)
    rng = np.random.default_rng(0)
    seen = [view.tobytes() for view in world.reset()]
    for _ in range(30):
        users, providers = world.sample_actions(rng)
        scenario = world.scenario
        world.step(users if scenario.devices.act else None, providers if scenario.providers.act else None)
        seen += [view.tobytes() for view in world.views]
        seen += [
            world.state.users.reward.tobytes(),
            world.state.providers.reward.tobytes(),
            world.state.clock.over.tobytes(),
        ]
    return seen


@pytest.mark.parametrize("name", [name for name, change in CHANGES.items() if isinstance(change, tuple)])
def test_every_scenario_field_moves_an_outcome(name: str) -> None:
    value, context = CHANGES[name]
    default = load_scenario("text-v1").replace(context)
    part: Any = default
    for step in name.split("."):
        part = getattr(part, step)
    assert part != value
    assert life({**context, name: value}) != life(context)


def test_nobody_profits_from_doing_nothing() -> None:
    """A user that never places earns nothing and less than one that plays; a provider without custom loses money."""
    from edge_experts.baselines.heuristics.policies import make_policy

    world = World("text-v1", n_worlds=32, seed=8)
    world.reset()
    policy = make_policy("coordinated", world)
    active, idle = 0.0, 0.0
    for _ in range(100):
        users, _ = policy.act(world)
        users[:, 0] = (world.sizes.X, 0)
        world.step(users, None)
        idle += world.state.users.reward[:, 0].mean()
        active += world.state.users.reward[:, 1:].mean()
    assert idle == 0.0 and active > 20
    gouging = World("text-v1", n_worlds=8, seed=8)
    gouging.reset()
    top = gouging.default_actions("provider")
    top[..., 0] = 4
    gouging.step(None, top)
    assert (gouging.state.providers.reward < 0).all()
    assert (gouging.state.users.ended != ON_TIME).all()


KIND_CHANGES: dict[str, Any] = {
    "share": 5.0,
    "rule": "ensemble",
    "value_low": 0.5,
    "value_high": 99.0,
    "subtasks": 2,
    "parts": "shared",
    "topic_share": 1.0,
    "deadline_slots": 3,
    "context_tokens": 99.0,
    "coherence": 0.5,
}


def test_every_field_of_a_kind_has_a_change() -> None:
    assert set(KIND_CHANGES) == {item.name for item in fields(Kind)}


@pytest.mark.parametrize("name", KIND_CHANGES)
def test_every_field_of_a_kind_moves_an_outcome(name: str) -> None:
    changed = {**TWO, "kinds": {"video": {"share": 1.0}, "text": {name: KIND_CHANGES[name]}}}
    assert life(changed) != life(TWO)
