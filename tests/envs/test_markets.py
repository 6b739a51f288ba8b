"""What sets each scenario apart, and what each held-out twin changes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from edge_experts.baselines.evaluation.evaluate import evaluate
from edge_experts.envs import EdgeEnv, World, heldout_ids, load_scenario, shipped_ids
from edge_experts.envs.api.policy import GateFollowers
from edge_experts.envs.sim.state import ON_TIME

MARKETS = [name for name in shipped_ids() if not name.endswith("netmoe-v1")]


def played(name: str, slots: int, n_worlds: int = 16, seed: int = 1, **overrides: Any) -> World:
    world, rng = World(name, n_worlds, seed, overrides), np.random.default_rng(seed)
    world.reset()
    for _ in range(slots):
        world.step(*world.sample_actions(rng))
    return world


def test_a_change_of_video_expert_costs_coherence() -> None:
    """Every scene is a task of its own, and is worth what its own prompt's rating says."""
    world, rng = World("video-v1", 32, seed=2), np.random.default_rng(2)
    world.reset()
    seen = {False: 0, True: 0}
    for _ in range(60):
        prompts, parts = world.state.parts.prompt.copy(), world.state.parts.expert.copy()
        world.step(*world.sample_actions(rng))
        for b, u in zip(*np.nonzero(world.state.users.ended == ON_TIME), strict=True):
            experts = [*parts[b, u, :2], world.state.users.placed[b, u]]
            quality = world.params.scores.quality[prompts[b, u], experts].mean()
            quality *= world.params.kinds[0].coherence ** sum(a != c for a, c in pairwise(experts))
            assert world.state.users.quality[b, u] == pytest.approx(quality)
            seen[len(set(experts)) > 1] += 1
    assert min(seen.values()) > 2


def test_a_mesh_travels_when_texture_is_made_elsewhere() -> None:
    """One user, empty queues: the same second part takes longer at another host by the time on the backhaul."""
    quiet = {
        "devices.count": 1,
        "arrivals.process": "saturated",
        "mobility.model": "static",
        "requests.context_spread": 0.0,
    }
    latency = {}
    for first in (0, 1):
        world = World("object3d-v1", 1, seed=3, overrides=quiet)
        world.reset()
        for expert in (first, 1):
            world.step(np.array([[[expert, 3]]]))
        latency[first] = float(world.state.users.part_latency_s[0, 0])
        bits = float(world.params.scores.bits[0, 1])
    assert latency[0] - latency[1] == pytest.approx(bits / world.scenario.radio.backhaul_bps, rel=1e-6)


def test_providers_decide_how_much_of_an_asset_is_seen() -> None:
    quiet = {"devices.count": 1, "arrivals.process": "saturated", "mobility.model": "static"}
    got = []
    for views in (0, 1, 2):
        world = World("object3d-v1", 1, seed=3, overrides=quiet)
        world.reset()
        providers = world.default_actions("provider")
        providers[..., 4] = views
        world.step(None, providers)
        for _ in range(2):
            world.step(np.array([[[1, 3]]]), providers)
        got.append((world.state.users.quality[0, 0], world.state.users.part_latency_s[0, 0]))
    quality, latency = np.array(got).T
    assert np.allclose(quality / quality[2], [1 / 3, 2 / 3, 1]) and (np.diff(latency) > 0).all()


def test_in_the_mixed_market_every_expert_serves_its_own_kind() -> None:
    world, rng = World("mixed-v1", 16, seed=4), np.random.default_rng(4)
    world.reset()
    kinds = np.zeros(3)
    for _ in range(50):
        kind = world.state.users.kind.copy()
        world.step(*world.sample_actions(rng))
        users = world.state.users
        placed = users.placed >= 0
        assert world.params.serves[kind[placed], users.placed[placed]].all()
        kinds += np.bincount(users.kind[users.arrived], minlength=3)
    shares = kinds / kinds.sum()
    assert np.allclose(shares, np.array([20, 1, 0.5]) / 21.5, atol=0.02) and (kinds > 0).all()


