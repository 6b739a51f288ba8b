"""Difference rewards: what a choice changed for all others, exactly, and what learners make of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_experts.agents.job import update_config
from edge_experts.agents.sampling.credit import DifferenceCredit, RewardCredit, credit_of, resolved
from edge_experts.agents.setup import SetupError, new_config, set_up
from edge_experts.envs import World, load_scenario

ENV = "edge_experts/text-v1"
SHARED = {"rewards.team": 1.0}


@pytest.mark.parametrize(
    ("env", "changes"),
    [
        ("text-v1", {}),
        ("text-v1", {"providers.act": False}),
        ("mixed-v1", {"devices.scripted": 6}),
        ("networked-v1", {}),
        ("vehicles-v1", {}),
        ("netmoe-v1", {}),
    ],
)
def test_externalities_are_what_a_world_without_the_choice_would_have_been(env: str, changes: dict[str, Any]) -> None:
    """Against copies of the world in which one user waits; the state is left as it was."""
    world = World(env, 3, seed=11, overrides=changes)
    world.reset()
    rng, moved, everybody = np.random.default_rng(1), 0, np.arange(3)
    for slot in range(12):
        users, providers = world.sample_actions(rng)
        before = world.fork(everybody)
        found = world.externalities(users, providers)
        assert world.state.users.tobytes() == before.state.users.tobytes()
        world.step(users, providers)
        if slot % 4 != 3:
            continue
        moved += int(np.count_nonzero(found))
        for user in range(world.sizes.agents("user")):
            without, chosen = before.fork(everybody), users.copy()
            chosen[:, user, :-1], chosen[:, user, -1] = world.sizes.X, 0
            without.step(chosen, providers)
            expected = _others(world, user) - _others(without, user)
            assert found[:, user] == pytest.approx(expected, abs=1e-9)
    assert moved or env == "netmoe-v1"  # whose only user has no others


def _others(world: World, user: int) -> Any:
    users, providers = world.outcomes("user"), world.outcomes("provider")
    return users.sum(axis=1) - users[:, user] + providers.sum(axis=1)


def test_outcomes_sum_to_the_welfare_that_is_scored() -> None:
    world = World(ENV, 4, seed=2)
    world.reset()
    rng = np.random.default_rng(0)
    for _ in range(20):
        world.step(*world.sample_actions(rng))
        welfare = world.state.users.reward.sum(axis=1) + world.state.providers.reward.sum(axis=1)
        together = world.outcomes("user").sum(axis=1) + world.outcomes("provider").sum(axis=1)
        assert together == pytest.approx(welfare, abs=1e-9)


def test_waiting_users_change_nothing_and_worlds_do_not_mix() -> None:
    many, one = World(ENV, 64, seed=3), World(ENV, 1, seed=3, first_world=17)
    for world in (many, one):
        world.reset()
    assert not many.externalities().any()
    users, providers = many.sample_actions(np.random.default_rng(0))
    alone = one.externalities(users[17:18], providers[17:18])
    assert alone.tobytes() == many.externalities(users, providers)[17:18].tobytes()


def test_credit_pays_users_for_what_they_change_and_providers_as_the_environment_does() -> None:
    world = World(ENV, 2, seed=0, overrides=SHARED)
    world.reset()
    credit, (users, providers) = credit_of("auto", world), world.sample_actions(np.random.default_rng(0))
    assert isinstance(credit, DifferenceCredit)
    changed = world.externalities(users, providers)
    credit.watch({"user": users, "provider": providers})
    world.step(users, providers)
    paid = credit.paid()
    assert paid["user"] == pytest.approx(world.outcomes("user") + changed)
    assert paid["provider"].tobytes() == world.state.providers.reward.tobytes()


def test_auto_is_difference_where_agents_share_and_reward_elsewhere() -> None:
    assert resolved("auto", load_scenario(ENV, SHARED)) == "difference"
    for scenario in (load_scenario(ENV), load_scenario("netmoe-v1"), load_scenario(ENV, {"rewards.others": 0.5}), None):
        assert resolved("auto", scenario) == "reward"
    assert isinstance(credit_of("auto", World(ENV)), RewardCredit)


@pytest.mark.parametrize(
    ("algo", "env", "settings", "said"),
    [
        ("PPO", ENV, {"credit": "shared"}, "credit: 'shared' is not one of auto, reward, difference"),
        ("PPO", ENV, {"credit": "difference"}, "credit: 'difference' works for the good of all, but rewards.team is 0"),
        ("MAPPO", ENV, {"credit": "difference"}, "credit: 'difference' works for the good of all"),
        ("MoEPPO", "CartPole-v1", {"credit": "difference"}, "credit: 'difference' is for the batched runner"),
        ("MARWIL", ENV, {"credit": "difference"}, "credit: 'difference' is not for what learns from demonstrations"),
    ],
)
def test_credit_that_cannot_be_is_refused(algo: str, env: str, settings: dict[str, Any], said: str) -> None:
    config = new_config(algo, env).environment(env)
    update_config(config, settings)
    with pytest.raises((SetupError, ValueError), match=said):
        config.validate() if algo == "MARWIL" else set_up(config).validate()


def test_a_learner_sees_difference_rewards_and_reports_what_was_paid(ray_here: Any) -> None:
    """The same actions, credited in two ways: other advantages, the same returns."""
    seen = {}
    for credit in ("reward", "auto"):
        config = new_config("PPO", ENV).environment(ENV, env_config={"overrides": {**SHARED, "episode.slots": 8}})
        config.env_runners(num_env_runners=0, num_envs_per_env_runner=4).debugging(seed=0)
        update_config(config, {"credit": credit, "hidden": [8, 8], "lambda_": 1.0, "gamma": 1.0})
        runner = set_up(config).build_algo()
        try:
            sample = runner.env_runner.sample(num_timesteps=64)[0]
            seen[credit] = (
                np.asarray(sample.policy_batches["user"]["advantages"]),
                runner.env_runner.get_metrics()["episode_return_mean"],
            )
        finally:
            runner.stop()
    (plain, returned), (credited, again) = seen["reward"], seen["auto"]
    assert len(plain) == len(credited) and not np.allclose(plain, credited)
    assert float(returned) == float(again)
