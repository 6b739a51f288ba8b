"""Entity networks: what they read, that order and number of places do not matter, and that weights fit any market."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from entity_modules import module_for, played, seen

from edge_experts.agents.checkpoints.metadata import checkpoints_of
from edge_experts.agents.checkpoints.policy import CheckpointPolicy
from edge_experts.agents.entities.encoder import Pool, Rectified
from edge_experts.agents.entities.layout import NOWHERE, OF_HOST, OF_PLACE
from edge_experts.agents.errors import CheckpointError, SetupError
from edge_experts.agents.job import Job, _stretch, train
from edge_experts.agents.mixture.observation_layout import layout_of
from edge_experts.agents.networks.recurrent import MEMORY, RESTARTS, RecurrentActorCritic
from edge_experts.agents.reward import reward_of
from edge_experts.agents.score_reference import stored_score
from edge_experts.agents.setup import new_config, set_up, update_config
from edge_experts.envs import ScenarioError, World, load_scenario, shipped_ids
from edge_experts.envs.sim.spec import ROLES, slices


@pytest.mark.parametrize("name", shipped_ids())
def test_weights_of_one_market_play_every_other_one(name: str) -> None:
    text, other = World("text-v1"), played(name, slots=2)
    for role in ROLES:
        if not other.scenario.acts(role):
            continue
        trained, fitted = module_for(role, text), module_for(role, other)
        fitted.load_state_dict(trained.state_dict())
        batch = seen(role, other)
        out = fitted.forward_train(batch)
        logits = out["action_dist_inputs"]
        assert logits.shape == batch["obs"]["action_mask"].shape and torch.isfinite(logits).all()
        assert (logits[batch["obs"]["action_mask"] == 0] < -1e8).all()
        assert fitted.compute_values(batch, out["embeddings"]).shape == logits.shape[:1]


def test_the_layout_is_of_fields_not_of_places_in_the_vector() -> None:
    world = World("text-v1")
    layout, field = layout_of("user", world)["entities"], slices("user", world.sizes)
    for x, columns in enumerate(layout["gather"]):
        for name, column in zip(OF_PLACE, columns, strict=False):
            size = field[name].stop - field[name].start
            assert column == (field[name].start + x if x < size else NOWHERE), name
        for name, column in zip(OF_HOST, columns[len(OF_PLACE) :], strict=False):
            there = x < world.sizes.E and field[name].stop > field[name].start
            assert column == (field[name].start + world.hosts[x] if there else NOWHERE), name


def test_experts_in_another_order_get_the_same_scores() -> None:
    """Swap two experts of one host, their columns and what is known of them: their scores are swapped, nothing else."""
    experts = list(World("text-v1").scenario.experts)
    a, b = 0, 4  # both of provider 0
    swapped = [*experts]
    swapped[a], swapped[b] = experts[b], experts[a]
    one, two = played("text-v1"), World("text-v1", overrides={"experts": swapped})
    batch, field = seen("user", one), slices("user", one.sizes)
    turned = {"obs": {key: value.clone() for key, value in batch["obs"].items()}}
    for name in ("last_expert", "gate", "compute", "quote", "backlog", "available"):
        at = field[name].start
        turned["obs"]["observation"][:, [at + a, at + b]] = batch["obs"]["observation"][:, [at + b, at + a]]
    turned["obs"]["action_mask"][:, [a, b]] = batch["obs"]["action_mask"][:, [b, a]]
    first, second = module_for("user", one), module_for("user", two)
    second.load_state_dict(first.state_dict())
    x, y = first.forward_train(batch), second.forward_train(turned)
    order = list(range(x["action_dist_inputs"].shape[-1]))
    order[a], order[b] = b, a
    assert torch.allclose(x["action_dist_inputs"], y["action_dist_inputs"][:, order], atol=1e-4)
    assert torch.allclose(x["embeddings"], y["embeddings"], atol=1e-4)
    assert (x["action_dist_inputs"][:, a] - x["action_dist_inputs"][:, b]).abs().max() > 0.01, "they are told apart"


@pytest.mark.parametrize("role", ROLES)
def test_everything_that_is_observed_moves_what_is_chosen(role: str) -> None:
    world = played(
        "mixed-v1",
        slots=8,
        **{"devices.taste": 1.0, "radio.access": "serving", "providers.period": 2, "arrivals.process": "saturated"},
    )
    module, batch = module_for(role, world), seen(role, world)
    batch["obs"]["action_mask"] = torch.ones_like(batch["obs"]["action_mask"])
    module.gather_statistics(batch["obs"])
    batch["obs"]["observation"].requires_grad_(True)
    module.forward_train(batch)["action_dist_inputs"].square().sum().backward()
    moved = batch["obs"]["observation"].grad.abs().sum(dim=0) > 0
    blind = [
        name for name, where in slices(role, world.sizes).items() if where.stop > where.start and not moved[where].any()
    ]
    assert not blind


def test_identities_tie_a_network_to_its_market() -> None:
    text, other = World("text-v1"), World("video-v1")
    trained = module_for("user", text, identities=True)
    with pytest.raises(RuntimeError, match="identities"):
        module_for("user", other, identities=True).load_state_dict(trained.state_dict())


def test_a_memory_reads_sequences_as_it_reads_steps() -> None:
    world = World("text-v1", 2, 5)
    world.reset()
    module = module_for("user", world, RecurrentActorCritic, memory=8)
    module.gathers = False
    rng, steps = np.random.default_rng(1), []
    for _ in range(3):
        steps.append(seen("user", world)["obs"])
        world.step(*world.sample_actions(rng))
    rows = len(steps[0]["observation"])
    state, single = {MEMORY: torch.zeros(rows, 8)}, []
    for step in steps:
        out = module.forward_train({"obs": step, "state_in": state})
        state = out["state_out"]
        single.append(out["action_dist_inputs"])
    sequence = {key: torch.stack([step[key] for step in steps], dim=1) for key in steps[0]}
    out = module.forward_train(
        {"obs": sequence, "state_in": {MEMORY: torch.zeros(rows, 8)}, RESTARTS: torch.zeros(rows, 3)}
    )
    assert torch.allclose(out["action_dist_inputs"], torch.stack(single, dim=1), atol=1e-4)


ENV = "edge_experts/text-v1"
REPLAYED = {"train_batch_size_per_learner": 8, "num_steps_sampled_before_learning_starts": 16}
SMALL = {"train_batch_size_per_learner": 96, "minibatch_size": 48, "num_epochs": 1}


@pytest.mark.parametrize(
    ("algo", "settings", "runner"),
    [
        ("PPO", SMALL, "auto"),
        ("PPO", {**SMALL, "memory": 8}, "auto"),
        ("MoEPPO", SMALL, "stock"),
        ("MoEPPO", SMALL, "auto"),
        ("MAPPO", SMALL, "auto"),
        ("APPO", {"train_batch_size_per_learner": 64}, "auto"),
        ("IMPALA", {"train_batch_size_per_learner": 64}, "auto"),
        ("DQN", REPLAYED, "auto"),
        ("SAC", REPLAYED, "auto"),
    ],
)
def test_every_algorithm_with_a_policy_trains_entity_networks(
    algo: str, settings: dict[str, Any], runner: str, ray_here: Any
) -> None:
    config = new_config(algo, ENV, runner).environment(ENV, env_config={"overrides": {"episode.slots": 8}})
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=4).debugging(seed=0)
    if algo in ("APPO", "IMPALA"):
        config.learners(num_learners=0)
        config.reporting(min_time_s_per_iteration=None, min_sample_timesteps_per_iteration=64)
    update_config(config, {"network": "entities", "hidden": [8, 8], **settings})
    algorithm = set_up(config, runner=runner).build_algo()
    try:
        before = {name: value.clone() for name, value in algorithm.get_module("user").state_dict().items()}
        algorithm.train()
        module = algorithm.get_module("user").unwrapped()
        assert module.is_entities
        after = algorithm.learner_group._learner.module["user"].state_dict()
        moved = [name for name, value in after.items() if name in before and not torch.equal(value, before[name])]
        assert any("of_token" in name for name in moved) and any("reader.token_norm" in name for name in moved)
    finally:
        algorithm.stop()


def test_a_checkpoint_of_one_market_plays_another(tmp_path: Path, ray_here: Any) -> None:
    """More users, other experts, another scenario: the same weights, read anew; a flat one says what it cannot."""
    for network in ("entities", "flat"):
        run = train(
            Job(
                algo="PPO",
                env=ENV,
                config={
                    **SMALL,
                    "network": network,
                    "hidden": [8, 8],
                    "num_env_runners": 0,
                    "num_envs_per_env_runner": 4,
                },
                overrides={"episode.slots": 6},
                stop={"training_iteration": 1},
                name=network,
                local_dir=tmp_path,
            )
        )
        policy = CheckpointPolicy(checkpoints_of(run.folder)[-1])
        for name in ("text-v1", "video-v1", "networked-v1"):
            world = World(name, 2, 1)
            world.reset()
            if network == "flat" and name != "text-v1":
                with pytest.raises(CheckpointError, match="was trained on observations of 73 entries"):
                    policy.act(world)
                continue
            for _ in range(3):
                world.step(*policy.act(world))
            assert not world.state.users.invalid.any()


@pytest.mark.parametrize(
    ("algo", "env", "settings", "said"),
    [
        ("PPO", ENV, {"network": "tokens"}, "network: 'tokens' is not one of flat, entities"),
        ("PPO", "CartPole-v1", {"network": "entities"}, "network: 'entities' reads the markets of this package"),
        ("D2SAC", ENV, {"network": "entities"}, "network: 'entities' scores choices one by one, and actor 'diffusion'"),
    ],
)
def test_networks_that_cannot_be_are_refused(algo: str, env: str, settings: dict[str, Any], said: str) -> None:
    config = new_config("MoEPPO" if env != ENV else algo, env).environment(env)
    update_config(config, settings)
    with pytest.raises((SetupError, ValueError), match=said):
        set_up(config).validate()


def test_schedules_of_a_preset_last_as_long_as_the_run() -> None:
    config = new_config("PPO", ENV).training(lr=[[0, 1e-3], [1000, 1e-4]], gamma=0.9)
    _stretch(config, 1000, 4000)
    assert config.lr == [[0, 1e-3], [4000, 1e-4]] and config.gamma == 0.9
    _stretch(config, 1000, 8000)
    assert config.lr == [[0, 1e-3], [4000, 1e-4]], "what ends elsewhere is meant so"


def test_credit_for_others_is_said_and_normalised(tmp_path: Path) -> None:
    scenario = load_scenario(ENV, {"rewards.others": 0.5})
    assert reward_of(scenario) == "own outcome and 0.5 of the others'"
    assert stored_score(scenario, 600.0 * (1 + 0.5 * 19)) == pytest.approx(stored_score(load_scenario(ENV), 600.0))
    with pytest.raises(ScenarioError, match=r"rewards.others: 0.5 goes with rewards.team 0: set that to 0"):
        load_scenario(ENV, {"rewards.others": 0.5, "rewards.team": 1.0})


def test_fused_layers_have_the_gradients_of_plain_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(5, 3, 6), (4, 6), (5, 4), (3, 4)]
    parts = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]
    weights = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)

    def gradients(fused: bool) -> list[torch.Tensor]:
        tokens, weight, rows, places = parts
        if fused:
            h = Rectified.apply(tokens, weight, rows, places)
            pooled = Pool.apply(h)
        else:
            h = torch.relu(tokens @ weight.T + rows[:, None] + places)
            pooled = h.mean(dim=1), h.amax(dim=1)
        total = sum((w * p).sum() for w, p in zip(weights, pooled, strict=True)) + h.square().sum()
        return list(torch.autograd.grad(total, parts))

    for one, other in zip(gradients(True), gradients(False), strict=True):
        assert torch.allclose(one, other)
    assert Rectified.apply(*parts[:3], None).shape == (5, 3, 4)
