"""The batched runner, and the algorithms that it feeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import tree
from building import runner, small
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing

from edge_experts.agents.networks.actor_critic import MixtureActorCritic


def test_batches_hold_what_the_world_showed_and_paid() -> None:
    """The same actions in a second world give the observations, masks and rewards that the batch is made of."""
    from edge_experts.envs import World

    sampler = runner(worlds=4, **{"episode.slots": 7, "devices.churn": 0.1})
    sampler._begin(staggered=False)
    from edge_experts.agents.sampling.rollout_buffer import Rollout

    rollout = Rollout(sampler.groups)
    for _ in range(20):
        sampler._play(rollout, True, False)
    world = World(sampler.world.scenario, 4, sampler.world.seed)
    world.reset()
    data = {group.role: rollout.stacked(group) for group in sampler.groups}
    spaces = sampler.role_spaces["provider"]
    ends = 0
    for t in range(20):
        live = world.live_users
        assert np.array_equal(data["user"]["live"][t], live)
        assert np.array_equal(data["user"]["observation"][t].reshape(4, 16, -1), world.views.users)
        masks = spaces.shown_mask(world.views.provider_masks)
        assert np.array_equal(data["provider"]["action_mask"][t].reshape(4, 4, -1), masks)
        world.step(
            data["user"][Columns.ACTIONS][t].reshape(4, 16, 2),
            spaces.to_world(data["provider"][Columns.ACTIONS][t].reshape(4, 4, 4)),
        )
        assert np.array_equal(data["user"]["reward"][t], world.state.users.reward.astype(np.float32))
        assert np.array_equal(data["user"]["terminated"][t], world.state.users.terminated)
        assert np.array_equal(data["user"]["truncated"][t], world.state.users.truncated)
        assert not world.state.users.invalid.any()
        ends += world.state.clock.over.sum()
    assert ends == 8
    # truncation bootstraps with the value of the true last observation
    group = next(g for g in sampler.groups if g.role == "user")
    assert [t for t, _, _ in rollout.cuts(group)] == [6, 13]


def test_value_targets_use_the_last_observation_where_episodes_are_cut() -> None:
    sampler = runner(worlds=3, **{"episode.slots": 4})
    sampler._begin(staggered=False)
    from edge_experts.agents.sampling.rollout_buffer import Rollout

    rollout = Rollout(sampler.groups)
    finals = {}
    for t in range(8):
        sampler._play(rollout, True, False)
        if sampler.world.state.clock.over.any():
            finals[t] = sampler.world.final_views.users.copy(), sampler.world.final_views.user_masks.copy()
    group = next(g for g in sampler.groups if g.role == "user")
    data = rollout.stacked(group)
    batch = sampler._finish(rollout, 24).policy_batches["user"]
    values = data[Columns.VF_PREDS].reshape(8, 3, 16)
    targets = batch[Postprocessing.VALUE_TARGETS].reshape(8, 3, 16)
    for t, (observation, mask) in finals.items():
        seen = {
            "observation": torch.from_numpy(observation.reshape(-1, observation.shape[-1])),
            "action_mask": torch.from_numpy(mask.reshape(-1, mask.shape[-1])),
        }
        with torch.inference_mode():
            following = sampler.module["user"].compute_values({Columns.OBS: seen}).numpy().reshape(3, 16)
        expected = data["reward"][t] + 0.9 * following  # the last step's target has one term
        np.testing.assert_allclose(targets[t], expected, rtol=1e-4, atol=1e-4)
    assert values.shape == targets.shape and sorted(finals) == [3, 7]


def test_absent_users_are_not_in_the_batch() -> None:
    sampler = runner(worlds=8, **{"devices.churn": 0.1})
    batch = sampler.sample(num_timesteps=8 * 12)[0]
    rows = len(batch.policy_batches["user"][Columns.ACTIONS])
    assert 0 < rows < 8 * 12 * 16 and len(batch.policy_batches["provider"][Columns.ACTIONS]) == 8 * 12 * 4
    assert (batch.policy_batches["user"][Columns.OBS]["observation"] != 0).any(axis=1).all()


def test_rows_without_a_choice_are_thinned() -> None:
    sampler = runner(worlds=8)
    sampler.config = sampler.config.copy(copy_frozen=False).training(no_choice_fraction=0.0)
    batch = sampler.sample(num_timesteps=8 * 12)[0].policy_batches["user"]
    masks = batch[Columns.OBS]["action_mask"]
    assert 0 < len(masks) < 8 * 12 * 16 and (masks.sum(axis=1) > 2).all()


@pytest.mark.parametrize(("policies", "modules"), [("per_role", 2), ("independent", 20)])
def test_metrics_have_the_stock_runners_keys(policies: str, modules: int) -> None:
    sampler = runner(worlds=2, policies=policies, **{"episode.slots": 6})
    sampler.sample(num_timesteps=2 * 14)
    metrics = sampler.get_metrics()
    for key in (
        "episode_return_mean",
        "episode_len_mean",
        "agent_episode_returns_mean",
        "module_episode_returns_mean",
        "num_env_steps_sampled",
        "num_agent_steps_sampled",
        "num_module_steps_sampled",
        "num_episodes",
        "episode_return_max",
        "weights_seq_no",
    ):
        assert key in metrics, key
    assert metrics["num_env_steps_sampled"].peek() == 28 and len(metrics["module_episode_returns_mean"]) == modules
    assert metrics["num_agent_steps_sampled"]["user_3"].peek() == 28


def test_same_seed_same_batch_and_evaluation_has_episodes_of_its_own() -> None:
    def first_rows(evaluation: bool = False, seed: int = 3) -> np.ndarray:
        torch.manual_seed(0)
        sampler = runner(worlds=2)
        if evaluation or seed != 3:
            config = sampler.config.copy(copy_frozen=False).debugging(seed=seed)
            config.in_evaluation = evaluation
            sampler = type(sampler)(config=config)
        torch.manual_seed(1)
        return sampler.sample(num_timesteps=8)[0].policy_batches["user"][Columns.OBS]["observation"]

    assert np.array_equal(first_rows()[:32], first_rows()[:32])
    assert not np.array_equal(first_rows()[:32], first_rows(evaluation=True)[:32])
    assert not np.array_equal(first_rows()[:32], first_rows(seed=4)[:32])


def test_workers_sample_different_worlds() -> None:
    from edge_experts.agents.sampling.batched_runner import BatchedEnvRunner

    base = runner(worlds=4)
    other = BatchedEnvRunner(config=base.config, worker_index=2)
    assert base.world.state.clock.world.tolist() == [0, 1, 2, 3] and other.world.state.clock.world.tolist() == [
        8,
        9,
        10,
        11,
    ]


def test_recurrent_modules_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MixtureActorCritic, "is_stateful", lambda self: True)
    with pytest.raises(ValueError, match="recurrent in a way.*--runner stock"):
        runner()


def test_trajectories_are_in_order_and_closed_by_what_was_seen_last() -> None:
    """Every stretch of an agent's life is in order of time, and followed by its bootstrap row where it goes on."""
    from edge_experts.agents.sampling.sequences import order_rows

    rng = np.random.default_rng(0)
    T, N = 12, 5
    live = rng.random((T, N)) < 0.8
    truncated = live & (rng.random((T, N)) < 0.2)
    data = {
        "live": live,
        "observation": np.arange(T * N, dtype=np.float32).reshape(T, N, 1),
        "action_mask": np.tile(np.array([0, 1, 1, 0], np.int8), (T, N, 1)),
        Columns.ACTIONS: np.ones((T, N, 2), np.int64),
        Columns.ACTION_LOGP: rng.random((T, N)).astype(np.float32),
        "reward": rng.random((T, N)).astype(np.float32),
        "terminated": np.zeros((T, N), bool),
    }
    bootstrap = []
    for t in range(T):
        agents = np.flatnonzero(truncated[t])
        seen = {"observation": 1000.0 + t * N + agents[:, None], "action_mask": data["action_mask"][t, agents]}
        bootstrap.append(
            (t, agents, {"observation": seen["observation"].astype(np.float32), "action_mask": seen["action_mask"]})
        )
    rows = order_rows(data, bootstrap, np.array([2, 2]))
    expected, learned = [], []
    for n in range(N):
        for t in range(T):
            if live[t, n]:
                expected.append(float(t * N + n))
                learned.append(True)
                if truncated[t, n]:
                    expected.append(1000.0 + t * N + n)
                    learned.append(False)
    assert rows["observation"][:, 0].tolist() == expected and rows["loss_mask"].tolist() == learned
    closed = ~rows["loss_mask"]
    assert (rows["rewards"][closed] == 0).all() and (rows["actions"][closed] == [1, 0]).all()  # legal ones


