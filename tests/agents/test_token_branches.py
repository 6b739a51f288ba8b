"""Branches on tokens: what they make of them, that order and number of tokens do not matter, and the controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from entity_modules import module_for, played, seen

from edge_experts.agents.mixture.config import ON_TOKENS, ROUTERS, MixtureConfig
from edge_experts.agents.mixture.metrics import labels_of
from edge_experts.agents.mixture.observation_layout import layout_of
from edge_experts.agents.mixture.tokens import SoftMixture, TokenBranches
from edge_experts.agents.networks.actor_critic import ROUTING, active_count, parameter_count
from edge_experts.agents.setup import new_config, set_up
from edge_experts.envs import World

PAIRS = [(router, place) for router in ROUTERS for place in ON_TOKENS if router != "soft" or place == "tokens"]


@pytest.mark.parametrize("router", ROUTERS)
def test_tokens_in_another_order_get_the_same_whatever_their_number(router: str) -> None:
    torch.manual_seed(0)
    branches = TokenBranches(6, 5, MixtureConfig(branches=3, router=router, placement="tokens"))
    for number in (1, 4, 9):
        tokens, order = torch.randn(7, number, 6), torch.randperm(number)
        out, routing = branches(tokens)
        turned, _ = branches(tokens[:, order])
        assert torch.allclose(out[:, order], turned, atol=1e-5)
        assert routing.weights.shape == (7 * number, 3) and routing.each == number
        assert not torch.equal(out, tokens)


def test_a_soft_mixture_is_its_equations() -> None:
    torch.manual_seed(1)
    soft = SoftMixture(6, (5, 4), MixtureConfig(branches=3, router="soft", placement="tokens", slots=2))
    with torch.no_grad():
        soft.router.scale.fill_(3.0)
    x = torch.randn(2, 7, 6)
    out, routing = soft(x)
    phi = 3.0 * soft.router.keys / soft.router.keys.norm(dim=0)
    for row in range(2):
        logits = x[row] / x[row].norm(dim=1, keepdim=True) @ phi  # (tokens, branches x slots)
        slots = torch.softmax(logits, dim=0).T @ x[row]
        made = torch.cat([soft.branches(slots[2 * i : 2 * i + 2], i) for i in range(3)])
        combine = torch.softmax(logits, dim=1)
        assert torch.allclose(out[row], combine @ made, atol=1e-5)
        shares = torch.stack([combine[:, 2 * i : 2 * i + 2].sum(dim=1) for i in range(3)], dim=1)
        assert torch.allclose(routing.weights.view(2, 7, 3)[row], shares, atol=1e-6)


@pytest.mark.parametrize("router", ["topk", "soft"])
def test_closed_branches_make_nothing_of_a_rows_tokens(router: str) -> None:
    torch.manual_seed(2)
    branches = TokenBranches(6, 5, MixtureConfig(branches=4, router=router, placement="tokens"))
    is_open = torch.tensor([[True, False, True, False], [False, False, False, True], [False] * 4])
    weights = branches(torch.randn(3, 5, 6), is_open)[1].weights.view(3, 5, 4)
    assert (weights[0, :, [1, 3]] == 0).all() and (weights[1, :, 3] == 1).all()
    assert torch.allclose(weights.sum(dim=-1), torch.ones(3, 5), atol=1e-6)


@pytest.mark.parametrize(("router", "placement"), PAIRS)
def test_both_controls_are_plain_networks_of_equal_size_and_of_equal_work(router: str, placement: str) -> None:
    world = World("text-v1")
    options = {"router": router, "placement": placement, "branches": 4, "hidden": (32, 48)}
    mixture = module_for("user", world, **options)
    weights, work = (module_for("user", world, **options, control=control) for control in ("weights", "work"))
    assert set(mixture.routers) == ({"tokens", "trunk"} if placement == "both" else {"tokens"})
    assert weights.routers == {} == work.routers and weights.on_tokens is not None
    assert parameter_count(weights) == pytest.approx(parameter_count(mixture), rel=0.02)
    assert parameter_count(work) == pytest.approx(active_count(mixture), rel=0.02)
    assert (active_count(mixture) < parameter_count(mixture)) == (router not in ("dense", "soft"))


@pytest.mark.parametrize(("router", "placement"), PAIRS)
def test_weights_of_one_market_play_another(router: str, placement: str) -> None:
    options = {"router": router, "placement": placement, "branches": 3, "modality_sets": router == "laplace"}
    text, mixed = World("text-v1"), played("mixed-v1", slots=2)
    trained, fitted = module_for("user", text, **options), module_for("user", mixed, **options)
    fitted.load_state_dict(trained.state_dict())
    batch = seen("user", mixed)
    out = fitted.forward_train(batch)
    rows, places = len(batch["obs"]["observation"]), fitted.reader.tokens
    assert out[ROUTING]["tokens"].weights.shape == (rows * places, 3)
    values = fitted.compute_values(batch, out["embeddings"])
    assert torch.allclose(values, fitted.compute_values(batch), atol=1e-5)
    (values.sum() + out["action_dist_inputs"].clamp(min=-50).sum()).backward()
    for name, weight in fitted.on_tokens.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_tokens_are_told_apart_by_row_and_by_place() -> None:
    world = played("networked-v1")  # it has room for an expert more than there are
    layout, observed = layout_of("user", world), seen("user", world)["obs"]["observation"]
    each, names = world.sizes.X, layout["names"]["expert"]
    assert each == len(names) + 1
    whole, tokens = labels_of(layout, observed, None), labels_of(layout, observed, None, each)
    assert torch.equal(tokens["category"].view(-1, each), whole["category"][:, None].expand(-1, each))
    assert tokens["expert"].view(-1, each).tolist() == [[*range(len(names)), -1]] * len(observed)


def test_training_reports_where_tokens_go(tmp_path: Path, ray_here: Any) -> None:
    from building import scalars

    from edge_experts.agents.training import Run

    config = new_config("MoEPPO").environment(
        "edge_experts/mixed-v1", env_config={"overrides": {"episode.slots": 8, "devices.count": 4}}
    )
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=4)
    config.training(train_batch_size_per_learner=32, minibatch_size=32, num_epochs=1, hidden=(8, 8), branches=2)
    config.training(network="entities", placement="both")
    Run(set_up(config), {"training_iteration": 1}, tmp_path / "run").train()
    report = json.loads((tmp_path / "run" / "router.json").read_text())
    assert {"user", "user_tokens", "provider", "provider_tokens"} == set(report)
    assert set(report["user_tokens"]["mutual_information_nats"]) == {"modality", "category", "expert"}
    tags = scalars(tmp_path / "run")
    assert {"learners/user/router_entropy", "learners/user/tokens_router_entropy"} <= set(tags)


WRONG = {
    "flat": ({"placement": "tokens"}, "placement: 'tokens' needs tokens, and network 'flat' has none"),
    "soft": ({"router": "soft", "network": "entities"}, "placement: 'trunk' has one vector a row"),
    "slots": ({"slots": 0}, "slots: 0 must be 1 or more"),
    "bias": (
        {"router": "soft", "placement": "tokens", "network": "entities", "balance": "bias"},
        "balance: 'bias' moves which branches are chosen, and router 'soft' uses all",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_do_not_fit_tokens_are_refused(case: str) -> None:
    settings, message = WRONG[case]
    config = new_config("MoEPPO").environment("edge_experts/text-v1").training(**settings)
    with pytest.raises(ValueError, match=message):
        config.validate()
