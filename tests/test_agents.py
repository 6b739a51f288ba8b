"""The network, its masks, the advantages and the batched runner."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from edge_experts.agents.advantages import generalised_advantages
from edge_experts.agents.branches import Branches, Mixture
from edge_experts.agents.distributions import MASKED, MaskedDiagGaussian, distribution_for, mask_logits
from edge_experts.agents.minibatches import Minibatches
from edge_experts.agents.module import ROUTER_WEIGHTS, MoEModule
from edge_experts.agents.normalise import RunningNorm
from edge_experts.agents.policies import PolicyMapping
from edge_experts.agents.routers import TopKRouter, balance_loss, entropy, load

spaces = gymnasium.spaces


def module(action: Any, mask: int | None = None, branches: int = 4) -> MoEModule:
    box = spaces.Box(-1, 1, (6,), np.float32)
    seen = box if mask is None else spaces.Dict({"observation": box, "action_mask": spaces.MultiBinary(mask)})
    return MoEModule(
        observation_space=seen,
        action_space=action,
        model_config={"branches": branches, "top_k": min(2, branches), "hidden": (16, 16)},
    )


def observe(mask: np.ndarray | None, rows: int = 64) -> Any:
    x = torch.randn(rows, 6)
    return x if mask is None else {"observation": x, "action_mask": torch.from_numpy(np.tile(mask, (rows, 1)))}


def test_router_keeps_the_top_k_and_renormalises() -> None:
    router = TopKRouter(6, 5, 2)
    weights, probabilities = router(torch.randn(100, 6))
    assert ((weights > 0).sum(dim=-1) == 2).all() and torch.allclose(weights.sum(dim=-1), torch.ones(100))
    assert torch.allclose(probabilities.sum(dim=-1), torch.ones(100))
    assert (weights.argmax(dim=-1) == probabilities.argmax(dim=-1)).all()


def test_balance_loss_is_one_when_balanced_and_n_when_not() -> None:
    even = torch.full((40, 4), 0.25)
    assert balance_loss(even, even).item() == pytest.approx(1.0)
    one = torch.zeros(40, 4)
    one[:, 2] = 1
    assert balance_loss(one, one).item() == pytest.approx(4.0) and load(one).tolist() == [0, 0, 1, 0]
    assert entropy(even).item() == pytest.approx(np.log(4)) and entropy(one).item() == 0.0


def test_branches_are_independent_networks() -> None:
    branches = Branches(6, (8, 3), 2)
    x = torch.randn(5, 6)
    alone = x
    for weight, bias in zip(branches.weights, branches.biases, strict=True):
        alone = torch.relu(alone @ weight[1] + bias[1])
    assert torch.allclose(branches(x, 1), alone, atol=1e-6)
    mixture = Mixture(6, (8, 3), 2, 1)
    mixed, weights, _ = mixture(x)
    both = torch.stack([mixture.branches(x, 0), mixture.branches(x, 1)])
    assert torch.allclose(mixed, both[weights.argmax(dim=-1), torch.arange(5)], atol=1e-6)
    wide = Mixture(6, (8, 3), 4, 3)
    mixed, weights, _ = wide(x)
    every = torch.stack([wide.branches(x, i) for i in range(4)], dim=1)
    assert torch.allclose(mixed, (weights.unsqueeze(-1) * every).sum(dim=1), atol=1e-6)


@pytest.mark.parametrize("action", [spaces.Discrete(5), spaces.MultiDiscrete([10, 4])])
@pytest.mark.parametrize("branches", [2, 4, 8])
def test_the_dense_control_has_as_many_weights(action: Any, branches: int) -> None:
    def weights(**options: Any) -> int:
        seen = spaces.Box(-1, 1, (83,), np.float32)
        config = {"branches": branches, "top_k": 2, "hidden": (64, 64), **options}
        net = MoEModule(observation_space=seen, action_space=action, model_config=config)
        assert (net.mixture.router is None) == bool(options)
        return sum(p.numel() for p in net.parameters())

    assert weights(dense_equal=True) == pytest.approx(weights(), rel=0.02)


def test_input_statistics_are_gathered_by_the_learner_only_and_then_stay() -> None:
    norm = RunningNorm(3, rows=1000)
    x = torch.randn(5000, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([0.0, 2.0, -1.0])
    for part in x[:1200].split(100):
        norm.gather(part)
    assert norm.count == 1000 and torch.allclose(norm.mean, x[:1000].mean(dim=0), atol=1e-4)
    assert torch.allclose(norm.variance, x[:1000].var(dim=0, correction=0), rtol=1e-3)
    assert norm(x[:1000])[:, 1].std() == pytest.approx(1.0, abs=0.02) and norm(x * 100).abs().max() == 5.0
    net = module(spaces.Discrete(2))
    with torch.inference_mode():
        net.forward_train({Columns.OBS: observe(None)})
    assert net.normalise.count == 0
    net.forward_train({Columns.OBS: observe(None)})
    assert net.normalise.count == 64


MASKS = [
    (spaces.Discrete(5), np.array([1, 0, 1, 0, 1], np.int8)),
    (spaces.MultiDiscrete([3, 4]), np.array([0, 1, 1, 1, 0, 0, 1], np.int8)),
]


@pytest.mark.parametrize(("space", "mask"), MASKS)
def test_masked_actions_have_probability_zero_everywhere(space: Any, mask: np.ndarray) -> None:
    net = module(space, len(mask))
    with torch.no_grad():
        net.policy.bias[torch.from_numpy(mask == 0)] = 50.0  # the network wants what is forbidden
    out = net.forward_train({Columns.OBS: observe(mask)})
    distribution = net.get_train_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
    parts = np.split(mask, np.cumsum(getattr(space, "nvec", [len(mask)]))[:-1])
    for _ in range(50):
        drawn = distribution.sample().reshape(64, -1)
        assert all(part[drawn[:, i]].all() for i, part in enumerate(parts))
    greedy = distribution.to_deterministic().sample().reshape(64, -1)
    assert all(part[greedy[:, i]].all() for i, part in enumerate(parts))
    for part, probabilities in zip(parts, distribution.probabilities, strict=True):
        assert (probabilities[:, torch.from_numpy(part == 0)] == 0).all()
    assert torch.isfinite(distribution.entropy()).all()
    assert (distribution.entropy() <= sum(np.log(part.sum()) for part in parts) + 1e-5).all()
    assert torch.isfinite(distribution.kl(distribution)).all()
    # gradients never reach a masked output
    (distribution.logp(distribution.sample()) + distribution.entropy()).sum().backward()
    grad = net.policy.bias.grad
    assert (grad[torch.from_numpy(mask == 0)] == 0).all() and (grad != 0).any() and torch.isfinite(grad).all()


@pytest.mark.parametrize("space", [spaces.Discrete(5), spaces.MultiDiscrete([3, 4, 2])])
def test_categorical_parts_against_torchs_own(space: Any) -> None:
    distribution_class, outputs = distribution_for(space)
    logits, others = torch.randn(2, 40_000, outputs)
    mine, other = distribution_class.from_logits(logits), distribution_class.from_logits(others)
    sizes = [int(n) for n in getattr(space, "nvec", [outputs])]
    theirs = [torch.distributions.Categorical(logits=part) for part in logits.split(sizes, dim=-1)]
    second = [torch.distributions.Categorical(logits=part) for part in others.split(sizes, dim=-1)]
    drawn = mine.sample()
    assert drawn.shape == (40_000, *space.shape) and distribution_class.required_input_dim(space=space) == outputs
    parts = drawn.reshape(40_000, -1).unbind(dim=-1)
    assert torch.allclose(mine.logp(drawn), sum(d.log_prob(x) for d, x in zip(theirs, parts, strict=True)), atol=1e-5)
    assert torch.allclose(mine.entropy(), sum(d.entropy() for d in theirs), atol=1e-5)
    kl = sum(torch.distributions.kl_divergence(p, q) for p, q in zip(theirs, second, strict=True))
    assert torch.allclose(mine.kl(other), kl, atol=1e-4)
    likely = mine.to_deterministic().sample().reshape(40_000, -1)
    assert all(torch.equal(x, d.probs.argmax(-1)) for x, d in zip(likely.unbind(dim=-1), theirs, strict=True))
    for x, d in zip(parts, theirs, strict=True):  # as often as they should
        shares = torch.nn.functional.one_hot(x, d.probs.shape[-1]).float().mean(dim=0)
        assert torch.allclose(shares, d.probs.mean(dim=0), atol=0.01)


def test_masked_box_entries_are_held_at_zero() -> None:
    mask = np.array([1, 0, 1], np.int8)
    net = module(spaces.Box(-1, 1, (3,), np.float32), 3)
    out = net.forward_train({Columns.OBS: observe(mask)})
    distribution = net.get_train_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
    drawn = distribution.sample()
    assert (drawn[:, 1] == 0).all() and (drawn[:, 0] != 0).all()
    normal = torch.distributions.Normal(distribution._dist.mean[:, [0, 2]], distribution._dist.stddev[:, [0, 2]])
    assert torch.allclose(distribution.logp(drawn), normal.log_prob(drawn[:, [0, 2]]).sum(-1))
    assert torch.allclose(distribution.entropy(), normal.entropy().sum(-1)) and torch.allclose(
        distribution.kl(distribution), torch.zeros(64)
    )
    assert isinstance(distribution, MaskedDiagGaussian) and (distribution.to_deterministic().sample()[:, 1] == 0).all()


def test_masked_logit_is_exactly_impossible_in_float32() -> None:
    logits = mask_logits(torch.tensor([[200.0, -200.0]]), torch.tensor([[0, 1]]))
    assert logits[0, 0] == MASKED and torch.softmax(logits, -1).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    "observation",
    [
        spaces.Dict({"a": spaces.Box(0, 1, (2, 2)), "b": spaces.Discrete(3)}),
        spaces.Tuple((spaces.Discrete(4), spaces.Box(0, 1, (2,)))),
        spaces.Box(0, 255, (2, 3), np.uint8),
    ],
)
def test_any_observation_that_flattens_is_taken(observation: Any) -> None:
    net = MoEModule(
        observation_space=observation,
        action_space=spaces.Discrete(2),
        model_config={"branches": 2, "top_k": 1, "hidden": (4,)},
    )
    samples = [observation.sample() for _ in range(5)]

    def batch(values: list[Any]) -> Any:
        if isinstance(values[0], dict):
            return {key: batch([value[key] for value in values]) for key in values[0]}
        if isinstance(values[0], tuple):
            return tuple(batch([value[i] for value in values]) for i in range(len(values[0])))
        return torch.as_tensor(np.stack(values))

    seen = batch(samples)
    flat = torch.as_tensor(np.stack([spaces.flatten(observation, sample) for sample in samples])).float()
    assert torch.equal(net._flatten(seen), flat)
    assert net.forward_train({Columns.OBS: seen})[ROUTER_WEIGHTS].shape == (5, 2)
    assert net.compute_values({Columns.OBS: seen}).shape == (5,)


def test_unsupported_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="action space: .* is not supported"):
        distribution_for(spaces.Tuple((spaces.Discrete(2),)))


def test_advantages_against_the_definition() -> None:
    """Sums of discounted surprises, each episode by itself, written out term by term."""
    rng = np.random.default_rng(0)
    T, gamma, lambda_ = 40, 0.9, 0.7
    rewards, values, following = rng.normal(size=(3, T, 2))
    terminated, truncated = rng.random((2, T, 2)) < 0.1
    truncated &= ~terminated
    result = generalised_advantages(rewards, values, following, terminated, truncated, gamma, lambda_)
    for i in range(2):
        for t in range(T):
            expected, weight = 0.0, 1.0
            for k in range(t, T):
                next_value = 0.0 if terminated[k, i] else following[k, i]
                expected += weight * (rewards[k, i] + gamma * next_value - values[k, i])
                weight *= gamma * lambda_
                if terminated[k, i] or truncated[k, i]:
                    break
            assert result[t, i] == pytest.approx(expected)


def test_minibatches_cover_every_row_once_an_epoch() -> None:
    def rows(n: int) -> SampleBatch:
        return SampleBatch({"obs": {"x": torch.arange(n)}, "actions": torch.arange(n)})

    batch = MultiAgentBatch({"device": rows(160), "provider": rows(40)}, env_steps=10)
    minibatches = list(Minibatches(batch, epochs=2, size=2))
    assert len(minibatches) == 10
    for name, count in (("device", 160), ("provider", 40)):
        for epoch in (minibatches[:5], minibatches[5:]):
            seen = torch.cat([part.policy_batches[name]["actions"] for part in epoch])
            assert sorted(seen.tolist()) == list(range(count)) and seen.tolist() != list(range(count))
        assert {len(part.policy_batches[name]["actions"]) for part in minibatches} == {count // 5}
        assert all(
            torch.equal(part.policy_batches[name]["obs"]["x"], part.policy_batches[name]["actions"])
            for part in minibatches
        )


def test_policy_mapping() -> None:
    agents = ["device_0", "device_11", "provider_2", "agent"]
    assert [PolicyMapping("per_role")(a) for a in agents] == ["device", "device", "provider", "agent"]
    assert [PolicyMapping("independent")(a) for a in agents] == agents
    assert {PolicyMapping("shared")(a) for a in agents} == {"shared"}


# --- the batched runner --------------------------------------------------------------------------------------------


def runner(env: str = "edge_experts/text-v0", worlds: int = 6, policies: str = "per_role", **scenario: Any) -> Any:
    from edge_experts.agents.algorithms import new_config, set_up
    from edge_experts.agents.batched_runner import BatchedEnvRunner

    config = new_config("MoEPPO").environment(env, env_config={"scenario": scenario})
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=worlds).training(
        train_batch_size_per_learner=worlds * 12, minibatch_size=worlds * 12, forced_share=1.0, gamma=0.9, lambda_=0.8
    )
    config.debugging(seed=3)
    set_up(config, policies)
    return BatchedEnvRunner(config=config)


def test_batches_hold_what_the_world_showed_and_paid() -> None:
    """The same actions in a second world give the observations, masks and rewards that the batch is made of."""
    from edge_experts.envs import World

    sampler = runner(worlds=4, **{"episode.slots": 7, "devices.churn": 0.1})
    sampler._begin(staggered=False)
    from edge_experts.agents.batched_runner import Rollout

    rollout = Rollout(sampler.groups)
    for _ in range(20):
        sampler._play(rollout, True, False)
    world = World(sampler.world.scenario, 4, sampler.world.seed)
    world.reset()
    data = {group.role: rollout.stacked(group) for group in sampler.groups}
    spaces = sampler.role_spaces["provider"]
    ends = 0
    for t in range(20):
        live = world.live_devices
        assert np.array_equal(data["device"]["live"][t], live)
        assert np.array_equal(data["device"]["observation"][t].reshape(4, 16, -1), world.views.devices)
        masks = spaces.shown_mask(world.views.provider_masks)
        assert np.array_equal(data["provider"]["action_mask"][t].reshape(4, 4, -1), masks)
        world.step(
            data["device"][Columns.ACTIONS][t].reshape(4, 16, 2),
            spaces.to_world(data["provider"][Columns.ACTIONS][t].reshape(4, 4, 4)),
        )
        assert np.array_equal(data["device"]["reward"][t], world.state.devices.reward.astype(np.float32))
        assert np.array_equal(data["device"]["terminated"][t], world.state.devices.terminated)
        assert np.array_equal(data["device"]["truncated"][t], world.state.devices.truncated)
        assert not world.state.devices.invalid.any()
        ends += world.state.clock.over.sum()
    assert ends == 8
    # truncation bootstraps with the value of the true last observation
    group = next(g for g in sampler.groups if g.role == "device")
    assert [t for t, _, _ in rollout.cuts(group)] == [6, 13]


def test_value_targets_use_the_last_observation_where_episodes_are_cut() -> None:
    sampler = runner(worlds=3, **{"episode.slots": 4})
    sampler._begin(staggered=False)
    from edge_experts.agents.batched_runner import Rollout

    rollout = Rollout(sampler.groups)
    finals = {}
    for t in range(8):
        sampler._play(rollout, True, False)
        if sampler.world.state.clock.over.any():
            finals[t] = sampler.world.final_views.devices.copy(), sampler.world.final_views.device_masks.copy()
    group = next(g for g in sampler.groups if g.role == "device")
    data = rollout.stacked(group)
    batch = sampler._finish(rollout, 24).policy_batches["device"]
    values = data[Columns.VF_PREDS].reshape(8, 3, 16)
    targets = batch[Postprocessing.VALUE_TARGETS].reshape(8, 3, 16)
    for t, (observation, mask) in finals.items():
        seen = {
            "observation": torch.from_numpy(observation.reshape(-1, observation.shape[-1])),
            "action_mask": torch.from_numpy(mask.reshape(-1, mask.shape[-1])),
        }
        with torch.inference_mode():
            following = sampler.module["device"].compute_values({Columns.OBS: seen}).numpy().reshape(3, 16)
        expected = data["reward"][t] + 0.9 * following  # the last step's target has one term
        np.testing.assert_allclose(targets[t], expected, rtol=1e-4, atol=1e-4)
    assert values.shape == targets.shape and sorted(finals) == [3, 7]


def test_absent_devices_are_not_in_the_batch() -> None:
    sampler = runner(worlds=8, **{"devices.churn": 0.1})
    batch = sampler.sample(num_timesteps=8 * 12)[0]
    rows = len(batch.policy_batches["device"][Columns.ACTIONS])
    assert 0 < rows < 8 * 12 * 16 and len(batch.policy_batches["provider"][Columns.ACTIONS]) == 8 * 12 * 4
    assert (batch.policy_batches["device"][Columns.OBS]["observation"] != 0).any(axis=1).all()


def test_rows_without_a_choice_are_thinned() -> None:
    sampler = runner(worlds=8)
    sampler.config = sampler.config.copy(copy_frozen=False).training(forced_share=0.0)
    batch = sampler.sample(num_timesteps=8 * 12)[0].policy_batches["device"]
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
    assert metrics["num_agent_steps_sampled"]["device_3"].peek() == 28


def test_same_seed_same_batch_and_evaluation_has_episodes_of_its_own() -> None:
    def first_rows(evaluation: bool = False, seed: int = 3) -> np.ndarray:
        torch.manual_seed(0)
        sampler = runner(worlds=2)
        if evaluation or seed != 3:
            config = sampler.config.copy(copy_frozen=False).debugging(seed=seed)
            config.in_evaluation = evaluation
            sampler = type(sampler)(config=config)
        torch.manual_seed(1)
        return sampler.sample(num_timesteps=8)[0].policy_batches["device"][Columns.OBS]["observation"]

    assert np.array_equal(first_rows()[:32], first_rows()[:32])
    assert not np.array_equal(first_rows()[:32], first_rows(evaluation=True)[:32])
    assert not np.array_equal(first_rows()[:32], first_rows(seed=4)[:32])


def test_workers_sample_different_worlds() -> None:
    from edge_experts.agents.batched_runner import BatchedEnvRunner

    base = runner(worlds=4)
    other = BatchedEnvRunner(config=base.config, worker_index=2)
    assert base.world.state.clock.world.tolist() == [0, 1, 2, 3] and other.world.state.clock.world.tolist() == [
        8,
        9,
        10,
        11,
    ]


def test_recurrent_modules_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MoEModule, "is_stateful", lambda self: True)
    with pytest.raises(ValueError, match="recurrent.*--runner stock"):
        runner()


def small(algo: str, env: str = "edge_experts/text-v0", worlds: int = 6, **scenario: Any) -> Any:
    """A configuration of an algorithm for the batched runner, small enough to train in a test."""
    from edge_experts.agents.algorithms import new_config, set_up

    config = new_config(algo).environment(env, env_config={"scenario": scenario}).debugging(seed=1)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=worlds, rollout_fragment_length=10)
    config.training(train_batch_size_per_learner=worlds * 10)
    if "PPO" in algo and algo != "APPO":
        config.training(minibatch_size=worlds * 5, num_epochs=2)
    config.learners(num_learners=0)
    return set_up(config)


def test_trajectories_are_in_order_and_closed_by_what_was_seen_last() -> None:
    """Every stretch of an agent's life is in order of time, and followed by its closing row where it goes on."""
    from edge_experts.agents.trajectories import order_rows

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
    closing = []
    for t in range(T):
        agents = np.flatnonzero(truncated[t])
        seen = {"observation": 1000.0 + t * N + agents[:, None], "action_mask": data["action_mask"][t, agents]}
        closing.append(
            (t, agents, {"observation": seen["observation"].astype(np.float32), "action_mask": seen["action_mask"]})
        )
    rows = order_rows(data, closing, np.array([2, 2]))
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
    from edge_experts.agents.batched_runner import BatchedEnvRunner

    config = small(algo, worlds=4, **{"episode.slots": 7, "devices.churn": 0.1})
    sampler = BatchedEnvRunner(config=config)
    sampler._begin(staggered=False)
    finals = []
    play = sampler._play

    def noting(*arguments: Any) -> Any:
        over = play(*arguments)
        if over.any():
            devices = sampler.world.state.devices
            finals.append(sampler.world.final_views.devices[devices.truncated & devices.acted])
        return over

    sampler._play = noting
    rows = sampler.sample(num_timesteps=4 * 10)[0].policy_batches["device"]
    closing = rows[Columns.OBS]["observation"][~rows[Columns.LOSS_MASK]]
    assert len(finals) == 1 and len(closing) > len(finals[0])
    for last in finals[0]:
        assert (closing == last).all(axis=1).any()
    # what is behind a leave is never bootstrapped
    left = np.flatnonzero(rows[Columns.TERMINATEDS])
    assert len(left) > 0 and rows[Columns.LOSS_MASK][np.minimum(left + 1, len(rows[Columns.LOSS_MASK]) - 1)].all()


