"""`World`: determinism, conservation, bounds, masks, forking."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from building import rollout_digest

from edge_experts.envs import World, shipped_ids
from edge_experts.envs.sim.spec import OBS_FIELDS, observation_size, slices
from edge_experts.envs.sim.state import DROPPED, EXPIRED, LATE, ON_TIME, arrays

IDS = shipped_ids()
CHURN = {"devices.churn": 0.05, "episode.slots": 40}


@pytest.mark.parametrize("name", IDS)
def test_one_world_equals_the_same_world_among_many(name: str) -> None:
    """Byte for byte, over several episodes, whatever the number of worlds."""
    overrides = {} if name.endswith("netmoe-v1") else CHURN
    many = World(name, n_worlds=1024, seed=11, overrides=overrides)
    many.reset()
    picks = [0, 5, 517, 1023]
    alone = [World(name, n_worlds=1, seed=11, overrides=overrides, first_world=i) for i in picks]
    for world in alone:
        world.reset()
    rng = np.random.default_rng(0)
    for _ in range(90):
        users, providers = many.sample_actions(rng)
        many.step(users, providers)
        for world, i in zip(alone, picks, strict=True):
            world.step(users[i : i + 1], providers[i : i + 1])
    assert many.state.clock.episode.min() >= 1
    for world, i in zip(alone, picks, strict=True):
        for mine, other in [
            (world.state, many.state),
            (world.views, many.views),
            (world.final_views, many.final_views),
        ]:
            for a, b in zip(arrays(mine), arrays(other), strict=True):
                assert np.ascontiguousarray(a[0]).tobytes() == np.ascontiguousarray(b[i]).tobytes()


def test_threads_change_nothing(rng: np.random.Generator) -> None:
    """Byte for byte; and few worlds are left to one thread."""
    serial, threaded = (World("text-v1", n_worlds=500, seed=5, overrides=CHURN, threads=n) for n in (1, 3))
    assert [(s.first, s.last) for s in threaded._shards] == [(0, 166), (166, 333), (333, 500)]
    assert len(World("text-v1", n_worlds=64, threads=3)._shards) == 1
    serial.reset(), threaded.reset()
    for _ in range(45):
        actions = serial.sample_actions(rng)
        serial.step(*actions)
        threaded.step(*actions)
    for mine, other in [(serial.state, threaded.state), (serial.views, threaded.views)]:
        for a, b in zip(arrays(mine), arrays(other), strict=True):
            assert a.tobytes() == b.tobytes()


ROLLOUT = """
import sys, hashlib, numpy as np
from building import rollout_digest
from edge_experts.envs import World
world = World("text-v1", n_worlds=3, seed=42, overrides={"devices.churn": 0.05})
print(rollout_digest(world, 250, np.random.default_rng(1), 2))
"""


def test_same_seed_same_bytes_in_another_process() -> None:
    world = World("text-v1", n_worlds=3, seed=42, overrides={"devices.churn": 0.05})
    mine = rollout_digest(world, 250, np.random.default_rng(1), 2)
    other = subprocess.run(
        [sys.executable, "-c", ROLLOUT],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],  # where conftest.py is
    )
    assert other.stdout.strip() == mine


@pytest.mark.parametrize("name", IDS)
def test_seeds_episodes_and_worlds_differ(name: str) -> None:
    def first_view(seed: int, episode: int = 0, world: int = 0) -> bytes:
        return World(name, seed=seed, first_world=world).reset(episode=episode).users.tobytes()

    views = [first_view(1), first_view(2), first_view(1, episode=1), first_view(1, world=1), first_view(1 + 2**40)]
    assert len(set(views)) == 5
    assert first_view(1) == views[0]


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("team", [0.0, 0.5, 1.0])
def test_payments_sum_to_zero_and_terms_to_rewards(name: str, team: float, rng: np.random.Generator) -> None:
    world = World(name, n_worlds=16, seed=3, overrides={"rewards.team": team})
    world.reset()
    moved = 0.0
    for _ in range(60):
        world.step(*world.sample_actions(rng))
        d, p = world.state.users, world.state.providers
        assert np.allclose(d.payment.sum(axis=1) + p.revenue.sum(axis=1), 0, atol=1e-12)
        private = d.earned + d.payment + d.energy + d.latency
        income = p.revenue + p.electricity + p.loading_cost + p.late_cost
        assert np.allclose(d.reward.sum(axis=1) + p.reward.sum(axis=1), private.sum(axis=1) + income.sum(axis=1))
        if team == 0.0:
            assert np.allclose(d.reward, private) and np.allclose(p.reward, income)
        if team == 1.0:
            assert np.allclose(p.reward, p.reward[:, :1])
        moved += p.revenue.sum()
    assert moved > 0


@pytest.mark.parametrize("churn", [0.0, 0.05])
@pytest.mark.parametrize("process", ["saturated", "poisson", "bursty", "trace_conv", "trace_code"])
def test_requests_are_conserved(process: str, churn: float, rng: np.random.Generator) -> None:
    """Requests in = done + expired + dropped + open, in every world, at every slot."""
    world = World(
        "text-v1",
        n_worlds=8,
        seed=4,
        overrides={"arrivals.process": process, "devices.churn": churn, "episode.slots": 1000},
    )
    world.reset()
    came = world.state.users.open.sum(axis=1).astype(int)
    ended = {how: np.zeros(8, int) for how in (ON_TIME, LATE, EXPIRED, DROPPED)}
    for _ in range(150):
        world.step(*world.sample_actions(rng))
        if world.state.clock.over.any():
            break
        came += world.state.users.arrived.sum(axis=1)
        for how, count in ended.items():
            count += (world.state.users.ended == how).sum(axis=1)
        assert (came == sum(ended.values()) + world.state.users.open.sum(axis=1)).all()
    assert came.sum() > 100 and ended[ON_TIME].sum() > 0 and ended[EXPIRED].sum() > 0
    assert (ended[DROPPED].sum() > 0) == (churn > 0)


@pytest.mark.parametrize("policy", [0, 1, 2])
def test_shares_of_a_band_never_exceed_one(policy: int, rng: np.random.Generator) -> None:
    world = World(
        "text-v1",
        n_worlds=8,
        seed=5,
        overrides={"providers.default_bandwidth": policy, "arrivals.process": "saturated"},
    )
    world.reset()
    for _ in range(40):
        world.step(world.sample_actions(rng)[0], None)
        asked, share = world.state.asked, world.state.share
        for p in range(world.sizes.P):
            mine = (asked >= 0) & (asked < world.sizes.E) & (asked % world.sizes.P == p)
            total, used = np.where(mine, share, 0.0).sum(axis=(1, 2)), mine.any(axis=(1, 2))
            assert np.allclose(total[used], 1.0) and (total[~used] == 0.0).all()
        assert (share[asked < 0] == 0.0).all()


@pytest.mark.parametrize("name", IDS)
def test_observations_stay_in_their_ranges_and_fill_their_fields(name: str, rng: np.random.Generator) -> None:
    world = World(name, n_worlds=16, seed=6, overrides={"arrivals.process": "saturated"})
    world.reset()
    seen = {"user": [], "provider": []}
    for _ in range(60):
        world.step(*world.sample_actions(rng))
        seen["user"].append(world.views.users.reshape(-1, world.views.users.shape[-1]).copy())
        seen["provider"].append(world.views.providers.reshape(-1, world.views.providers.shape[-1]).copy())
    for role, rows in seen.items():
        values = np.concatenate(rows)
        assert values.shape[1] == observation_size(role, world.sizes) and np.isfinite(values).all()
        where = slices(role, world.sizes)
        for item in OBS_FIELDS[role]:
            field = values[:, where[item.name]]
            if field.size:
                assert field.min() >= item.low - 1e-6 and field.max() <= item.high + 1e-6, (role, item.name)


def test_observation_writers_fill_every_entry() -> None:
    """Entries that a writer skipped would keep the poison they were filled with."""
    for name in IDS:
        world = World(name, n_worlds=2, seed=1)
        for view in world.views:
            view.fill(77)
        world.reset()
        assert all((view != 77).all() for view in world.views), name


def test_masked_actions_mean_wait_or_keep_and_are_counted() -> None:
    world = World("text-v1", seed=7, overrides={"arrivals.process": "saturated"})
    world.reset()
    E = world.sizes.E
    assert world.views.user_masks[0, 0, : E + 2].tolist() == [
        1,
        1,
        1,
        1,
        0,
        0,
        1,
        1,
        1,
        1,
    ]  # phi-3 and gemma-2b are not loaded
    actions = world.default_actions("user")
    actions[0, 0] = (4, 3)
    providers = world.default_actions("provider")
    providers[0, 1, 3] = 1  # loaded already
    world.step(actions, providers)
    assert world.state.users.invalid[0].tolist() == [True] + [False] * 15
    assert world.state.users.placed[0, 0] == -1 and world.state.users.reward[0, 0] == 0.0
    assert world.state.providers.invalid[0].tolist() == [False, True, False, False]
    assert world.state.providers.loading[0].tolist() == [-1] * 4


def test_without_a_request_only_waiting_is_legal() -> None:
    world = World("text-v1", n_worlds=4, seed=8)
    world.reset()
    idle = ~world.state.users.open
    masks = world.views.user_masks[idle]
    assert idle.any() and (masks.sum(axis=1) == 2).all() and (masks[:, world.sizes.X] == 1).all()


def test_waiting_can_be_forbidden() -> None:
    world = World("netmoe-v1", n_worlds=4, seed=8)
    world.reset()
    assert (world.views.user_masks[:, 0, world.sizes.X] == 0).all()


def test_a_loaded_expert_evicts_the_least_recently_used_and_takes_time() -> None:
    world = World("text-v1", seed=9)
    world.reset()
    actions = world.default_actions("provider")
    actions[0, 0, 3] = 2  # phi-3 instead of gemma-7b
    world.step(None, actions)
    assert not world.state.experts.loaded[0, 0] and not world.state.experts.loaded[0, 4]
    assert world.state.providers.loading_cost[0, 0] == pytest.approx(-0.01 * 7.6)
    world.step()
    assert not world.state.experts.loaded[0, 4]
    world.step()
    assert world.state.experts.loaded[0, 4], "7.6 GB at 1 GB/s are there after two slots of 5 s"


def test_users_leave_and_join_with_churn(rng: np.random.Generator) -> None:
    world = World("text-v1", n_worlds=64, seed=10, overrides={"devices.churn": 0.05})
    world.reset()
    here = world.live_users.mean()
    assert 0.4 < here < 0.6
    joined = left = 0
    for _ in range(50):
        world.step(*world.sample_actions(rng))
        joined += world.state.users.joined.sum()
        left += world.state.users.terminated.sum()
        assert not (world.state.users.acted & world.state.users.joined).any()
    assert joined > 300 and left > 300
    assert (World("text-v1").reset().users != 0).any() and World(
        "text-v1", overrides={"devices.churn": 0.0}
    ).scenario.devices.churn == 0


def test_episode_ends_keep_the_last_view_and_begin_the_next() -> None:
    world = World("text-v1", n_worlds=2, seed=11, overrides={"episode.slots": 3})
    world.reset()
    for _ in range(3):
        world.step()
    assert world.state.clock.over.all() and world.state.users.truncated.all() and not world.state.users.terminated.any()
    assert world.state.providers.truncated.all()
    fresh = World("text-v1", n_worlds=2, seed=11, overrides={"episode.slots": 3}).reset(episode=1)
    assert np.array_equal(world.views.users, fresh.users)
    longer = World("text-v1", n_worlds=2, seed=11, overrides={"episode.slots": 4})
    longer.reset()
    for _ in range(3):
        longer.step()
    assert np.array_equal(world.final_views.users, longer.views.users)
    world.step()
    assert not world.state.clock.over.any()


def test_netmoe_terminates_with_its_request() -> None:
    world = World("netmoe-v1", seed=12)
    world.reset()
    for slot in range(3):
        world.step(np.array([[[4, 0]]]))
        assert bool(world.state.clock.over[0]) == (slot == 2)
    assert world.state.users.terminated[0, 0] and not world.state.users.truncated[0, 0]


def test_fork_lives_the_same_life_and_alternatives_diverge(rng: np.random.Generator) -> None:
    world = World("text-v1", n_worlds=3, seed=13)
    world.reset()
    for _ in range(7):
        world.step(*world.sample_actions(rng))
    copy = world.fork([2, 2])
    users, providers = world.sample_actions(rng)
    users[2, 0] = (world.sizes.X, 0)
    world.step(users, providers)
    copy.step(users[[2, 2]], providers[[2, 2]])
    assert np.array_equal(copy.state.users[0], world.state.users[2]) and np.array_equal(
        copy.state.users[1], world.state.users[2]
    )
    assert np.array_equal(copy.views.users[1], world.views.users[2])
    copy.step()
    assert not np.array_equal(copy.state.users[0], world.state.users[2])  # the original did not move
    with pytest.raises(ValueError, match="worlds"):
        world.fork([3])


@pytest.mark.parametrize(
    ("role", "actions", "message"),
    [
        (0, np.zeros((1, 16, 3), int), "shape"),
        (0, np.zeros((1, 16, 2)), "float64"),
        (0, np.full((1, 16, 2), 10), "expert = 10 of user 0"),
        (0, [[[0, 9]] * 16], "power = 9 of user 0"),
        (0, np.full((1, 16, 2), -1), "expert = -1"),
        (1, np.full((1, 4, 6), 3), "speed = 3 of provider 0"),
        (1, np.zeros((1, 4), int), "shape"),
    ],
)
def test_bad_actions_name_the_part_and_the_value(role: int, actions: Any, message: str) -> None:
    world = World("text-v1")
    world.reset()
    given: list[Any] = [None, None]
    given[role] = actions
    with pytest.raises(ValueError, match=message):
        world.step(*given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_worlds": 0}, "n_worlds"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        World("text-v1", **arguments)


# a change of these hashes is a change of dynamics: bump the scenario's version and CHANGELOG.md
GOLDEN = {
    "edge_experts/compact-v1": "83d349b4df52f907",
    "edge_experts/mixed-v1": "ff0abb7f08c46814",
    "edge_experts/netmoe-v1": "773a55b2aff28b0d",
    "edge_experts/networked-v1": "961412a39f08179f",
    "edge_experts/object3d-v1": "32f817726f3bcc40",
    "edge_experts/specialists-v1": "f05ab859ffa3fc88",
    "edge_experts/text-v1": "4445b49667b5744d",
    "edge_experts/vehicles-v1": "e645dd39660d0c1d",
    "edge_experts/video-v1": "5a23727e5ab94465",
}


@pytest.mark.parametrize("name", IDS)
def test_golden_rollout(name: str) -> None:
    import hashlib

    world = World(name, n_worlds=2, seed=2026)
    rng = np.random.default_rng(2026)
    world.reset()
    sha = hashlib.sha256()
    for _ in range(200):
        world.step(*world.sample_actions(rng))
        for values in (
            world.views.users,
            world.views.providers,
            world.state.users.reward,
            world.state.providers.reward,
        ):
            sha.update((np.round(values.astype(float), 5) + 0.0).tobytes())  # + 0.0: no negative zeros
    assert sha.hexdigest()[:16] == GOLDEN[name]
