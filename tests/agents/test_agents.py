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

from edge_experts.agents.checkpoints.randomness import OwnRandomness
from edge_experts.agents.mixture.branches import Branches, Mixture
from edge_experts.agents.mixture.config import MixtureConfig
from edge_experts.agents.mixture.routers import Router, balance_loss, entropy, load
from edge_experts.agents.networks.actor_critic import ROUTING, MixtureActorCritic
from edge_experts.agents.networks.distributions import MASKED, MaskedDiagGaussian, distribution_for, mask_logits
from edge_experts.agents.networks.flat import flatten
from edge_experts.agents.networks.running_norm import RunningNorm
from edge_experts.agents.policy_mapping import PolicyMapping
from edge_experts.agents.sampling.gae import generalised_advantages
from edge_experts.agents.sampling.minibatches import Minibatches

spaces = gymnasium.spaces


def module(action: Any, mask: int | None = None, branches: int = 4) -> MixtureActorCritic:
    box = spaces.Box(-1, 1, (6,), np.float32)
    seen = box if mask is None else spaces.Dict({"observation": box, "action_mask": spaces.MultiBinary(mask)})
    return MixtureActorCritic(
        observation_space=seen,
        action_space=action,
        model_config={"branches": branches, "top_k": min(2, branches), "hidden": (16, 16)},
    )


def observe(mask: np.ndarray | None, rows: int = 64) -> Any:
    x = torch.randn(rows, 6)
    return x if mask is None else {"observation": x, "action_mask": torch.from_numpy(np.tile(mask, (rows, 1)))}


def test_router_keeps_the_top_k_and_renormalises() -> None:
    routing = Router(6, MixtureConfig(branches=5, router="topk", top_k=2))(torch.randn(100, 6))
    weights, probabilities = routing.weights, routing.probabilities
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
    mixture = Mixture(6, (8, 3), MixtureConfig(branches=2, router="topk", top_k=1))
    mixed, routing = mixture(x)
    weights = routing.weights
    both = torch.stack([mixture.branches(x, 0), mixture.branches(x, 1)])
    assert torch.allclose(mixed, both[weights.argmax(dim=-1), torch.arange(5)], atol=1e-6)
    wide = Mixture(6, (8, 3), MixtureConfig(branches=4, router="topk", top_k=3))
    mixed, routing = wide(x)
    weights = routing.weights
    every = torch.stack([wide.branches(x, i) for i in range(4)], dim=1)
    assert torch.allclose(mixed, (weights.unsqueeze(-1) * every).sum(dim=1), atol=1e-6)


@pytest.mark.parametrize("action", [spaces.Discrete(5), spaces.MultiDiscrete([10, 4])])
@pytest.mark.parametrize("branches", [2, 4, 8])
def test_the_dense_control_has_as_many_weights(action: Any, branches: int) -> None:
    def weights(**options: Any) -> int:
        seen = spaces.Box(-1, 1, (83,), np.float32)
        config = {"branches": branches, "top_k": 2, "hidden": (64, 64), **options}
        net = MixtureActorCritic(observation_space=seen, action_space=action, model_config=config)
        assert (net.mixture.router is None) == bool(options)
        return sum(p.numel() for p in net.parameters())

    assert weights(control="weights") == pytest.approx(weights(), rel=0.02)


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
    assert net.reader.running_norm.count == 0
    net.forward_train({Columns.OBS: observe(None)})
    assert net.reader.running_norm.count == 64
    net.look_over({Columns.OBS: observe(None), Postprocessing.VALUE_TARGETS: 7.0 * torch.randn(64)})
    net.forward_train({Columns.OBS: observe(None)})  # further passes over what was looked over count no more
    assert net.reader.running_norm.count == 128 and net.value_scale > 3.0
    tokens = RunningNorm(3)
    tokens.gather(x[:300].view(100, 3, 3))
    assert tokens.count == 100, "rows, however many tokens they have"
    assert torch.allclose(tokens.variance, x[:300].var(dim=0, correction=0), rtol=1e-3)


MASKS = [
    (spaces.Discrete(5), np.array([1, 0, 1, 0, 1], np.int8)),
    (spaces.MultiDiscrete([3, 4]), np.array([0, 1, 1, 1, 0, 0, 1], np.int8)),
]


@pytest.mark.parametrize(("space", "mask"), MASKS)
def test_masked_actions_have_probability_zero_everywhere(space: Any, mask: np.ndarray) -> None:
    net = module(space, len(mask))
    with torch.no_grad():
        net.policy.layer.bias[torch.from_numpy(mask == 0)] = 50.0  # the network wants what is forbidden
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
    grad = net.policy.layer.bias.grad
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
    net = MixtureActorCritic(
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
    assert torch.equal(flatten(observation, seen), flat)
    assert net.forward_train({Columns.OBS: seen})[ROUTING]["trunk"].weights.shape == (5, 2)
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

    batch = MultiAgentBatch({"user": rows(160), "provider": rows(40)}, env_steps=10)
    minibatches = list(Minibatches(batch, epochs=2, size=2))
    assert len(minibatches) == 10
    for name, count in (("user", 160), ("provider", 40)):
        for epoch in (minibatches[:5], minibatches[5:]):
            seen = torch.cat([part.policy_batches[name]["actions"] for part in epoch])
            assert sorted(seen.tolist()) == list(range(count)) and seen.tolist() != list(range(count))
        assert {len(part.policy_batches[name]["actions"]) for part in minibatches} == {count // 5}
        assert all(
            torch.equal(part.policy_batches[name]["obs"]["x"], part.policy_batches[name]["actions"])
            for part in minibatches
        )


def test_policy_mapping() -> None:
    agents = ["user_0", "user_11", "provider_2", "agent"]
    assert [PolicyMapping("per_role")(a) for a in agents] == ["user", "user", "provider", "agent"]
    assert [PolicyMapping("independent")(a) for a in agents] == agents
    assert {PolicyMapping("shared")(a) for a in agents} == {"shared"}


def test_own_randomness_leaves_the_global_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    mine, other = OwnRandomness(1), OwnRandomness(1)
    with mine.use():
        first = torch.rand(3)
    with other.use():
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.rand(3), expected)
    with mine.use():
        assert not torch.equal(torch.rand(3), first), "the draws go on from use to use"
