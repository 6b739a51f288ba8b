"""The federated game: it trains by gradient descent, costs what the trainer's radio says, and all of it matters."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_experts.envs import load_scenario
from edge_experts.federated.fields import names
from edge_experts.federated.game.game import FederatedGame
from edge_experts.federated.game.settings import GameSettings, load_settings
from edge_experts.federated.game.spec import FIELDS, PARTS, ROLES, choices, slices
from edge_experts.federated.messages.traffic import Layout, Message, Recorder
from edge_experts.federated.plan import load_plan

ALONE = {"clients": 1, "split.kind": "iid", "split.concentration": None, "deadline_s": 100.0}
FULL = (1, 0, 3, 3)  # join, 1 epoch, 32 bits, highest power
CALM: dict[str, Any] = {"deadline_s": 100.0}


def played(game: FederatedGame, rounds: int, client: Any = FULL, provider: Any = (3, 1)) -> FederatedGame:
    """The game after rounds in which all clients do the same."""
    for _ in range(rounds):
        step(game, client, provider)
    return game


def step(game: FederatedGame, client: Any, provider: Any = (3, 1)) -> None:
    """One round; `client` is an action, or one for each client."""
    shape = (game.n_worlds, game.settings.clients, 4)
    game.step(np.broadcast_to(np.array(client), shape), np.broadcast_to(np.array(provider), (game.n_worlds, 2)))


def moved(game: FederatedGame, client: Any, provider: Any = (3, 1)) -> bytes:
    """The rewards of one round."""
    step(game, client, provider)
    return game.state.rewards.tobytes()


def descended(game: FederatedGame, model: NDArray[Any], b: int, k: int, epochs: int, batch: int) -> NDArray[Any]:
    """Plain gradient descent in NumPy, written apart from the kernel."""
    images = game.images
    mine = game.state.order[b, game.state.first[b, k] : game.state.first[b, k + 1]]
    count = max(1, len(mine) // batch)
    for _ in range(epochs):
        for part in (mine[i * len(mine) // count : (i + 1) * len(mine) // count] for i in range(count)):
            x, y = images.train[part], np.eye(model.shape[1])[images.train_labels[part]]
            chances = np.exp(x @ model)
            model = model - game.settings.learning.rate * x.T @ (chances / chances.sum(1, keepdims=True) - y) / len(
                part
            )
    return model


@pytest.mark.parametrize(("batch", "epochs"), [(10_000, 0), (10_000, 2), (32, 1)])
def test_one_client_at_32_bits_descends_its_own_loss(batch: int, epochs: int) -> None:
    game = FederatedGame({**ALONE, "learning.batch": batch})
    model = np.zeros(game.state.model.shape[1:])
    for _ in range(3):
        model = descended(game, model, 0, 0, (1, 2, 4)[epochs], batch)
        step(game, (1, epochs, 3, 3))
    assert np.abs(model).max() > 0.1 and np.abs(game.state.model[0] - model).max() < 1e-5


def test_the_server_weighs_updates_by_images() -> None:
    game = FederatedGame({"clients": 3, **CALM}, seed=4)
    step(game, (FULL, (0, 0, 3, 3), FULL))
    sizes, zero = np.diff(game.state.first[0]), np.zeros(game.state.model.shape[1:])
    one, three = (descended(game, zero, 0, k, 1, 32) for k in (0, 2))
    wanted = (sizes[0] * one + sizes[2] * three) / (sizes[0] + sizes[2])
    assert sizes[0] != sizes[2] and np.abs(game.state.model[0] - wanted).max() < 1e-6
    assert game.state.joined[0].tolist() == [True, False, True]


@pytest.mark.parametrize("bits", [0, 1, 2])
def test_updates_are_rounded_to_their_bits_and_right_in_the_mean(bits: int) -> None:
    exact, rough = (played(FederatedGame(ALONE, 16, seed=1), 1, (1, 0, b, 3)).state.model for b in (3, bits))
    steps, largest = 2.0 ** ((2, 4, 8)[bits] - 1) - 1, np.abs(exact).max(axis=(1, 2), keepdims=True)
    levels = rough / largest * steps
    assert np.abs(levels - levels.round()).max() < 1e-4 and len(np.unique(levels.round())) <= 2 * steps + 1
    errors = ((rough - exact) / largest * steps).ravel()
    assert 0.1 < errors.std() < 0.6 and abs(errors.mean()) < 4 * errors.std() / len(errors) ** 0.5


def test_accuracy_rises_with_rounds_and_is_counted() -> None:
    game = FederatedGame(CALM, 4, seed=2)
    assert (game.state.accuracy < 0.2).all()
    first = played(game, 1).state.accuracy.copy()
    last = played(game, 19, (1, 2, 3, 3)).state.accuracy
    assert (last > first + 0.05).all() and last.mean() > 0.85
    right = (game.images.test @ game.state.model[0]).argmax(axis=1) == game.images.test_labels
    assert last[0] == right.mean()
    weights = (
        game.state.mix[0, 1, game.images.test_labels] / np.bincount(game.images.test_labels)[game.images.test_labels]
    )
    assert game.state.own_accuracy[0, 1] == pytest.approx((weights * right).sum() / weights.sum())


@dataclass(frozen=True)
class Known(Layout):
    """A layout whose rates are those of a game."""

    up: Any = None
    down: Any = None

    def rates_bps(self, stage: str, number: int) -> Any:
        return self.up, self.down


def test_a_round_costs_what_the_trainers_layout_says() -> None:
    game = FederatedGame({"clients": 3, "hardware.stragglers": 0.5, **CALM}, seed=5)
    state, rules = game.state, game.rules
    up, down = np.full((4, 4), np.inf), np.full((4, 4), np.inf)
    up[:3, -1], down[-1, :3] = state.up_bps[0, :, 3], state.down_bps[0]  # a place of -1 is the server
    slow, sizes = state.slow[0].copy(), np.diff(state.first[0])
    played(game, 1, (1, 2, 3, 3))
    plan = replace(load_plan("dirichlet01", {"clients": "3"}), hardware=game.settings.hardware)
    layout = Known(load_scenario("networked-v1"), plan, 0, None, None, slow, up, down)  # type: ignore[arg-type]
    recorder, numbers = Recorder(), state.model[0].size
    for k in range(3):
        recorder.send(Message("x", 0, k, "down", "weights", 32 * numbers), [])
        recorder.send(Message("x", 0, k, "up", "update", 32 * numbers), [])
    layout.settle(recorder, "x", 0, {k: 3.0 * 4 * numbers * int(sizes[k]) for k in range(3)})
    assert state.seconds[0] == pytest.approx(recorder.seconds[0]) and len(set(slow)) == 2
    assert state.joules[0].sum() == pytest.approx(recorder.joules[0])
    assert (state.bits[0] == 32 * numbers).all() and rules.power_w == 0.1


@pytest.mark.parametrize("team", [0.0, 0.4])
def test_payments_only_move_money(team: float) -> None:
    game = FederatedGame({"worth.team": team}, 8, seed=3)
    rng, worth, paid = np.random.default_rng(0), game.settings.worth, 0.0
    for _ in range(5):
        going = ~game.over
        clients, providers = game.sample_actions(rng)
        game.step(clients, np.maximum(providers, [1, 1]))
        w = game.state
        made = worth.provider * w.gain + worth.client * w.own_gain.sum(axis=1)
        made -= worth.joule * w.joules.sum(axis=1) + worth.second * w.seconds
        assert np.allclose(w.rewards.sum(axis=1)[going], made[going])
        paid += w.payments.sum()
    assert paid > 1


def test_a_late_update_is_neither_used_nor_paid_but_spent() -> None:
    game = played(FederatedGame({"deadline_s": 1e-4}), 1)
    w = game.state
    assert w.joined.all() and not w.counted.any() and not w.payments.any() and not w.model.any()
    assert w.seconds[0] == 1e-4 and (w.joules > 0).all() and (w.rewards[0] < 0).all()


def test_nobody_taking_part_costs_nothing() -> None:
    w = played(FederatedGame(), 1, (0, 2, 3, 3)).state
    assert not w.joules.any() and not w.seconds.any() and not w.model.any() and not w.rewards.any()


def test_the_provider_or_the_limit_ends_an_episode_and_nothing_moves_after() -> None:
    game = FederatedGame({"rounds": 3}, 2)
    step(game, FULL, [[3, 0], [3, 1]])
    assert game.over.tolist() == [True, False] and game.state.stopped.tolist() == [True, False]
    before = game.state.model[0].copy()
    played(game, 2)
    assert game.over.all() and game.state.stopped.tolist() == [True, False]
    assert game.state.round.tolist() == [1, 3] and np.array_equal(game.state.model[0], before)
    assert not game.state.rewards[0].any() and game.state.rewards[1].any()
    game.reset(episode=1)
    assert not game.over.any() and not game.state.model.any()


def test_same_seed_same_bytes_whatever_the_worlds_beside() -> None:
    def trace(n_worlds: int, first_world: int, seed: int = 9) -> list[bytes]:
        game, found = FederatedGame(None, n_worlds, seed, first_world), []
        for episode in range(2):
            game.reset(episode=episode)
            for t in range(4):
                clients = np.random.default_rng(t).integers(0, choices("client", game.sizes), (8, 4))
                step(game, clients, (t % 6, 1))
                found.append(b"".join(a[-1].tobytes() for a in (*game.state[:-5], *game.views)))
        return found

    assert trace(1, 2) == trace(3, 0) == trace(3, 0)
    assert trace(1, 2) != trace(1, 1) and trace(1, 2) != trace(1, 2, seed=10)
    assert len(set(trace(1, 2))) == 8


def test_every_choice_moves_a_reward() -> None:
    def rewards(client: Any, provider: Any) -> bytes:
        game = FederatedGame(CALM, seed=1)
        return moved(game, client, provider) + moved(game, FULL)

    base = rewards((1, 1, 1, 1), (3, 1))
    for place, part in enumerate(PARTS["client"]):
        for value in range(FederatedGame().sizes[part.size]):
            changed = [1, 1, 1, 1]
            changed[place] = value
            assert (rewards(changed, (3, 1)) == base) == (value == 1), (part.name, value)
    assert all(rewards((1, 1, 1, 1), (level, 1)) != base for level in (0, 1, 2, 4, 5))
    assert rewards((1, 1, 1, 1), (3, 0)) != base


@pytest.mark.parametrize("role", ROLES)
def test_every_observation_moves_and_stays_in_its_bounds(role: str) -> None:
    game, rng, seen = FederatedGame(n_worlds=8), np.random.default_rng(0), []
    for episode in range(2):
        game.reset(episode=episode)
        for _ in range(6):
            clients, providers = game.sample_actions(rng)
            game.step(clients, np.maximum(providers, [0, 1]))
            seen.append(getattr(game.views, role).reshape(-1, getattr(game.views, role).shape[-1]).copy())
    all_seen = np.concatenate(seen)
    for field in FIELDS[role]:
        values = all_seen[:, slices(role, game.sizes)[field.name]]
        assert (values.max(axis=0) > values.min(axis=0)).all(), field.name
        assert values.min() >= field.low and values.max() <= field.high, field.name


OTHER: dict[str, Any] = {
    "clients": 5,
    "rounds": 2,
    "split.kind": "shards",
    "split.concentration": 3.0,
    "epochs": (2, 3, 4),
    "bits": (3, 4, 8, 32),
    "prices": (0.0, 0.05, 0.1, 0.3),
    "first_price": 1,
    "deadline_s": 0.05,
    "learning.data": None,
    "learning.features": 8,
    "learning.public_share": 0.4,
    "learning.test_share": 0.3,
    "learning.rate": 0.1,
    "learning.batch": 8,
    "radio.scenario": "edge_experts/vehicles-v1",
    "radio.bandwidth_hz": 1e6,
    "worth.provider": 50.0,
    "worth.client": 1.0,
    "worth.joule": 1.0,
    "worth.second": 1.0,
    "worth.team": 0.5,
    "hardware.macs_per_s": 1e6,
    "hardware.power_w": 1.0,
    "hardware.stragglers": 0.9,
    "hardware.slowdown": 8.0,
}


def test_every_field_of_the_settings_moves_an_outcome(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", images=rng.random((400, 6, 6)), labels=rng.integers(0, 10, 400))

    def outcome(**changes: Any) -> bytes:
        game = FederatedGame(changes, seed=6)
        rewards = [moved(game, [(1, 0, k % 3, 0) for k in range(game.settings.clients)]) for _ in range(3)]
        return b"".join(rewards) + game.views.client.tobytes()

    base = outcome()
    assert set(OTHER) == set(names(GameSettings))
    for name, value in (OTHER | {"learning.data": str(tmp_path / "data.npz")}).items():
        more = {"split.concentration": None} if name == "split.kind" else {}
        assert outcome(**{name: value, **more}) != base, name


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"clients": 0}, "clients: 0 is not valid"),
        ({"clients": True}, "clients: True is not valid"),
        ({"clients": 200}, "clients: 200 need 2000 training images, and there are"),
        ({"client": 4}, "client: unknown field; did you mean 'clients'?"),
        ({"learning.rat": 4}, "learning.rat: unknown field; did you mean 'learning.rate'?"),
        ({"epochs": ()}, "epochs: () must ascend"),
        ({"bits": (8, 4)}, "bits: (8, 4) must ascend"),
        ({"bits": (1, 4)}, "bits.0: 1 is not valid"),
        ({"prices": (0.0,)}, "prices: (0.0,) must hold a positive one"),
        ({"first_price": 6}, "first_price: 6 must be a place among the 6 prices"),
        ({"split.kind": "iid"}, "split.concentration: 0.1 goes with split.kind = dirichlet"),
        ({"learning.data": "digit"}, "data: 'digit' is not known; did you mean 'digits'?"),
        ({"learning.features": 65}, "learning.features: 65 exceeds 64"),
        ({"radio.scenario": "netwrked-v1"}, "did you mean 'edge_experts/networked-v1'?"),
        ([4], "overrides: [4] is no mapping of fields"),
    ],
)
def test_bad_settings_get_one_line(changes: Any, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        FederatedGame(changes)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_bad_actions_seeds_and_worlds_get_one_line() -> None:
    game = FederatedGame({"clients": 2})
    good = np.zeros((1, 2, 4), int), np.zeros((1, 2), int)
    for clients, providers, told in (
        (good[0][:, :1], good[1], "actions: of client they are int64 (1, 1, 4); give whole numbers (1, 2, 4)"),
        (good[0] * 1.0, good[1], "actions: of client they are float64"),
        (good[0] + 3, good[1], "actions: [3, 3, 3, 3] of a client is out of range; the choices are [2, 3, 4, 4]"),
        (good[0], good[1] - 1, "actions: [-1, -1] of a provider is out of range"),
    ):
        with pytest.raises(ValueError) as caught:
            game.step(clients, providers)
        assert told in str(caught.value)
    for arguments in ({"seed": -1}, {"n_worlds": 0}, {"first_world": -1}):
        with pytest.raises(ValueError, match="must be a whole number from"):
            FederatedGame(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"learning.rate": 1e12},
        {"hardware.macs_per_s": 1e-9, "deadline_s": 1e12},
        {"radio.bandwidth_hz": 1e-9},
        {"radio.bandwidth_hz": 1e12, "worth.joule": 1e12, "worth.second": 1e12},
        {"clients": 100},
        {"learning.batch": 1, "learning.features": 1},
    ],
)
def test_extreme_settings_stay_finite(changes: dict[str, Any]) -> None:
    game, rng = FederatedGame(changes, 2), np.random.default_rng(0)
    for _ in range(6):
        clients, providers = game.sample_actions(rng)
        views = game.step(clients, np.maximum(providers, [0, 1]))
        assert all(np.isfinite(array).all() for array in (*views, game.state.rewards, game.state.joules))


def test_defaults_survive_the_way_through_plain_data() -> None:
    assert load_settings() == GameSettings() and asdict(load_settings({"clients": 3}))["clients"] == 3
