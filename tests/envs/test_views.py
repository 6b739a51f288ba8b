"""What views of a market offer for libraries that want it their way: one role, one seat, a population that stays."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pettingzoo
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, performance_benchmark, render_test
from pettingzoo.utils.wrappers import TerminateIllegalWrapper

from edge_experts.envs import AgentBatch, EdgeEnv, FlatEnv, MarketVectorEnv, ScenarioError, SingleAgentEnv, TurnEnv
from edge_experts.envs.api.policy import GateFollowers

SMALL = {"episode.slots": 12}
CHURN = {"devices.churn": 0.1, "episode.slots": 12}


def test_one_role_plays_the_same_game_as_both_do() -> None:
    """Users through a view of their own, providers at their defaults: what all agents of `EdgeEnv` get."""
    users, plain = FlatEnv("text-v1", SMALL, role="user"), EdgeEnv("text-v1", SMALL)
    parallel_api_test(FlatEnv("text-v1", SMALL, role="provider"), 20)
    _, infos = users.reset(seed=5)
    plain.reset(seed=5)
    assert users.possible_agents == users.agents == list(infos) == [f"user_{u}" for u in range(16)]
    keep = dict(zip([f"provider_{p}" for p in range(4)], plain.world.default_actions("provider")[0], strict=True))
    keep = {agent: plain.role_spaces["provider"].from_world(action) for agent, action in keep.items()}
    while users.agents:
        actions = {a: users.action_space(a).sample(infos[a]["action_mask"].astype(np.int8)) for a in users.agents}
        chosen = {agent: users._chosen(agent, action) for agent, action in actions.items()}
        shown, rewards, terminated, truncated, infos = users.step(actions)
        _, expected, *_ = plain.step(chosen | keep)
        assert rewards == {agent: expected[agent] for agent in rewards} and set(rewards) == set(shown) == set(infos)
        assert set(terminated) == set(truncated) == set(rewards)
    with pytest.raises(ValueError, match="'provider_0' is not in the present agents"):
        users.reset(seed=1)
        users.step({**{a: 0 for a in users.agents}, "provider_0": 0})
    with pytest.raises(ScenarioError, match="role: 'provider' does not act in"):
        FlatEnv("text-v1", {"providers.act": False}, role="provider")
    with pytest.raises(ValueError, match="role: 'users' is not one of user, provider"):
        FlatEnv("text-v1", role="users")


def test_a_fixed_population_plays_the_same_game() -> None:
    """Seats stay; whose user is away sees zeros, can only wait is paid nothing, and the others' game is the same."""
    parallel_api_test(EdgeEnv("text-v1", CHURN, fixed_population=True), 30)
    parallel_seed_test(lambda: EdgeEnv("text-v1", CHURN, fixed_population=True), 30)
    fixed, plain = EdgeEnv("text-v1", CHURN, fixed_population=True), EdgeEnv("text-v1", CHURN)
    seen, _ = fixed.reset(seed=3)
    shown, _ = plain.reset(seed=3)
    away, came, slots, present = 0, 0, 0, set(plain.agents)
    while fixed.agents:
        assert present == set(plain.agents) and fixed.agents == fixed.possible_agents
        for agent in fixed.agents:
            if agent in present:
                assert np.array_equal(seen[agent]["observation"], shown[agent]["observation"])
            else:
                away += 1
                wait = fixed.world.sizes.X
                assert not seen[agent]["observation"].any()
                assert np.flatnonzero(seen[agent]["action_mask"]).tolist() == [wait, wait + 1]
        actions = {a: fixed.action_space(a).sample(seen[a]["action_mask"]) for a in fixed.agents}
        seen, rewards, terminated, truncated, infos = fixed.step(actions)
        shown, expected, *_ = plain.step({agent: actions[agent] for agent in plain.agents})
        assert all(rewards[agent] == expected.get(agent, 0.0) for agent in rewards)
        assert not any(terminated.values()) and set(rewards) == set(fixed.possible_agents)
        here = {agent for agent in rewards if infos[agent]["present"]}
        came, present = came + len(here - present), here
        slots += 1
        assert set(truncated.values()) == {slots == 12}
    assert away > 20 and came > 2


def test_a_fixed_population_ends_with_its_last_user() -> None:
    once = {"episode.requests_per_user": 1, "arrivals.process": "saturated", "devices.count": 3, "episode.slots": 99}
    env = FlatEnv("text-v1", once, fixed_population=True)
    _, infos = env.reset(seed=1)
    slots, outcome = 0, [{}, {}]
    while env.agents:
        actions = {a: env.action_space(a).sample(infos[a]["action_mask"].astype(np.int8)) for a in env.agents}
        _, _, *outcome, infos = env.step(actions)
        slots += 1
    assert slots < 30 and all(outcome[0].values()) and not any(outcome[1].values())


def test_turns_of_a_fixed_population() -> None:
    env = TurnEnv("text-v1", CHURN, fixed_population=True)
    env.reset(seed=1)
    turns = 0
    for agent in env.agent_iter():
        seen, _, terminated, truncated, _ = env.last()
        env.step(None if terminated or truncated else env.action_space(agent).sample(seen["action_mask"]))
        turns += 1
    assert turns == (12 + 1) * 20