@pytest.mark.parametrize("algo", ["PPO", "MAPPO", "IMPALA", "APPO"])
def test_algorithms_train_from_the_batched_runner(algo: str, ray_here: Any) -> None:
    config = small(algo)
    config.reporting(min_time_s_per_iteration=None, min_sample_timesteps_per_iteration=60)
    algorithm = config.build_algo()
    try:
        before = {k: np.array(v) for k, v in algorithm.learner_group.get_weights()["device"].items()}
        losses: dict[str, Any] = {}
        for _ in range(3 if "vf_clip_param" in vars(config) else 12):  # IMPALA and APPO report now and then
            result = algorithm.train()
            losses.update(result["learners"].get("device", {}))
        after = algorithm.learner_group.get_weights()["device"]
        assert any((before[k] != after[k]).any() for k in before if "weight" in k)
        assert all(np.isfinite(v).all() for v in after.values())
        assert result["env_runners"]["num_env_steps_sampled_lifetime"] >= 180
        assert np.isfinite(losses.get("policy_loss", losses.get("mean_pi_loss"))) and ("vf_loss" in losses) == (
            algo != "MAPPO"
        )
        if algo == "MAPPO":
            assert np.isfinite(result["learners"]["critic"]["vf_loss"])
    finally:
        algorithm.stop()


