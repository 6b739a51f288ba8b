"""One set of weights on several markets: sampled together, one optimiser, and played anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_experts.agents.checkpoints.metadata import checkpoints_of, read_description
from edge_experts.agents.checkpoints.play import play_checkpoint
from edge_experts.agents.checkpoints.policy import CheckpointPolicy
from edge_experts.agents.errors import SetupError
from edge_experts.agents.job import Job, train
from edge_experts.agents.market_names import markets_of
from edge_experts.agents.networks.shared_weights import SharedWeights
from edge_experts.agents.sampling.markets_runner import worlds_of
from edge_experts.agents.setup import new_config, set_up
from edge_experts.envs import World, load_scenario, shipped_ids

TEXT, NETWORKED, NETMOE = (f"edge_experts/{name}-v1" for name in ("text", "networked", "netmoe"))
SMALL = {
    "train_batch_size_per_learner": 72,
    "minibatch_size": 36,
    "num_epochs": 1,
    "hidden": [8, 8],
    "num_env_runners": 0,
    "num_envs_per_env_runner": 6,
}


def _config(algo: str = "PPO", markets: tuple[str, ...] = (TEXT, NETMOE), **settings: Any) -> Any:
    config = new_config(algo, TEXT).environment(TEXT, env_config={"overrides": {"rewards.team": 1.0}})
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=6).debugging(seed=0)
    shape = {name: value for name, value in SMALL.items() if "num_env" not in name}
    return config.training(**{"markets": markets, "network": "entities", **shape, **settings})


def test_small_markets_get_more_slots_than_crowded_ones() -> None:
    text = load_scenario(TEXT).acting
    few, many = worlds_of((TEXT, NETMOE), 600)
    assert few + many == 600 and many / few == pytest.approx(text**0.5, rel=0.02)
    assert worlds_of((TEXT, NETMOE), 1) == [1, 1]


def test_names_of_several_markets() -> None:
    assert markets_of(TEXT) == () and markets_of("CartPole-v1") == ()
    assert markets_of(f"{TEXT}, {NETMOE}") == (TEXT, NETMOE)
    assert markets_of("all") == tuple(shipped_ids())
    with pytest.raises(SetupError, match="'CartPole-v1' of .* is none of our markets"):
        markets_of(f"{TEXT},CartPole-v1")
    with pytest.raises(SetupError, match="names text-v1 twice"):
        markets_of(f"{TEXT},text-v1")


@pytest.mark.parametrize("algo", ["PPO", "MoEPPO"])
def test_all_markets_are_sampled_and_learned_from_with_one_set_of_weights(algo: str, ray_here: Any) -> None:
    algorithm = set_up(_config(algo)).build_algo()
    try:
        learner = algorithm.learner_group._learner
        modules = learner.module
        assert isinstance(modules, SharedWeights)
        assert set(modules.keys()) == {"user@text-v1", "provider@text-v1", "user@netmoe-v1"}
        text, netmoe = modules["user@text-v1"], modules["user@netmoe-v1"]
        assert all(a is b for a, b in zip(text.parameters(), netmoe.parameters(), strict=True))
        assert text.value_scale is not netmoe.value_scale
        assert text.reader.token_norm.mean is netmoe.reader.token_norm.mean
        assert [*learner._module_optimizers] == ["user@text-v1", "provider@text-v1"], "one optimiser a policy"
        batch = algorithm.env_runner.sample(num_timesteps=72)[0]
        assert set(batch.policy_batches) == set(modules.keys()) and batch.env_steps() == 72
        before = [weight.clone() for weight in text.parameters()]
        algorithm.train()
        assert any(not torch.equal(a, b) for a, b in zip(before, text.parameters(), strict=True))
        for played, learned in zip(
            algorithm.env_runner.module["user@netmoe-v1"].parameters(), text.parameters(), strict=True
        ):
            assert torch.equal(played, learned)
        assert text.reader.token_norm.count > netmoe.value_scale.numel(), "statistics of all markets together"
    finally:
        algorithm.stop()


def test_each_market_moves_the_weights(ray_here: Any) -> None:
    """The gradient of the shared weights is the sum over markets: leaving one market's rows out changes it."""
    algorithm = set_up(_config()).build_algo()
    try:
        learner = algorithm.learner_group._learner
        text, netmoe = (learner.module[f"user@{name}-v1"] for name in ("text", "netmoe"))
        seen = {
            module: {"obs": {key: torch.as_tensor(np.asarray(part)) for key, part in rows.items()}}
            for module, rows in (
                (m, b["obs"]) for m, b in algorithm.env_runner.sample(num_timesteps=12)[0].policy_batches.items()
            )
        }
        weight = text.encoder.of_token.weight
        both = text.forward_train(seen["user@text-v1"])["action_dist_inputs"].clamp(min=-10).sum()
        alone = torch.autograd.grad(both, weight, retain_graph=True)[0]
        both = both + netmoe.forward_train(seen["user@netmoe-v1"])["action_dist_inputs"].clamp(min=-10).sum()
        assert not torch.allclose(torch.autograd.grad(both, weight)[0], alone)
    finally:
        algorithm.stop()


def test_what_was_trained_on_several_plays_any_other(tmp_path: Path, ray_here: Any, capsys: Any) -> None:
    run = train(
        Job(
            algo="PPO",
            env=f"{TEXT},{NETMOE}",
            config=SMALL,
            overrides={"rewards.team": 1.0},
            stop={"training_iteration": 6},
            local_dir=tmp_path,
        )
    )
    assert run.folder.name == "PPO_text-v1_netmoe-v1"
    assert run.rows[-1]["normalised_scores"]["netmoe-v1"] is not None, "short episodes have ended by now"
    checkpoint = checkpoints_of(run.folder)[-1]
    assert read_description(checkpoint)["markets"] == [TEXT, NETMOE]
    policy = CheckpointPolicy(checkpoint)
    for market in (NETMOE, TEXT, NETWORKED):
        world = World(market, 2, 1)
        world.reset()
        for _ in range(3):
            world.step(*policy.act(world))
        assert not world.state.users.invalid.any()
    play_checkpoint(checkpoint, episodes=1, render=False)
    assert "PPO on edge_experts/text-v1: mean return" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("algo", "settings", "said"),
    [
        ("PPO", {"network": "flat"}, "network: 'flat' is for one market; several take 'entities'"),
        ("PPO", {"identities": True}, "identities: True ties a network to one market"),
    ],
)
def test_settings_that_do_not_fit_several_markets_are_refused(algo: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SetupError, match=said):
        set_up(_config(algo, **settings))


@pytest.mark.parametrize(
    ("algo", "options", "said"),
    [
        ("DQN", {}, "env: DQN trains on one market; for several take PPO or MoEPPO"),
        ("MAPPO", {}, "env: MAPPO trains on one market; for several take PPO or MoEPPO"),
        ("CQL", {}, "env: CQL trains on one environment; for several take PPO or MoEPPO"),
        ("PPO", {"policies": "independent"}, "policies: several markets take 'per_role'"),
    ],
)
def test_what_cannot_be_trained_on_several_is_refused(
    algo: str, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=said):
        train(Job(algo=algo, env=f"{TEXT},{NETMOE}", stop={"env_steps": 10}, local_dir=tmp_path, **options))
    assert not any(tmp_path.iterdir())