@pytest.mark.parametrize("algo", ["IMPALA", "APPO"])
def test_vtrace_batches_bootstrap_from_the_true_last_observation(algo: str) -> None:
    config = small(algo, worlds=4, **{"episode.slots": 7, "devices.churn": 0.1})
    sampler = config.env_runner_cls(config=config)
    sampler._begin(staggered=False)
    finals = []
    play = sampler._play

    def noting(*arguments: Any) -> Any:
        over = play(*arguments)
        if over.any():
            users = sampler.world.state.users
            finals.append(sampler.world.final_views.users[users.truncated & users.acted])
        return over

    sampler._play = noting
    rows = sampler.sample(num_timesteps=4 * 10)[0].policy_batches["user"]
    bootstrap = rows[Columns.OBS]["observation"][~rows[Columns.LOSS_MASK]]
    assert len(finals) == 1 and len(bootstrap) > len(finals[0])
    for last in finals[0]:
        assert (bootstrap == last).all(axis=1).any()
    # what is behind a leave is never bootstrapped
    left = np.flatnonzero(rows[Columns.TERMINATEDS])
    assert len(left) > 0 and rows[Columns.LOSS_MASK][np.minimum(left + 1, len(rows[Columns.LOSS_MASK]) - 1)].all()


@pytest.mark.parametrize("network", ["flat", "entities"])
def test_mappo_values_come_from_the_whole_world(network: str) -> None:
    """One row of the critic's batch for each world and slot; targets of the policies' advantages."""
    from edge_experts.agents.algorithms.mappo import CRITIC, CentralEnvRunner

    config = small("MAPPO", worlds=3, network=network, **{"devices.churn": 0.1})
    config.training(no_choice_fraction=1.0)
    sampler = CentralEnvRunner(config=config)
    batch = sampler.sample(num_timesteps=30)[0].policy_batches
    critic = batch[CRITIC]
    seen = critic[Columns.OBS]
    assert seen["user"]["observation"].shape == (30, 16, 73)
    assert seen["provider"]["observation"].shape == (30, 4, sampler.world.views.providers.shape[-1])
    assert critic["live"].shape == (30, 20) and critic["live"][:, :4].all() and not critic["live"].all()
    assert critic["live"][:, 4:].sum() == len(batch["user"][Columns.ACTIONS])
    targets = critic[Postprocessing.VALUE_TARGETS][:, 4:][critic["live"][:, 4:]]
    np.testing.assert_allclose(np.sort(targets), np.sort(batch["user"][Postprocessing.VALUE_TARGETS]), rtol=1e-5)
    # another user's queue changes the value of this one: its own observation need not
    states = tree.map_structure(lambda x: np.repeat(x[:1], 2, axis=0), seen)
    states["user"]["observation"][1, -1] += 1.0
    values = sampler._judge(states)
    assert (values[0, :-1] != values[1, :-1]).all()


