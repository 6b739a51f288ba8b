"""The family of mixtures: routers, placements, balance, the control, and what is told of a router."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from building import runner
from ray.rllib.core.columns import Columns

from edge_experts.agents.mixture.branches import HyperBranch, Mixture
from edge_experts.agents.mixture.config import ROUTERS, MixtureConfig
from edge_experts.agents.mixture.metrics import (
    Specialisation,
    heat_map,
    joint_shares,
    labels_of,
    mutual_information,
    routing_report,
)
from edge_experts.agents.mixture.observation_layout import layout_of
from edge_experts.agents.mixture.routers import Router, load, z_loss
from edge_experts.agents.networks.actor_critic import (
    ROUTING,
    MixtureActorCritic,
    active_count,
    parameter_count,
)
from edge_experts.agents.networks.recurrent import RecurrentActorCritic
from edge_experts.agents.setup import SetupError, new_config, set_up
from edge_experts.envs import World

spaces = gymnasium.spaces
SEEN = spaces.Dict({"observation": spaces.Box(-1, 1, (9,), np.float32), "action_mask": spaces.MultiBinary(7)})
ACTION = spaces.MultiDiscrete([3, 4])
ON_ROWS = [kind for kind in ROUTERS if kind != "soft"]  # which mixes tokens
PLACEMENTS = ("trunk", "policy", "value")  # of a flat network


def module(kind: type = MixtureActorCritic, **options: Any) -> Any:
    config = {"hidden": (16, 16), "branches": 4, **options}
    return kind(observation_space=SEEN, action_space=ACTION, model_config=config)


def seen(rows: int = 64) -> dict[str, Any]:
    return {Columns.OBS: {"observation": torch.randn(rows, 9), "action_mask": torch.ones(rows, 7, dtype=torch.int8)}}


# --- routers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ON_ROWS)
def test_routers_give_weights_that_a_gradient_can_move(kind: str) -> None:
    router = Router(6, MixtureConfig(branches=5, router=kind, top_k=2))
    x = torch.randn(200, 6)
    routing = router(x)
    used = {"dense": 5, "switch": 1}.get(kind, 2)
    assert ((routing.weights > 0).sum(dim=-1) == used).all()
    if kind == "switch":  # weighed by its probability, or the router would never learn
        assert torch.allclose(routing.weights.max(dim=-1).values, routing.probabilities.max(dim=-1).values)
    else:
        assert torch.allclose(routing.weights.sum(dim=-1), torch.ones(200), atol=1e-6)
    values = torch.randn(5)
    (routing.weights @ values).sum().backward()
    weight = router.centres if kind == "laplace" else router.linear.weight
    assert weight.grad.abs().sum() > 0


def test_laplace_scores_are_negative_distances() -> None:
    router, x = Router(6, MixtureConfig(branches=3, router="laplace", top_k=3)), torch.randn(10, 6)
    expected = torch.stack([-(x - centre).norm(dim=-1) for centre in router.centres], dim=-1)
    assert torch.allclose(router(x).scores, expected, atol=1e-4)


def test_noise_is_added_while_learning_only() -> None:
    router, x = Router(6, MixtureConfig(branches=4, router="topk", top_k=2, router_noise=1.0)), torch.randn(50, 6)
    with torch.no_grad():
        assert torch.equal(router(x).scores, router(x).scores) and torch.equal(router(x).scores, router.linear(x))
    spread = torch.stack([router(x).scores.detach() for _ in range(400)]).std(dim=0).mean()
    assert spread == pytest.approx(np.log(2), rel=0.05)  # softplus of zero
    torch.manual_seed(0)
    router(x).scores.sum().backward()
    assert router.spread.weight.grad.abs().sum() > 0


def test_closed_branches_are_not_used_and_rows_without_any_use_all() -> None:
    router, x = Router(6, MixtureConfig(branches=4, router="topk", top_k=2)), torch.randn(30, 6)
    is_open = torch.zeros(30, 4, dtype=torch.bool)
    is_open[:10, 1], is_open[10:20, 2:] = True, True
    routing = router(x, is_open)
    assert (routing.probabilities[:10, 1] == 1).all() and (routing.weights[:10, [0, 2, 3]] == 0).all()
    assert (routing.weights[10:20, :2] == 0).all() and (routing.weights[10:20, 2:] > 0).all()
    free = router(x)
    assert torch.equal(routing.weights[20:], free.weights[20:])


def test_a_bias_balances_the_load_without_a_loss() -> None:
    torch.manual_seed(3)
    router, x = Router(6, MixtureConfig(branches=4, router="topk", top_k=1)), torch.randn(2000, 6)
    with torch.no_grad():
        router.linear.weight *= 50.0
        router.linear.bias[2] += 3.0  # everybody wants branch 2
        weights = router(x).weights
        assert load(weights)[2] > 0.9
        for _ in range(2000):
            router.balance(router(x).weights, 0.01)
        balanced = router(x)
    assert (load(balanced.weights) - 0.25).abs().max() < 0.05
    assert balanced.probabilities.mean(dim=0)[2] > 0.7  # the offset chooses, it does not weigh


def test_z_loss_is_the_square_of_the_log_sum() -> None:
    scores = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]], dtype=torch.float32)
    assert z_loss(scores).item() == pytest.approx((np.log(2) ** 2 + np.log(4) ** 2) / 2, rel=1e-5)


def test_hyper_branch_depends_on_the_branches_that_are_not_chosen() -> None:
    hyper, x = HyperBranch(6, 5, 4), torch.randn(8, 6)
    some = torch.tensor([[0.5, 0.5, 0, 0]] * 8)
    others = torch.tensor([[0, 0, 0.5, 0.5]] * 8)
    assert not torch.allclose(hyper(x, some), hyper(x, others))
    mixed = torch.cat([some[:4], others[4:]])  # rows are told apart, in their order
    expected = torch.cat([hyper(x, some)[:4], hyper(x, others)[4:]])
    assert torch.allclose(hyper(x, mixed), expected, atol=1e-6)
    with torch.no_grad():
        hyper.embeddings[2] += 10.0
    assert not torch.allclose(hyper(x, mixed)[:4], expected[:4])  # branch 2 was not chosen there, so it speaks
    assert torch.allclose(hyper(x, mixed)[4:], expected[4:], atol=1e-6)


def test_capacity_limits_a_branch_while_learning_only() -> None:
    mixture, x = Mixture(6, (8,), MixtureConfig(branches=4, router="topk", top_k=1, capacity=1.0)), torch.randn(100, 6)
    with torch.no_grad():
        mixture.router.linear.bias[1] += 50.0
        whole = mixture(x)[0]
    limited = mixture(x)[0]
    taken = (limited != 0).any(dim=-1)
    assert taken.sum() == 25 and (whole != 0).any(dim=-1).all()
    assert torch.allclose(limited[taken], whole[taken])


# --- the network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("router", ON_ROWS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_control_is_as_large_and_has_no_mixture(router: str, placement: str) -> None:
    options = {"router": router, "placement": placement, "hidden": (32, 32)}
    mixture, control = module(**options), module(**options, control="weights")
    assert set(mixture.routers) == {"trunk"} and control.routers == {}
    assert parameter_count(control) == pytest.approx(parameter_count(mixture), rel=0.02)
    plain = next(n for n, p in control.named_parameters() if p.requires_grad and "branches" in n)
    assert plain  # a plain trunk in place of the branches
    works = module(**options, control="work")
    assert works.routers == {} and parameter_count(works) == pytest.approx(active_count(mixture), rel=0.02)
    kept = mixture.routers["trunk"]
    assert (active_count(mixture) < parameter_count(mixture)) == (kept.top_k < kept.branches)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_branches_sit_where_they_are_told_to(placement: str) -> None:
    net, batch = module(placement=placement), seen()
    out = net.forward_train(batch)
    values = net.compute_values(batch, out[Columns.EMBEDDINGS])
    assert torch.allclose(values, net.compute_values(batch), atol=1e-5) and out[ROUTING]["trunk"].weights.shape == (
        64,
        4,
    )
    trunks = {"policy": net.mixture, "value": net.value_trunk or net.mixture}
    assert (trunks["policy"].router is not None) == (placement != "value")
    assert (trunks["value"].router is not None) == (placement != "policy")
    values.sum().backward()
    reached = net.mixture.branches.weights[0].grad is not None
    assert reached == (placement == "trunk")  # a value trunk of its own leaves that of the policy alone


def test_modality_sets_open_the_branches_of_what_an_input_holds() -> None:
    layout = {"modalities": [[0, 1], [2]], "categories": [0, 3], "names": {}}
    net = module(modality_sets=True, layout=layout)
    batch = seen(3)
    observation = torch.zeros(3, 9)
    observation[0, 1], observation[1, 2] = 1.0, 1.0
    batch[Columns.OBS]["observation"] = observation
    weights = net.forward_train(batch)[ROUTING]["trunk"].weights
    assert (weights[0, [1, 3]] == 0).all() and (weights[0, [0, 2]] > 0).all()
    assert (weights[1, [0, 2]] == 0).all() and (weights[1, [1, 3]] > 0).all()
    assert (weights[2] > 0).sum() == 2


def test_layouts_name_what_the_columns_of_a_world_are() -> None:
    world = World("edge_experts/mixed-v1", 4, seed=1)
    world.reset()
    rng = np.random.default_rng(0)
    for _ in range(10):
        world.step(*world.sample_actions(rng))
    layout = layout_of("user", world)
    assert layout["names"]["modality"] == ["text", "video", "object3d"] and len(layout["names"]["category"]) == 17
    assert layout["names"]["expert"] == list(world.scenario.places)
    rows = torch.from_numpy(world.views.users.reshape(-1, world.views.users.shape[-1]).copy())
    labels = labels_of(layout, rows, torch.zeros(len(rows), 2))
    users = world.state.users.reshape(-1)
    is_open = world.views.users.reshape(len(rows), -1)[:, 0] > 0
    prompts = users.prompt[is_open]
    assert np.array_equal(labels["category"].numpy()[is_open], world.params.category[prompts])
    assert np.array_equal(labels["modality"].numpy()[is_open], world.params.kind[prompts])
    assert (labels["category"].numpy()[~is_open] == -1).all() and is_open.any() and (~is_open).any()
    provider = layout_of("provider", world)
    assert provider["categories"] is None and labels_of(provider, rows, None) == {}
    demand = world.views.providers[..., [c for columns in provider["modalities"] for c in columns]]
    assert demand.sum() > 0


# --- what is told of it ---------------------------------------------------------------------------------------------


def test_mutual_information_against_closed_forms() -> None:
    label = torch.arange(4000) % 4
    perfect = torch.nn.functional.one_hot(label, 4).float()
    assert mutual_information(joint_shares(perfect, label, 4)).item() == pytest.approx(np.log(4), rel=1e-4)
    nothing = torch.full((4000, 3), 1 / 3)
    assert mutual_information(joint_shares(nothing, label, 4)).item() == pytest.approx(0.0, abs=1e-6)
    half = torch.nn.functional.one_hot(label // 2, 2).float()  # tells which pair
    assert mutual_information(joint_shares(half, label, 4)).item() == pytest.approx(np.log(2), rel=1e-4)
    assert joint_shares(half, torch.full((4000,), -1), 4).sum() == 0


def test_dead_branches_are_counted() -> None:
    router = Router(6, MixtureConfig(branches=4, router="topk", top_k=1))
    with torch.no_grad():
        router.linear.bias[:2] -= 100.0
        report = routing_report(router(torch.randn(500, 6)))
    assert report["dead_branches"] == 2 and report["branch_load_0"] == 0.0
    assert sum(report[f"branch_load_{i}"] for i in range(4)) == pytest.approx(1.0)


def test_a_report_holds_what_its_picture_shows() -> None:
    layout = {
        "modalities": [[0], [1]],
        "categories": [0, 2],
        "names": {"modality": ["text", "video"], "category": ["a", "b"], "expert": ["x", "y", "z"]},
    }
    gathered, router = Specialisation(layout), Router(2, MixtureConfig(branches=2, router="topk", top_k=1))
    with torch.no_grad():
        router.linear.weight[:] = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
        observation = torch.eye(2).repeat(50, 1)
        place = torch.tensor([[0, 1], [3, 1]]).repeat(50, 1)  # place 3 is to wait
        gathered.note(router(observation), observation, place)
    report = gathered.report()
    assert report["mutual_information_nats"]["modality"] == pytest.approx(np.log(2), rel=1e-3)
    assert report["label_entropy_nats"]["category"] == pytest.approx(np.log(2), rel=1e-6)
    assert report["mutual_information_nats"]["expert"] == 0.0  # those that wait went nowhere
    names, shares = heat_map(report)
    assert names == ["modality: text", "modality: video", "category: a", "category: b", "expert: x"]
    np.testing.assert_allclose(shares, [[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]], atol=1e-6)
    json.dumps(report)


def test_training_tells_what_the_branches_do_and_draws_it(tmp_path: Path, ray_here: Any) -> None:
    from edge_experts.agents.training import Run

    config = new_config("MoEPPO").environment(
        "edge_experts/mixed-v1", env_config={"overrides": {"episode.slots": 8, "devices.count": 8}}
    )
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=8)
    config.training(
        train_batch_size_per_learner=64,
        minibatch_size=32,
        num_epochs=1,
        hidden=(8,),
        branches={"user": 3, "provider": 1},
        router="laplace",
        modality_sets=False,
        balance="bias",
        z_coeff=0.01,
    )
    run = Run(set_up(config), {"training_iteration": 2}, tmp_path / "run")
    run.train()
    report = json.loads((tmp_path / "run" / "router.json").read_text())
    assert list(report) == ["user"] and len(report["user"]["load"]) == 3
    assert set(report["user"]["mutual_information_nats"]) == {"modality", "category", "expert"}
    assert (tmp_path / "run" / "router_user.png").read_bytes()[:4] == b"\x89PNG"
    assert not (tmp_path / "run" / "router_provider.png").exists()
    from building import scalars

    tags = scalars(tmp_path / "run")
    for name in ("router_entropy", "router_z_loss", "dead_branches", "mutual_information_modality"):
        assert f"learners/user/{name}" in tags and f"learners/provider/{name}" not in tags


def test_a_learners_balancing_moves_the_offsets_and_runners_get_them(ray_here: Any) -> None:
    config = new_config("MoEPPO").environment("edge_experts/text-v1").debugging(seed=1)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=4)
    config.training(
        # an odd number of updates: so large a step goes to and fro
        train_batch_size_per_learner=40,
        minibatch_size=40,
        num_epochs=3,
        balance="bias",
        balance_rate=0.25,
        hidden=(8,),
    )
    algorithm = set_up(config).build_algo()
    try:
        algorithm.train()
        offset = algorithm.env_runner.module["user"].routers["trunk"].offset
        assert offset.abs().sum() > 0 and (torch.remainder(offset, 0.25) == 0).all()
    finally:
        algorithm.stop()


# --- settings -------------------------------------------------------------------------------------------------------

WRONG = {
    "router": ({"router": "topp"}, "router: 'topp' is not one of topk, dense, laplace, hyper, switch, soft"),
    "control": ({"control": "size"}, "control: 'size' is not one of none, weights, work"),
    "placement": ({"placement": "head"}, "placement: 'head' is not one of trunk, policy, value, tokens, both"),
    "balance": ({"balance": "l"}, "balance: 'l' is not one of loss, bias, none"),
    "bias and dense": ({"balance": "bias", "router": "dense"}, "balance: 'bias' moves which branches are chosen"),
    "capacity": ({"capacity": -1.0}, "capacity: -1.0 must not be negative"),
    "z": ({"z_coeff": -1.0}, "z_coeff: -1.0 must not be negative"),
    "memory": ({"memory": 8, "placement": "policy"}, "placement: 'policy' does not go with a memory"),
    "memory size": ({"memory": -8}, "memory: -8 must be a size"),
    "one policy": ({"branches": {"user": 0}}, "branches.user: 0 must be 1 or more"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_do_not_fit_are_refused(case: str) -> None:
    settings, message = WRONG[case]
    config = new_config("MoEPPO").environment("edge_experts/text-v1").training(**settings)
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        config.validate()


def test_settings_that_do_not_fit_the_environment_are_refused() -> None:
    def prepared(env: str = "edge_experts/mixed-v1", **settings: Any) -> None:
        set_up(new_config("MoEPPO").environment(env).training(**settings))

    with pytest.raises(SetupError, match=r"branches: names the policies \['users'\], the environment has"):
        prepared(branches={"users": 4})
    with pytest.raises(SetupError, match="branches: 2 is too few for modality_sets: there are 3 modalities"):
        prepared(branches=2, modality_sets=True)
    with pytest.raises(SetupError, match="branches: one number, and no modality_sets"):
        prepared("CartPole-v1", modality_sets=True)


# --- memory ---------------------------------------------------------------------------------------------------------


def test_a_sequence_is_what_its_steps_are() -> None:
    """The network on (batch, slots) gives what it gives slot by slot; memory begins anew where a life begins."""
    net = module(RecurrentActorCritic, memory=5, branches=2)
    T, B = 7, 6
    observation, mask = torch.randn(B, T, 9), torch.ones(B, T, 7, dtype=torch.int8)
    restarts = torch.rand(B, T) < 0.3
    restarts[:, 0] = False
    start = torch.randn(B, 5)
    whole = net.forward_train(
        {
            Columns.OBS: {"observation": observation, "action_mask": mask},
            Columns.STATE_IN: {"h": start},
            "restarts": restarts,
        }
    )
    net.reader.running_norm.count.fill_(1e9)  # statistics stay as they are now
    with torch.no_grad():
        net.reader.running_norm.mean.zero_(), net.reader.running_norm.variance.fill_(1.0)
        whole = net.forward_train(
            {
                Columns.OBS: {"observation": observation, "action_mask": mask},
                Columns.STATE_IN: {"h": start},
                "restarts": restarts,
            }
        )
        state = start
        for t in range(T):
            state = torch.where(restarts[:, t : t + 1], 0.0, state)
            seen_now = {"observation": observation[:, t], "action_mask": mask[:, t]}
            out = net.forward_inference({Columns.OBS: seen_now, Columns.STATE_IN: {"h": state}})
            assert torch.allclose(
                out[Columns.ACTION_DIST_INPUTS], whole[Columns.ACTION_DIST_INPUTS][:, t], atol=1e-5
            ), t
            state = out[Columns.STATE_OUT]["h"]
        assert torch.allclose(whole[Columns.STATE_OUT]["h"], state, atol=1e-5)


def test_sequences_hold_the_memory_that_was_played_with() -> None:
    """The learner's pass over a batch's sequences gives the likelihoods that the runner noted, across episodes."""
    sampler = runner(worlds=5, algo="PPO", memory=6, **{"episode.slots": 7, "devices.churn": 0.1})
    sampler.sample(num_timesteps=5 * 4)
    rows = sampler.sample(num_timesteps=5 * 12)[0].policy_batches["user"]
    assert rows[Columns.ACTIONS].shape[:2] == (5 * 16, 12) and rows["restarts"].sum() > 0
    assert (rows[Columns.STATE_IN]["h"] != 0).any()
    net = sampler.module["user"]
    with torch.no_grad():
        batch = {
            Columns.OBS: {k: torch.from_numpy(v) for k, v in rows[Columns.OBS].items()},
            Columns.STATE_IN: {"h": torch.from_numpy(rows[Columns.STATE_IN]["h"])},
            "restarts": torch.from_numpy(rows["restarts"]),
        }
        out = net.forward_train(batch)
        counted = torch.from_numpy(rows[Columns.LOSS_MASK])
        distribution = net.get_train_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS][counted])
        logp = distribution.logp(torch.from_numpy(rows[Columns.ACTIONS])[counted])
    np.testing.assert_allclose(logp.numpy(), rows[Columns.ACTION_LOGP][rows[Columns.LOSS_MASK]], atol=2e-4)


def test_memory_needs_the_batched_runner() -> None:
    with pytest.raises(SetupError, match="memory: 8 needs the batched runner"):
        set_up(new_config("MoEPPO").environment("CartPole-v1").training(memory=8))
    with pytest.raises(ValueError, match="memory: 8 is not for MAPPO"):
        new_config("MAPPO").environment("edge_experts/text-v1").training(memory=8).validate()
