"""The plain PPO loop against RLlib's batched runner, and its losses in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_experts.agents.algorithms.ppo_loop import PPOSettings, Trainee, collect
from edge_experts.agents.algorithms.ppo_loss import surrogate_loss, value_loss
from edge_experts.agents.networks.actor_critic import MixtureActorCritic
from edge_experts.agents.sampling.gae import standardised
from edge_experts.baselines import make_policy
from edge_experts.envs import World
from edge_experts.envs.api.spaces import role_spaces


def trainee(world: World, role: str = "user", agents: int | None = None) -> Trainee:
    spaces = role_spaces(role, world.sizes)
    torch.manual_seed(0)
    module = MixtureActorCritic(
        observation_space=spaces.observation, action_space=spaces.action, model_config={"hidden": (8,)}
    )
    return Trainee(role, np.arange(world.sizes.agents(role) if agents is None else agents), module)


def test_the_surrogate_is_that_of_the_paper() -> None:
    before, advantages = torch.zeros(4), torch.tensor([1.0, 1.0, -1.0, -1.0])
    ratio = torch.tensor([1.5, 0.5, 1.5, 0.5])
    # min(r A, clip(r) A) = 1.2, 0.5, -1.5, -0.8
    assert float(surrogate_loss(ratio.log(), before, advantages, 0.2)) == pytest.approx(-(1.2 + 0.5 - 1.5 - 0.8) / 4)
    values = torch.tensor([1.0, 3.0])
    assert float(value_loss(values, torch.zeros(2))) == pytest.approx(5.0)
    assert float(value_loss(values, torch.zeros(2), clip=4.0)) == pytest.approx(2.5)


def test_standardised_counts_only_the_rows_that_count() -> None:
    rows = torch.tensor([1.0, 3.0, 100.0])
    counted = standardised(rows, torch.tensor([True, True, False]))
    assert counted[:2].mean() == pytest.approx(0.0, abs=1e-6) and counted[:2].std() == pytest.approx(1.0)
    assert standardised(rows[:1]).tolist() == [1.0]


def test_rows_are_of_agents_that_are_there_and_have_a_choice() -> None:
    world = World("text-v1", 4, seed=3, overrides={"devices.churn": 0.05, "devices.scripted": 3})
    world.reset()
    mine, settings = trainee(world), PPOSettings(slots=12)
    (rows,), _ = collect(world, [mine], settings, np.random.default_rng(0))
    assert 0 < len(rows["logp"]) < 12 * 4 * 13
    assert (rows["action_mask"].sum(dim=-1) > len(mine.spaces(world).nvec)).all()
    assert rows["advantages"].mean() == pytest.approx(0.0, abs=1e-4)
    (all_rows,), _ = collect(world, [mine], PPOSettings(slots=12, no_choice_fraction=1.0), np.random.default_rng(0))
    assert len(all_rows["logp"]) > len(rows["logp"])


def test_a_cut_episode_is_valued_by_what_was_seen_last() -> None:
    """With gamma 1, lambda 0 and no reward, a target is the value of what follows, of the old episode where cut."""
    world = World("text-v1", 2, seed=3, overrides={"episode.slots": 4})
    world.reset()
    mine = trainee(world)
    finals, step = [], world.step

    def noting(*actions: object) -> object:
        views = step(*actions)  # type: ignore[arg-type]
        if world.state.clock.over.all():
            finals.append(mine.values(mine.seen(world, world.final_views)))
        world.state.users.reward[:] = 0.0
        return views

    world.step = noting  # type: ignore[method-assign]
    settings = PPOSettings(slots=5, gamma=1.0, lambda_=0.0, no_choice_fraction=1.0)
    with torch.inference_mode():
        (rows,), reward = collect(world, [mine], settings, np.random.default_rng(0))
    targets = rows["targets"].numpy().reshape(5, -1)
    assert reward == 0.0 and len(finals) == 1
    np.testing.assert_allclose(targets[3], finals[0], rtol=1e-5)


def test_all_other_agents_play_the_policy_that_is_given() -> None:
    world, twin = (World("text-v1", 2, seed=5) for _ in range(2))
    world.reset(), twin.reset()
    mine = trainee(world, "provider", agents=1)
    collect(world, [mine], PPOSettings(slots=6), np.random.default_rng(0), make_policy("myopic", world))
    policy = make_policy("myopic", twin)
    for _ in range(6):
        twin.step(*policy.act(twin))
    assert (world.state.users.requests.sum(), world.state.clock.slot[0]) == (twin.state.users.requests.sum(), 6)
    assert world.state.providers.price[:, 1:].tolist() == twin.state.providers.price[:, 1:].tolist()
