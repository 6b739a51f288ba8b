"""Competition: profiles play what they say, solvers reply to what they should, outcomes add up, runs go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_experts.agents.algorithms.ppo_loop import PPOSettings
from edge_experts.baselines.cli import main
from edge_experts.baselines.competition import solvers
from edge_experts.baselines.competition.game import Game, mean_price
from edge_experts.baselines.competition.outcome import outcome, relative_gain
from edge_experts.baselines.competition.profile import Profile, Side
from edge_experts.baselines.competition.solvers import SOLVERS, equilibrium
from edge_experts.baselines.competition.tables import collusion_sentence, outcome_table, providers_sentence
from edge_experts.baselines.evaluation.evaluate import end_scores
from edge_experts.baselines.evaluation.exploit import exploit, rules
from edge_experts.envs import World, load_scenario
from edge_experts.envs.seeds import REPORTED

SMALL = {"devices.count": 3, "providers.count": 2, "episode.slots": 6, "experts": ["gemma-7b-it", "reka-flash"]}
SCENARIO = load_scenario("edge_experts/text-v1", SMALL)
FEW = PPOSettings(slots=2, num_epochs=1, minibatch_size=128, gamma=0.85)
WORDS = [
    "compete",
    "--env",
    "edge_experts/text-v1",
    *(w for k, v in SMALL.items() for w in ("--set", f"{k}={json.dumps(v)}")),
]
SHORT = ["--steps", "256", "--episodes", "2", "--deviator-steps", "0"]


def game(**more: Any) -> Game:
    return Game(SCENARIO, 1536, settings=FEW, **more)


class Posts:
    """Stands in for a provider's network: always one price level."""

    def __init__(self, level: int) -> None:
        self.level = level


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers that are `Posts` post their level; users keep their defaults."""

    def play(policy: Any, role: str, world: World, worlds: Any) -> Any:
        actions = world.default_actions(role)[worlds]
        if role == "provider":
            actions[..., 0] = policy.level
        return actions

    monkeypatch.setattr(Profile, "_play", staticmethod(play))


def test_every_world_plays_one_policy_of_a_role_as_often_as_it_should(posted: None) -> None:
    world = World(SCENARIO, 400, seed=1)
    sides = {"user": Side.pure(Posts(0)), "provider": Side([Posts(1), Posts(4)], [0.25, 0.75])}
    profile = Profile(sides, seed=3)
    _, first = profile.act(world)
    assert (first[:, 0, 0] == first[:, 1, 0]).all()  # all providers of a world play the same policy
    assert 0.68 < (first[:, 0, 0] == 4).mean() < 0.82 and set(first[:, 0, 0]) == {1, 4}
    assert (profile.act(world)[1] == first).all()  # for a whole episode
    assert profile.modules["provider"].level == 4
    assert (Profile(sides, seed=4).act(world)[1] != first).any()


def test_networks_play_legal_actions_the_same_for_the_same_seed() -> None:
    one = game()
    sides = {role: Side.even([one.fresh(role), one.fresh(role)]) for role in ("user", "provider")}
    actions = []
    for seed in (0, 0, 1):
        world, profile, played = World(SCENARIO, 8, seed=2), Profile(sides, seed), []
        for _ in range(6):
            acts = profile.act(world)
            world.step(*acts)
            played.append(np.concatenate([a.ravel() for a in acts]))
            assert not world.state.users.invalid.any() and not world.state.providers.invalid.any()
        actions.append(np.array(played))
    assert (actions[0] == actions[1]).all() and (actions[0] != actions[2]).any()


def test_the_equilibria_of_small_games_are_known() -> None:
    row, column = equilibrium(np.array([[3.0, 0.0], [5.0, 1.0]]), np.array([[3.0, 5.0], [0.0, 1.0]]))
    assert row == pytest.approx([0, 1]) and column == pytest.approx([0, 1])  # the prisoners' dilemma
    pennies = np.array([[1.0, -1.0], [-1.0, 1.0]])
    row, column = equilibrium(pennies, -pennies)
    assert row == pytest.approx([0.5, 0.5]) and column == pytest.approx([0.5, 0.5])
    row, column = equilibrium(np.ones((2, 3)), np.ones((2, 3)))  # degenerate: any will do
    assert row.sum() == pytest.approx(1) and column.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("solver", "heard"),
    [
        ("best_response", [[1.0], [1.0], [1.0], [1.0], [1.0], [1.0]]),
        ("fictitious_play", [[1.0], [1.0], [1.0], [0.5, 0.5], [0.5, 0.5], [1 / 3] * 3]),
        ("response_oracles", [[1.0], [1.0], [1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0, 1.0]]),
    ],
)
def test_solvers_reply_to_what_they_should(
    solver: str, heard: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    replies: list[tuple[str, list[float]]] = []

    def reply(self: Game, role: str, start: Any, others: Side, steps: int) -> Posts:
        assert steps == self.steps // 6
        replies.append((role, list(others.weights)))
        return Posts(len(replies))

    monkeypatch.setattr(Game, "best_reply", reply)
    # whoever came later earns more, so that in equilibrium both play their last policies
    monkeypatch.setattr(solvers, "_payoff", lambda game, user, provider: (_level(user), _level(provider)))
    sides = SOLVERS[solver](game())
    assert [role for role, _ in replies] == ["user", "provider"] * 3
    assert [weights for _, weights in replies] == [pytest.approx(weights) for weights in heard]
    assert len(sides["user"].policies) == (1 if solver == "best_response" else 3)
    assert [p.level for p in sides["provider"].policies][-1] == 6


def _level(policy: Any) -> float:
    return float(getattr(policy, "level", 0))


def test_learners_learn_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}
    monkeypatch.setattr(Game, "train", lambda self, policies, steps, others=None: asked.update(locals()))
    SOLVERS["together"](game())
    assert set(asked["policies"]) == {"user", "provider"} and asked["steps"] == 1536 and asked["others"] is None


def test_training_moves_who_learns_and_nobody_else() -> None:
    told: list[int] = []
    one = game(advance=told.append)
    user, provider = one.fresh("user"), one.fresh("provider")
    before = {name: value.clone() for name, value in provider.state_dict().items()}
    reply = one.best_reply("user", user, Side.pure(provider), 512)
    assert all((provider.state_dict()[name] == value).all() for name, value in before.items())
    moved = [(reply.state_dict()[name] != value).any() for name, value in user.state_dict().items()]
    assert any(moved) and one.trained == sum(told) == 512 and [steps for steps, _ in one.prices] == [256, 512]
    again = game()
    same = again.best_reply("user", again.fresh("user"), Side.pure(again.fresh("provider")), 512)
    assert all((same.state_dict()[name] == value).all() for name, value in reply.state_dict().items())


def test_the_posted_price_is_a_mean_of_list_prices() -> None:
    world = World(SCENARIO, 2, seed=0)
    world.state.providers.price[:] = [[0, 4], [2, 2]]  # 0.5 and 2, 1 and 1 list prices
    assert mean_price(world) == pytest.approx((0.5 + 2 + 1 + 1) / 4)


def test_an_outcome_adds_up_and_rules_find_what_greed_leaves(posted: None) -> None:
    sides = {"user": Side.pure(Posts(0)), "provider": Side.pure(Posts(0))}
    ends = end_scores(SCENARIO, 4, REPORTED)
    found = outcome(sides, SCENARIO, ends, episodes=4, deviator_steps=0, starts=1, seed=0)
    assert found["price_of_anarchy"] is None or found["price_of_anarchy"] == ends["reference"] / found["welfare"]
    assert found["welfare"] == pytest.approx(3 * found["surplus"] + 2 * found["profit"])
    assert found["price"] == pytest.approx(0.5)
    deviation = found["deviations"]["user"]  # users who wait for ever leave everything to who does not
    assert deviation["gain"]["mean"] > 0 and set(deviation["starts"]) == {"myopic", "coordinated"}
    assert set(found["deviations"]["provider"]["starts"]) == {
        f"always {p:g} list prices" for p in (0.5, 0.75, 1, 1.5, 2)
    }
    assert found["exploitability"] >= relative_gain(found["surplus"], deviation["gain"]["mean"])
    assert (
        relative_gain(-2.0, 1.0) == 0.5 and relative_gain(2.0, -1.0) == 0.0 and relative_gain(0.0, 1.0) == float("inf")
    )


def test_rules_deviate_alone() -> None:
    class Cheap:
        def act(self, world: World) -> Any:
            providers = world.default_actions("provider")
            providers[..., 0] = 0
            return None, providers

    from edge_experts.baselines.evaluation.exploit import Deviated

    world = World(SCENARIO, 2, seed=0)
    dear = rules(SCENARIO, "provider")["always 2 list prices"](world)
    _, providers = Deviated(Cheap(), "provider", np.array([1]), lambda w: dear(w)[:, [1]]).act(world)
    assert providers[:, :, 0].tolist() == [[0, 4], [0, 4]]
    with pytest.raises(ValueError, match="steps: 1, 4 and 0 must be at least 1, 2 and 1"):
        exploit(lambda world: Cheap(), SCENARIO, starts=1, episodes=4, steps=0)


def test_runs_go_on_and_say_what_they_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "runs.json", tmp_path / "prices.png"
    assert main([*WORDS, *SHORT, "--solvers", "together", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [(row["solver"], row["seed"]) for row in rows] == [("together", 0)] and rows[0]["trained"] >= 256
    assert (
        main([*WORDS, *SHORT, "--solvers", "together", "best_response", "--json", str(file), "--plot", str(picture)])
        == 0
    )
    more = json.loads(file.read_text())["rows"]
    assert more[0] == rows[0] and more[1]["solver"] == "best_response" and len(more) == 2
    told = capsys.readouterr().out
    assert "| learning side by side | 1 |" in told and "the best constant price of one provider" in told
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main([*WORDS, "--steps", "512", "--json", str(file)]) == 2
    assert "--json: its runs have steps 256, this one 512" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--solvers", "togther"], "'togther' is none; did you mean 'together'"),
        (["--vary", "providers.count"], "'providers.count' must be FIELD=A,B,C"),
        (["--set", "rewards.team=1"], "rewards.team must be 0"),
        (["--set", "providers.act=false"], "providers of edge_experts/text-v1 do not act"),
        (["--set", "providers.cuont=2"], "providers.cuont"),
    ],
)
def test_games_that_cannot_be_are_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, *SHORT, *words]) == 2
    err = capsys.readouterr().err.strip()
    assert said in err and "\n" not in err.replace("\r", "")


def _row(solver: str, price: float, seed: int = 0, **changes: Any) -> dict[str, Any]:
    starts = {"always 0.5 list prices": 0.1, "always 2 list prices": 1.5, "the policy itself": 3.0}
    deviation = {"gain": {"mean": 1.5}, "start": "myopic", "starts": starts}
    numbers = dict.fromkeys(("welfare", "surplus", "profit", "jain", "gini", "exploitability", "cpu_time_s"), 2.0)
    return {"env": "x/text-v1", "changes": changes, "solver": solver, "seed": seed, "price": price, **numbers} | {
        "price_of_anarchy": 1.25,
        "deviations": {"user": deviation, "provider": deviation},
    }


def test_sentences_say_what_the_runs_say() -> None:
    rows = [_row("together", 1.5 + 0.01 * s, s) for s in range(3)]
    assert "1.51 learned, 2 the best constant price of one provider. " in collusion_sentence(rows)
    assert "here they lie nowhere above it" in collusion_sentence(rows)
    high = [_row("together", 2.3, s) for s in range(2)]
    assert "so the learned one lies above it" in collusion_sentence(high) and "they lie above it" in collusion_sentence(
        high
    )
    assert "| learning side by side | 3 | 2 | 1.25 | 2.00 |" in outcome_table(rows)
    varied = [_row("together", price, **{"providers.count": n}) for n, price in ((2, 1.5), (4, 1.2), (8, 1.1))]
    assert "1.500, 1.200, 1.100 list prices, which falls" in providers_sentence(varied, "providers.count")
    assert "neither" in providers_sentence(
        [*varied[:2], _row("together", 1.4, **{"providers.count": 8})], "providers.count"
    )
    assert providers_sentence(rows, "providers.count") == ""