def test_compact_models_and_the_measures_of_the_paper() -> None:
    world, rng = World("compact-v1", 64, seed=5), np.random.default_rng(5)
    world.reset()
    E, machines = world.sizes.E, world.params.machines
    strict_served = 0
    for _ in range(60):
        strict = world.state.users.strict.copy() & world.state.users.open
        world.step(*world.sample_actions(rng))
        users = world.state.users
        placed = users.placed >= 0
        assert (machines.hallucination[users.placed[placed & strict]] <= 0.1).all()
        local = users.placed >= E
        assert (machines.memory_gb[users.placed[local]] <= users.memory_gb[local]).all()
        assert (users.loaded[local] == users.placed[local]).all()
        strict_served += (placed & strict).sum()
        rate = users.hallucination[users.ended == ON_TIME]
        assert ((rate >= 0.0) & (rate <= 1.0)).all()
    assert strict_served > 20
    result = evaluate(["coordinated"], "compact-v1", 6, split="heldout")[0]
    assert 0.5 < result["accessibility"] <= 0.9, "three of four sizes of memory hold a variant"
    assert 0.0 < result["hallucination_rate"] < 1.0 and 0.0 < result["local_share"] < 1.0 and result["quality"] > 0.5
    plain = evaluate(["random"], "video-v1", 2)[0]
    assert plain["accessibility"] == 0.0 and plain["local_share"] == 0.0


def test_loading_another_compact_model_takes_its_time() -> None:
    fixed = {
        "devices.memory_gb": [8.0],
        "devices.count": 1,
        "arrivals.process": "saturated",
        "requests.strict_share": 0.0,
    }
    world = World("compact-v1", 1, seed=6, overrides=fixed)
    world.reset()
    E = world.sizes.E
    latency = []
    for choice in (0, 0, 3):
        prompt = int(world.state.users.prompt[0, 0])
        world.step(np.array([[[E + choice, 0]]]))
        compute_s = float(
            world.params.scores.work[prompt, E + choice] * world.params.machines.seconds_per_unit[E + choice]
        )
        latency.append(float(world.state.users.part_latency_s[0, 0]) - compute_s)
    backlog = latency[1]
    assert latency[0] == pytest.approx(0.0, abs=1e-9)
    assert latency[2] >= world.params.machines.memory_gb[E + 3] - 1e-9 > backlog


def test_vehicles_are_handed_over_and_meet_gaps() -> None:
    world, rng = World("vehicles-v1", 16, seed=7), np.random.default_rng(7)
    world.reset()
    handovers = gaps = 0
    for _ in range(60):
        before = world.state.users.serving.copy()
        world.step(*world.sample_actions(rng))
        users, gain = world.state.users, world.state.links.gain_db
        assert ((users.serving != before) == users.handover).all()
        assert (users.serving[users.handover] == gain.argmax(axis=2)[users.handover]).all()
        handovers += users.handover.sum()
        masks, able = world.views.user_masks, users.open & (users.battery_j > 0)
        reached = np.take_along_axis(gain, users.serving[..., None], axis=2)[..., 0] >= world.constants.least_gain_db
        gaps += (able & ~reached).sum()
        assert not masks[able & ~reached][:, : world.sizes.E].any()
    assert handovers > 200 and gaps > 200
    assert (np.diff(np.sort(world.state.providers.x_m, axis=1), axis=1) == 750.0).all()


def test_clients_serve_themselves_without_radio_and_reach_only_neighbours() -> None:
    world = played("networked-v1", 3, n_worlds=32)
    users, masks, distance = world.state.users, world.views.user_masks, world.state.links.distance_m
    hosts = np.arange(8)
    assert np.allclose(users.x_m, world.state.providers.x_m) and np.allclose(users.y_m, world.state.providers.y_m)
    far = distance > 200.0
    assert far.any() and not (masks[..., :8] == 1)[far].any()
    fresh = users.open & (users.done == 0)
    assert (masks[..., :8] == 1)[fresh[..., None] & (hosts == np.arange(8)[:, None])].all(), "one's own is always there"
    alone = World("networked-v1", 1, seed=1, overrides={"arrivals.process": "saturated"})
    alone.reset()
    actions = alone.default_actions("user")
    actions[0, 0] = (0, 3)
    prompt = int(alone.state.users.prompt[0, 0])
    alone.step(actions)
    seconds = float(alone.params.scores.work[prompt, 0] * alone.params.machines.seconds_per_unit[0])
    assert alone.state.users.part_latency_s[0, 0] == pytest.approx(seconds) and alone.state.users.energy[0, 0] == 0.0
    assert alone.state.users.payment[0, 0] == -alone.state.providers.revenue[0, 0] < 0.0
    assert alone.views.user_masks[0, 0, 0] == 0, "the second part must go to another expert"


