"""The PettingZoo and Gymnasium views: others' API checks, our own determinism, agents that come and go, errors."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

from edge_experts.envs import AgentBatch, EdgeEnv, ScenarioError, TurnEnv, World, shipped_ids

IDS = shipped_ids()
CHURN = {"devices.churn": 0.05}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", IDS)
def test_pettingzoo_api(name: str) -> None:
    parallel_api_test(pettingzoo.make("parallel", name).unwrapped, num_cycles=250)
    parallel_seed_test(lambda: pettingzoo.make("parallel", name).unwrapped, num_cycles=50)
    api_test(pettingzoo.make("aec", name), num_cycles=150)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pettingzoo_api_with_churn() -> None:
    parallel_api_test(pettingzoo.make("parallel", "edge_experts/text-v1", overrides=CHURN).unwrapped, num_cycles=250)
    api_test(pettingzoo.make("aec", "edge_experts/text-v1", overrides=CHURN), num_cycles=150)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gymnasium_api() -> None:
    env = gymnasium.make("edge_experts/netmoe-v1")
    assert env.action_space == gymnasium.spaces.Discrete(10)
    # its look at the render modes would open a window; test_pictures.py has its own
    check_env(gymnasium.make("edge_experts/netmoe-v1", render_mode="ansi").unwrapped, skip_render_check=True)
    observation, _ = env.reset(seed=1)
    total, ended = 0.0, False
    while not ended:
        observation, reward, terminated, truncated, info = env.step(
            env.action_space.sample(mask=observation["action_mask"])
        )
        total, ended = total + float(reward), terminated or truncated
    assert terminated and not truncated and info["ended"] == "on_time" and total != 0.0
    with pytest.raises(ScenarioError, match="20 agents"):
        from edge_experts.envs import SingleAgentEnv

        SingleAgentEnv("edge_experts/text-v1")


def play(env: EdgeEnv, seed: int | None, slots: int) -> list[Any]:
    history: list[Any] = [env.reset(seed=seed)]
    rng = np.random.default_rng(5)
    for _ in range(slots):
        seen = history[-1][0]
        actions = {}
        for agent in env.agents:
            nvec = getattr(env.action_space(agent), "nvec", None)
            mask = seen[agent]["action_mask"]
            parts = np.split(mask, np.cumsum(nvec)[:-1]) if nvec is not None else [mask]
            picks = [int(rng.choice(np.flatnonzero(part))) for part in parts]
            actions[agent] = np.array(picks) if nvec is not None else picks[0]
        history.append(env.step(actions))
        if not env.agents:
            break
    return history


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b


@pytest.mark.parametrize("scenario", [None, CHURN])
def test_same_seed_same_episode_to_the_end(scenario: dict[str, Any] | None) -> None:
    """Every observation, reward, end and info of whole episodes; another seed differs from the first observation on."""
    first, second = (play(EdgeEnv("text-v1", scenario), 7, 100) for _ in range(2))
    assert len(first) == 101 and same(first, second)
    used = EdgeEnv("text-v1", scenario)
    play(used, 3, 20)
    assert same(play(used, 7, 100), first), "what was played before must not matter"
    other = play(EdgeEnv("text-v1", scenario), 8, 5)
    assert not same(other[0][0], first[0][0])


def test_determinism_test_can_fail() -> None:
    class Leaky(EdgeEnv):
        def step(self, actions: Any) -> Any:
            observations, rewards, *rest = super().step(actions)
            if int(self.world.state.clock.slot[0]) > 50:
                rewards["user_0"] += np.random.default_rng().normal()
            return observations, rewards, *rest

    first, second = (play(Leaky("text-v1"), 7, 100) for _ in range(2))
    assert not same(first, second)


def test_the_view_is_the_world() -> None:
    env, world = EdgeEnv("text-v1"), World("text-v1", seed=21)
    env.reset(seed=21)
    world.reset()
    rng = np.random.default_rng(2)
    for _ in range(30):
        users, providers = world.sample_actions(rng)
        actions = {
            **{f"user_{i}": users[0, i] for i in range(16)},
            **{f"provider_{i}": providers[0, i, :4] for i in range(4)},  # one view, one transmit power: left out
        }
        observations, rewards, _, _, infos = env.step(actions)
        world.step(users, providers)
        for i in range(16):
            assert np.array_equal(observations[f"user_{i}"]["observation"], world.views.users[0, i])
            assert rewards[f"user_{i}"] == world.state.users.reward[0, i]
        assert rewards["provider_3"] == sum(
            infos["provider_3"][term] for term in ("revenue", "electricity", "loading_cost", "late_cost")
        )
    assert env.state().shape == (4 * 25 + 16 * 73,)


def test_agents_come_and_go_and_get_their_last_observation() -> None:
    env = EdgeEnv("text-v1", CHURN)
    observations, _ = env.reset(seed=3)
    here = set(env.agents)
    assert 4 < len(here) < 20
    left: set[str] = set()
    joined: set[str] = set()
    for _ in range(60):
        actions = {
            agent: env.action_space(agent).sample(mask=observations[agent]["action_mask"]) for agent in env.agents
        }
        observations, rewards, terminated, truncated, infos = env.step(actions)
        assert set(observations) == set(rewards) == set(terminated) == set(infos) == here | set(env.agents)
        gone = {agent for agent in here if terminated[agent]}
        assert all(observations[agent]["observation"].any() for agent in gone)
        left |= gone
        joined |= set(env.agents) - here
        assert not left & set(env.agents), "nobody comes back"
        here = set(env.agents)
    assert len(left) > 3 and len(joined) > 2


def test_a_truncated_episode_shows_the_last_view_of_everybody() -> None:
    history = play(EdgeEnv("text-v1", {"episode.slots": 5}), 1, 10)
    observations, rewards, terminated, truncated, _ = history[-1]
    assert len(history) == 6 and all(truncated.values()) and not any(terminated.values())
    assert set(observations) == set(rewards) == {f"user_{i}" for i in range(16)} | {f"provider_{i}" for i in range(4)}


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({}, "'provider_0' is missing"),
        ({"user_99": 1}, "'user_99' is not in the present agents"),
        ({"user_0": 4}, "'user_0' plays 4"),
        ({"user_0": np.array([99, 0])}, "expert = 99 of user 0"),
        ({"user_0": np.array([0.5, 0])}, "'user_0' plays"),
        ({"user_0": None}, "'user_0' plays None"),
    ],
)
def test_bad_actions(actions: dict[str, Any], message: str) -> None:
    env = EdgeEnv("text-v1")
    observations, _ = env.reset(seed=1)
    full = (
        {agent: env.action_space(agent).sample(mask=observations[agent]["action_mask"]) for agent in env.agents}
        if actions
        else {}
    )
    with pytest.raises(ValueError, match=message):
        env.step({**full, **actions})


def test_other_misuse() -> None:
    with pytest.raises(ValueError, match=r"call reset\(\)"):
        EdgeEnv("text-v1").step({})
    with pytest.raises(ValueError, match="render_mode: 'movie'"):
        EdgeEnv("text-v1", render_mode="movie")
    with pytest.raises(ValueError, match="agent: 'nobody'"):
        EdgeEnv("text-v1").action_space("nobody")


def test_environment_pickles_with_its_state() -> None:
    env = EdgeEnv("text-v1")
    play(env, 4, 10)
    copy = pickle.loads(pickle.dumps(env))
    actions = {agent: np.array([0] * len(env.action_space(agent).nvec)) for agent in env.agents}
    assert same(env.step(actions), copy.step(actions))


def test_next_episode_differs_and_follows_the_seed() -> None:
    env, again = EdgeEnv("netmoe-v1", seed=5), EdgeEnv("netmoe-v1", seed=5)
    first = [play(env, None, 3)[0][0] for _ in range(3)]
    second = [play(again, None, 3)[0][0] for _ in range(3)]
    assert same(first, second) and not same(first[0], first[1])
    interrupted = EdgeEnv("netmoe-v1", seed=5)
    interrupted.reset()
    assert same(interrupted.reset()[0], first[1])


def test_drawing() -> None:
    env = EdgeEnv("text-v1", CHURN, render_mode="rgb_array")
    play(env, 1, 5)
    picture = env.render()
    assert picture.shape == (540, 960, 3) and picture.dtype == np.uint8 and len(np.unique(picture)) > 20
    text = EdgeEnv("text-v1", render_mode="ansi")
    play(text, 1, 5)
    page = text.render()
    assert "slot 5 of 100" in page and "gemma-7b-it" in page and "on disk" in page and "user 15" in page


IMPORT = """
import os, sys, random
import numpy as np