def test_mappo_values_come_from_the_whole_world() -> None:
    """One row of the critic's batch for each world and slot; targets of the policies' advantages."""
    from edge_experts.agents.mappo import CRITIC, CentralEnvRunner

    config = small("MAPPO", worlds=3, **{"devices.churn": 0.1})
    config.training(forced_share=1.0)
    sampler = CentralEnvRunner(config=config)
    batch = sampler.sample(num_timesteps=30)[0].policy_batches
    critic = batch[CRITIC]
    assert critic[Columns.OBS].shape == (30, 4 * sampler.world.views.providers.shape[-1] + 16 * 69)
    assert critic["live"].shape == (30, 20) and critic["live"][:, :4].all() and not critic["live"].all()
    assert critic["live"][:, 4:].sum() == len(batch["device"][Columns.ACTIONS])
    targets = critic[Postprocessing.VALUE_TARGETS][:, 4:][critic["live"][:, 4:]]
    np.testing.assert_allclose(np.sort(targets), np.sort(batch["device"][Postprocessing.VALUE_TARGETS]), rtol=1e-5)
    # another device's queue changes the value of this one: its own observation need not
    states = torch.from_numpy(critic[Columns.OBS][:1]).repeat(2, 1)
    states[1, -69:] += 1.0
    values = sampler._judge(states.numpy())
    assert (values[0, :-1] != values[1, :-1]).all()