@pytest.mark.parametrize("view", [EdgeEnv, FlatEnv, TurnEnv])
@pytest.mark.parametrize("name", ["text-v1", "netmoe-v1", "vehicles-v1"])
def test_the_global_state_is_in_its_space(view: type, name: str) -> None:
    env = view(name, SMALL)
    env.reset(seed=2)
    assert env.state_space.contains(env.state())


@pytest.mark.parametrize("agent", ["user_3", "provider_1"])
def test_one_seat_in_many_worlds(agent: str) -> None:
    """Each row is the life of that seat alone: what `SingleAgentEnv` plays with the same choices."""
    envs = gymnasium.make_vec("edge_experts/text-v1", num_envs=3, agent=agent, overrides=SMALL)
    assert isinstance(envs, MarketVectorEnv)
    alone = SingleAgentEnv("text-v1", SMALL, agent=agent)
    many, _ = envs.reset(seed=7)
    one, _ = alone.reset(seed=7)
    rng = np.random.default_rng(0)
    assert np.shares_memory(envs.batch.observations, envs.batch.world.views.of(agent[:-2])[0])
    for slot in range(12):
        assert np.array_equal(many["observation"][0], one["observation"])
        assert np.array_equal(many["action_mask"][0], alone.action_masks())
        actions = envs.batch.sample_actions(rng)
        many, rewards, terminated, truncated, infos = envs.step(actions)
        one, reward, *_ = alone.step(actions[0])
        assert rewards.shape == (3,) and rewards[0] == np.float32(reward) and not terminated.any()
        assert truncated.all() == (slot == 11) and infos["present"].all()
    assert np.array_equal(infos["final_obs"][0]["observation"], one["observation"])
    with pytest.raises(ScenarioError, match="agent: 'user_99' is not one of"):
        AgentBatch("text-v1", agent="user_99")


def test_a_seat_among_policies_of_ones_own() -> None:
    class Idle(GateFollowers):
        def act(self, world):  # type: ignore[no-untyped-def]
            return None, None

    batch = AgentBatch("text-v1", 2, overrides=SMALL, agent="user_1", partners=Idle())
    batch.reset(seed=1)
    for _ in range(8):
        batch.step(batch.sample_actions(np.random.default_rng(1)))
        assert (np.delete(batch.world.state.users.placed, 1, axis=1) == -1).all()


def test_pettingzoos_own_tools_take_flat_turns(capsys: pytest.CaptureFixture[str]) -> None:
    """What indexes a mask by an action, plays at random, or renders in every mode, a window included."""

    def turns(render_mode: str | None = None) -> pettingzoo.AECEnv:
        return TurnEnv("text-v1", SMALL, flat=True, render_mode=render_mode)

    api_test(turns(), 30)
    env = TerminateIllegalWrapper(turns(), illegal_reward=-1.0)
    env.reset(seed=1)
    for agent in env.agent_iter(40):
        seen, _, terminated, truncated, _ = env.last()
        env.step(None if terminated or truncated else env.action_space(agent).sample(seen["action_mask"]))
    assert env.agents, "nobody was ended"
    agent, (seen, *_) = env.agent_selection, env.last()
    env.step(int(np.flatnonzero(seen["action_mask"] == 0)[0]))
    assert env.rewards[agent] == -1.0 and all(env.terminations.values())
    render_test(turns)
    assert "provider 0" in capsys.readouterr().out


def test_pettingzoos_benchmark_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(np.arange(0.0, 1e6, 2.0))
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    performance_benchmark(TurnEnv("text-v1", SMALL, flat=True))
    assert "turns per second" in capsys.readouterr().out


def test_observations_and_masks_side_by_side() -> None:
    """The same numbers as in one vector."""
    pairs, flat = FlatEnv("text-v1", SMALL, role="user", dict_observations=True), FlatEnv("text-v1", SMALL, role="user")
    parallel_api_test(FlatEnv("text-v1", SMALL, dict_observations=True), 20)
    seen, _ = pairs.reset(seed=1)
    vectors, _ = flat.reset(seed=1)
    for _ in range(11):
        for agent, one in seen.items():
            assert pairs.observation_space(agent).contains(one)
            assert np.array_equal(np.concatenate([one["observation"], one["action_mask"]]), vectors[agent])
        actions = {a: pairs.action_space(a).sample(one["action_mask"]) for a, one in seen.items()}
        seen, vectors = pairs.step(actions)[0], flat.step(actions)[0]


def test_turns_refuse_what_does_not_go_together() -> None:
    with pytest.raises(ValueError, match="flat: True goes with order='agents'"):
        TurnEnv("text-v1", flat=True, order="service")
    with pytest.raises(ValueError, match="role: 'user' goes with flat=True"):
        TurnEnv("text-v1", role="user")
    assert TurnEnv("text-v1", flat=True, role="provider").possible_agents == [f"provider_{p}" for p in range(4)]


def test_a_pettingzoo_that_knows_no_ids_is_enough() -> None:
    """PettingZoo 1.26, which AgileRL asks for: everything but `pettingzoo.make`."""
    script = (
        "import sys, pettingzoo; sys.modules['pettingzoo.env_registry'] = None\n"
        "import gymnasium\n"
        "from edge_experts.envs import FlatEnv, make, register\n"
        "register('me/cart-v0', 'gymnasium.envs.classic_control:CartPoleEnv')\n"
        "assert gymnasium.make('me/cart-v0').reset(seed=1) and make('text-v1').reset(seed=1) and FlatEnv('text-v1')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