def world():
    return dict(os.environ), random.getstate(), np.random.get_state()[1].tolist()

before = world()
import edge_experts.envs, pettingzoo, gymnasium
assert world() == before
loaded = {"ray", "torch", "matplotlib", "numba"} & set(sys.modules)
assert not loaded, loaded
from pettingzoo.env_registry.registration import spec
assert spec("parallel", "edge_experts/text-v1") and spec("aec", "edge_experts/netmoe-v1")
assert "edge_experts/netmoe-v1" in gymnasium.registry and "edge_experts/text-v1" in gymnasium.registry
assert edge_experts.envs.World and "ray" not in sys.modules
"""


def test_import_registers_and_does_nothing_else() -> None:
    subprocess.run([sys.executable, "-c", IMPORT], check=True)


def test_in_turns_the_same_market(rng: np.random.Generator) -> None:
    """The AEC view plays what the parallel one plays: rewards, observations, ends, with agents that come and go."""
    scenario = {"devices.churn": 0.1, "episode.slots": 25}
    parallel, turns = EdgeEnv("text-v1", scenario), TurnEnv("text-v1", scenario)
    observations, _ = parallel.reset(seed=9)
    turns.reset(seed=9)
    left = joined = 0
    while parallel.agents:
        actions = {a: parallel.action_space(a).sample(observations[a]["action_mask"]) for a in parallel.agents}
        acted = list(parallel.agents)
        for agent in acted:
            assert turns.agent_selection == agent
            seen, *_ = turns.last()
            assert all(np.array_equal(seen[key], observations[agent][key]) for key in seen)
            turns.step(actions[agent])
        observations, rewards, terminated, truncated, infos = parallel.step(actions)
        assert turns.rewards == rewards and turns.infos == infos
        assert (turns.terminations, turns.truncations) == (terminated, truncated)
        for agent in [a for a in rewards if terminated[a] or truncated[a]]:
            assert turns.agent_selection == agent and turns.last()[1] == rewards[agent]
            turns.step(None)
            left += 1
        joined += len(set(rewards) - set(acted))
        assert turns.agents == parallel.agents
    assert left >= 16 and joined > 2


def test_turns_refuse_what_is_out_of_turn() -> None:
    env = TurnEnv("text-v1")
    with pytest.raises(ValueError, match="call reset"):
        env.step(0)
    with pytest.raises(ValueError, match="call reset"):
        env.observe("user_0")
    env.reset(seed=1)
    with pytest.raises(ValueError, match="None for 'provider_0'"):
        env.step(None)
    for agent in env.possible_agents:
        if agent == "user_3":
            with pytest.raises(ValueError, match=r"action: array\(\[99, 0\]\) of 'user_3' is not in"):
                env.step(np.array([99, 0]))
        env.step(np.zeros(env.action_space(agent).shape, int))  # a refused action is given anew


@pytest.mark.parametrize("role", ["user", "provider"])
def test_agent_batch_is_the_world_flattened(role: str, rng: np.random.Generator) -> None:
    batch = AgentBatch("text-v1", n_worlds=6, role=role, overrides={**CHURN, "episode.slots": 12})
    world = World("text-v1", n_worlds=6, seed=3, overrides={**CHURN, "episode.slots": 12})
    shown = batch.observations
    batch.reset(seed=3)
    world.reset()
    ends = np.zeros(2)
    for _ in range(30):
        actions = batch.sample_actions(rng)
        observations, rewards, terminals, truncations, _ = batch.step(actions)
        mine = batch.spaces.to_world(actions).reshape(6, batch.agents_per_world, -1)
        world.step(*((mine, None) if role == "user" else (None, mine)))
        records = world.state.users if role == "user" else world.state.providers
        assert observations is shown and np.shares_memory(shown, batch.world.views.of(role)[0])
        assert np.array_equal(observations, world.views.of(role)[0].reshape(len(shown), -1))
        shown_masks = batch.spaces.shown_mask(world.views.of(role)[1])
        assert np.array_equal(batch.action_masks, shown_masks.reshape(len(shown), -1))
        assert np.allclose(rewards, records.reward.ravel())
        assert np.array_equal(terminals, records.terminated.ravel())
        for i in np.flatnonzero(truncations):
            b, agent = divmod(i, batch.agents_per_world)
            assert world.state.clock.over[b]
            assert np.array_equal(batch.final_observations[i], world.final_views.of(role)[0][b, agent])
            last = batch.spaces.shown_mask(world.final_views.of(role)[1])
            assert np.array_equal(batch.final_action_masks[i], last[b, agent])
        ends += terminals.sum(), truncations.sum()
        assert role == "provider" or np.array_equal(batch.masks, world.live_users.ravel())
    assert ends[1] > 0 and (role == "provider" or ends[0] > 0)
    with pytest.raises(ValueError, match=r"expected integers of shape \("):
        batch.step(np.zeros(len(shown)))
    with pytest.raises(ValueError, match="role: 'server'"):
        AgentBatch("text-v1", role="server")
    with pytest.raises(ScenarioError, match="'provider' does not act"):
        AgentBatch("netmoe-v1", role="provider")


def test_partners_play_the_other_role(rng: np.random.Generator) -> None:
    class Dear:
        def act(self, world: World) -> Any:
            providers = world.default_actions("provider")
            providers[..., 0] = 4
            return None, providers

    paid = []
    for partners in (None, Dear()):
        batch, draws = AgentBatch("text-v1", n_worlds=8, partners=partners), np.random.default_rng(1)
        batch.reset(seed=1)
        total = 0.0
        for _ in range(20):
            batch.step(batch.sample_actions(draws))
            total += batch.world.state.users.payment.sum()
        paid.append(total)
    assert paid[1] < 1.3 * paid[0] < 0


def test_gymnasium_vector() -> None:
    envs = gymnasium.make_vec("edge_experts/netmoe-v1", num_envs=32)
    one = gymnasium.make("edge_experts/netmoe-v1").unwrapped
    assert envs.single_action_space == one.action_space and envs.single_observation_space == one.observation_space
    seen, _ = envs.reset(seed=4)
    assert seen in envs.observation_space
    ended = 0
    for _ in range(12):
        actions = np.array([one.action_space.sample(mask=mask) for mask in seen["action_mask"]])
        seen, rewards, terminated, truncated, infos = envs.step(actions)
        assert seen in envs.observation_space and rewards.shape == (32,)
        over = terminated | truncated
        ended += over.sum()
        if over.any():
            assert np.array_equal(infos["_final_obs"], over)
            assert all(last in one.observation_space for last in infos["final_obs"][over])
    assert ended >= 64
    first, _ = envs.reset(seed=4)
    again, _ = envs.reset(seed=4)
    assert np.array_equal(first["observation"], again["observation"])
    assert not np.array_equal(first["observation"], envs.reset()[0]["observation"])

    market = gymnasium.make_vec("edge_experts/text-v1", num_envs=64, copy=False, overrides=CHURN)
    seen, infos = market.reset(seed=1)
    assert seen["observation"] is market.unwrapped.batch.observations and 0 < infos["present"].sum() < 64
    with pytest.raises(ScenarioError, match="num_envs: 40 is not a multiple of 16.*take 32"):
        gymnasium.make_vec("edge_experts/text-v1", num_envs=40)
    with pytest.raises(ValueError, match="call reset"):
        gymnasium.make_vec("edge_experts/netmoe-v1").step(np.zeros(1, int))