def test_mappo_needs_the_worlds() -> None:
    from edge_experts.agents.algorithms import SetupError, new_config, set_up

    with pytest.raises(SetupError, match="MAPPO's critic reads the worlds"):
        set_up(new_config("MAPPO").environment("edge_experts/text-v0"), runner="stock")
    with pytest.raises(SetupError, match="MAPPO's critic reads the worlds"):
        set_up(new_config("MAPPO").environment("CartPole-v1"))


def test_a_network_of_ones_own_is_sampled_by_the_stock_runner() -> None:
    from edge_experts.agents.algorithms import SetupError, new_config, set_up
    from edge_experts.agents.batched_runner import BatchedEnvRunner

    mine = new_config("PPO").environment("edge_experts/text-v0").rl_module(model_config={"use_lstm": True})
    assert set_up(mine).env_runner_cls is None
    with pytest.raises(SetupError, match="batched trains PPO with a plain network.*--runner stock"):
        set_up(
            new_config("PPO").environment("edge_experts/text-v0").rl_module(model_config={"use_lstm": True}),
            runner="batched",
        )
    twice = set_up(set_up(new_config("MAPPO").environment("edge_experts/text-v0")))
    assert twice.env_runner_cls.__name__ == "CentralEnvRunner" and "critic" in twice.policies
    assert set_up(new_config("PPO").environment("edge_experts/text-v0"), runner="stock").env_runner_cls is None
    batched = set_up(new_config("PPO").environment("edge_experts/text-v0").training(lr=0.123, gamma=0.5))
    assert batched.env_runner_cls is BatchedEnvRunner and (batched.lr, batched.gamma) == (0.123, 0.5)