def test_mappo_needs_the_worlds() -> None:
    from edge_experts.agents.setup import SetupError, new_config, set_up

    with pytest.raises(SetupError, match="MAPPO as it is here lives on the worlds"):
        set_up(new_config("MAPPO").environment("edge_experts/text-v1"), runner="stock")
    with pytest.raises(SetupError, match="MAPPO as it is here lives on the worlds"):
        set_up(new_config("MAPPO").environment("CartPole-v1"))


def test_a_network_of_ones_own_is_sampled_by_the_stock_runner() -> None:
    from edge_experts.agents.sampling.batched_runner import BatchedEnvRunner
    from edge_experts.agents.setup import SetupError, new_config, set_up

    mine = new_config("PPO").environment("edge_experts/text-v1").rl_module(model_config={"use_lstm": True})
    assert set_up(mine).env_runner_cls is None
    with pytest.raises(SetupError, match="batched trains PPO with a plain network.*--runner stock"):
        set_up(
            new_config("PPO").environment("edge_experts/text-v1").rl_module(model_config={"use_lstm": True}),
            runner="batched",
        )
    twice = set_up(set_up(new_config("MAPPO").environment("edge_experts/text-v1")))
    assert twice.env_runner_cls.__name__ == "CentralEnvRunner" and "critic" in twice.policies
    assert set_up(new_config("PPO").environment("edge_experts/text-v1"), runner="stock").env_runner_cls is None
    batched = set_up(new_config("PPO").environment("edge_experts/text-v1").training(lr=0.123, gamma=0.5))
    assert batched.env_runner_cls is BatchedEnvRunner and (batched.lr, batched.gamma) == (0.123, 0.5)