@pytest.mark.parametrize("name", shipped_ids())
def test_twins_have_the_spaces_of_their_scenario(name: str) -> None:
    base = World(name)
    for twin in heldout_ids(name):
        world = World(twin)
        assert world.scenario.id == twin and world.scenario.hash() != base.scenario.hash()
        assert [view.shape[2:] for view in world.views] == [view.shape[2:] for view in base.views], twin
        assert {agent.split("_")[0] for agent in EdgeEnv(twin).possible_agents} <= {"user", "provider"}


def test_there_is_a_twin_for_every_shift() -> None:
    shifts = ("prompts", "outage", "crowd", "price", "newcomer", "dense", "partners")
    of_trained = ("prompts", "outage", "price", "dense", "partners", "milder", "alike")
    for name in MARKETS:
        bare = name.removesuffix("-v1")
        wanted = of_trained if bare.endswith("specialists") else shifts
        assert heldout_ids(name) == [f"{bare}-heldout-{shift}-v1" for shift in wanted]
    assert len(heldout_ids("edge_experts/netmoe-v1")) == 4


@pytest.mark.parametrize("name", MARKETS)
def test_what_the_twins_change(name: str) -> None:
    bare, base = name.removesuffix("-v1"), load_scenario(name)

    def twin(shift: str) -> str:
        return f"{bare}-heldout-{shift}-v1"

    unseen, seen = World(twin("prompts")), World(name)
    for kind in range(len(seen.params.kinds)):
        rows = [world.params.scores.quality[world.params.kind == kind] for world in (unseen, seen)]
        assert 0.2 < len(rows[0]) / len(rows[1]) < 0.3
    failing = base.experts.index(load_scenario(twin("outage")).events.outage_expert)
    world = World(twin("outage"), 4, seed=1)
    world.reset()
    for slot in range(1, 75):
        world.step()
        available = (world.views.user_masks[..., failing] == 1).any()
        assert not (available and 30 <= slot < 70), slot
    assert world.state.experts.loaded[:, failing].all(), "it failed, it was not unloaded"
    dear, dense = load_scenario(twin("price")).events, load_scenario(twin("dense"))
    assert (dear.price_factor, dear.price_slot) == (3.0, 40) and dense.devices.count == 1.5 * base.devices.count
    if name.endswith("specialists-v1"):
        tables = [load_scenario(twin(shift)).tables.quality for shift in ("milder", "alike")]
        assert [base.tables.quality, *tables] == ["digits_dirichlet01", "digits_dirichlet03", "digits_iid"]
        return
    crowd = World(twin("crowd")).params.trace
    assert crowd.max() > 1.5 and crowd.mean() == pytest.approx(1.0)
    newcomer = load_scenario(twin("newcomer")).experts
    assert len(newcomer) == len(base.experts) and newcomer != base.experts


@pytest.mark.parametrize("name", ["text-v1", "mixed-v1"])
def test_scripted_users_follow_the_gate_whatever_they_are_told(name: str) -> None:
    twin = f"edge_experts/{name.removesuffix('-v1')}-heldout-partners-v1"
    world, rng = World(twin, 4, seed=3), np.random.default_rng(0)
    count = world.scenario.devices.scripted
    world.reset()
    for _ in range(30):
        expected, _ = GateFollowers().act(world)
        given = world.sample_actions(rng)[0]
        kept = given.copy()
        legal = world.views.user_masks[:, -count:, : world.sizes.X].any(axis=-1)
        world.step(given, None)
        assert (given == kept).all(), "what the caller holds is not written to"
        placed = np.where(world.state.users.refused, expected[..., 0], world.state.users.placed)[:, -count:]
        assert (placed[legal] == expected[:, -count:, 0][legal]).all() and (placed[~legal] == -1).all()
    assert len(EdgeEnv(twin).possible_agents) == world.sizes.U - count
    assert not EdgeEnv(twin).scenario.acts("provider")


def test_prices_jump_when_the_scenario_says_so() -> None:
    world = World("text-v1", 1, seed=1, overrides={"events.price_factor": 3.0, "events.price_slot": 5})
    world.reset()
    from edge_experts.envs.sim.spec import slices

    quote = slices("user", world.sizes)["quote"]
    shown = []
    for _ in range(8):
        world.step()
        request = world.state.users.open[0]
        category = world.params.category[world.state.users.prompt[0]]
        rows = world.views.users[0, request][:, quote] / world.params.priors.work[category[request], :8]
        shown.append(rows.mean(axis=0) if request.any() else np.full(8, np.nan))
    before, after = np.nanmean(shown[:4], axis=0), np.nanmean(shown[4:], axis=0)
    assert np.allclose(after / before, 3.0, rtol=1e-5)
