"""Policies, bounds, statistics, and a game worth learning."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edge_experts.agents.score_reference import stored_score
from edge_experts.baselines.evaluation.calibration import calibrate, is_stored, read_references, reference_of
from edge_experts.baselines.evaluation.evaluate import evaluate, play
from edge_experts.baselines.evaluation.metrics import Interval, jain_index, mean_interval, normalised_interval
from edge_experts.baselines.evaluation.score_table import score_table
from edge_experts.baselines.heuristics.policies import POLICIES, make_policy
from edge_experts.baselines.heuristics.reference import Enumeration, is_enumerable
from edge_experts.envs import World, load_scenario, shipped_ids


@pytest.mark.parametrize("name", [*POLICIES, "fixed:first", "fixed:last"])
@pytest.mark.parametrize("env", shipped_ids())
def test_every_policy_plays_legal_actions(name: str, env: str) -> None:
    world = World(env, n_worlds=2, seed=1, overrides={"episode.slots": 3 if env.endswith("netmoe-v1") else 12})
    world.reset()
    places = world.scenario.places
    policy = make_policy(name.replace("first", places[0]).replace("last", places[-1]), world)
    placed = 0
    for _ in range(world.scenario.episode.slots):
        actions = policy.act(world)
        world.step(*actions)
        assert not world.state.users.invalid.any(), name
        placed += (world.state.users.placed >= 0).sum()
    idle = name == "local" and not world.scenario.local_experts
    assert placed == 0 if idle else placed > 0 or name == "fixed:last"  # which may not be loaded


def test_policies_do_what_they_say() -> None:
    world = World("text-v1", n_worlds=4, seed=2, overrides={"arrivals.process": "saturated"})
    world.reset()
    users, providers = world.state.users, world.state.providers
    hosts = np.arange(world.sizes.E) % 4

    def chosen(name: str) -> np.ndarray:
        actions, _ = make_policy(name, world).act(world)
        return actions[..., 0]

    distance = np.hypot(users.x_m[..., None] - providers.x_m[:, None], users.y_m[..., None] - providers.y_m[:, None])
    assert (hosts[chosen("nearest")] == distance.argmin(axis=2)).all()
    assert (hosts[chosen("best_snr")] == world.state.links.gain_db.argmax(axis=2)).all()
    assert (chosen("cheapest") == 0).all(), (
        "gemma-7b has the lowest list price of the loaded experts, and reka-edge writes more"
    )
    assert (chosen("fixed:reka-core") == 7).all()
    prior = np.where(
        np.isin(np.arange(9), [4, 5]), -1, world.params.priors.quality[world.params.category[users.prompt]]
    )
    assert (chosen("best_prior") == prior.argmax(axis=2)).all()
    assert (chosen("shortest_queue") == 6).all(), "all queues are empty, and gpt-3.5 is the fastest loaded expert"
    spread = [len(np.unique(row)) for row in chosen("coordinated")]
    assert np.mean(spread) > np.mean([len(np.unique(row)) for row in chosen("myopic")])


def test_enumeration_is_not_beaten_by_any_sequence() -> None:
    """Against every one of the 1,000 sequences, played in an independent world."""
    bound = World("netmoe-v1", n_worlds=1, seed=5)
    bound.reset()
    assert is_enumerable(bound) and not is_enumerable(World("text-v1"))
    policy = Enumeration()
    best = 0.0
    for _ in range(3):
        bound.step(*policy.act(bound))
        best += bound.state.users.reward[0, 0]
    rng = np.random.default_rng(0)
    totals = []
    for _ in range(200):
        world = World("netmoe-v1", n_worlds=1, seed=5)
        world.reset()
        totals.append(
            sum(
                world.step(rng.integers(0, 10, (1, 1, 1)).repeat(2, axis=2) * [1, 0]) is not None
                and float(world.state.users.reward[0, 0])
                for _ in range(3)
            )
        )
    assert max(totals) <= best + 1e-12 and max(totals) > best - 1.0


EPISODES = {"edge_experts/text-v1": 32, "edge_experts/netmoe-v1": 128}  # elsewhere 8: the bound takes its time


@cache
def scores(policy: str, env: str) -> list[float]:
    """Of every episode, the same for all tests."""
    return play(policy, load_scenario(env), EPISODES.get(env, 8), seed=0).score.tolist()


def normalised(policy: str, env: str) -> Interval:
    return normalised_interval(scores(policy, env), scores("random", env), scores("reference", env))


def test_reference_beats_every_heuristic_in_the_market() -> None:
    means = {name: np.mean(scores(name, "edge_experts/text-v1")) for name in POLICIES}
    assert max(means, key=lambda name: means[name]) == "reference"


def test_a_game_worth_learning() -> None:
    """The stretch between what everybody does and what coordination is worth; measured values stand in the README.

    The other scenarios' are in results/references.json, where tests/docs/test_results.py looks.
    """
    text = "edge_experts/text-v1"
    assert normalised("coordinated", text).low - 0.2 >= normalised("myopic", text).high
    assert normalised("coordinated", text).low - 0.1 >= normalised("single", text).high
    assert max(normalised(f"fixed:{place}", text).high for place in ("gpt-3.5-turbo-0125", "local")) <= 0.5
    netmoe = "edge_experts/netmoe-v1"
    assert max(normalised(f"fixed:{expert}", netmoe).mean for expert in load_scenario(netmoe).experts) <= 0.5


def test_results_say_where_they_come_from_and_repeat() -> None:
    first, second = (evaluate(["shortest_queue"], "text-v1", episodes=3, seed=9, split="heldout")[0] for _ in range(2))
    for result in (first, second):
        result.pop("wall_s")
    assert json.dumps(first, allow_nan=False) == json.dumps(second)
    for key in (
        "score",
        "returns",
        "welfare",
        "jain_index",
        "quality",
        "latency_s",
        "deadline_miss_rate",
        "energy_j",
        "payments",
        "utilisation",
        "seed",
        "normalised_score",
        "floor",
        "reference",
        "per_episode",
    ):
        assert key in first, key
    origin = first["provenance"]
    assert origin["scenario"]["tables"]["split"] == "heldout" and set(origin["tables"]) == {"text.csv", "experts.csv"}
    assert origin["versions"]["numpy"] == np.__version__
    assert abs(sum(first["terms"][name] for name in ("payment", "revenue"))) < 1e-9
    total = sum(first["terms"].values())
    assert total == pytest.approx(first["welfare"]["mean"]) == pytest.approx(np.mean(first["per_episode"]["score"]))
    assert "shortest_queue" in score_table([first])


def test_first_episodes_do_not_depend_on_how_many_follow() -> None:
    scenario = load_scenario("text-v1", {"episode.slots": 10})
    few, many = (play("myopic", scenario, n, seed=1) for n in (3, 70))
    assert np.array_equal(few.score, many.score[:3])


def test_a_result_without_any_composed_request_is_still_json() -> None:
    result = evaluate(["fixed:phi-3-mini-128k"], "text-v1", episodes=1)[0]
    assert result["quality"] is None and result["latency_s"]["p95"] is None
    json.dumps(result, allow_nan=False)
    assert "-" in score_table([result])


def test_unknown_policies_are_named() -> None:
    world = World("text-v1")
    with pytest.raises(ValueError, match="'cordinated' is not known; did you mean 'coordinated'"):
        make_policy("cordinated", world)
    with pytest.raises(ValueError, match="'gpt-9' is not an expert of edge_experts/text-v1"):
        make_policy("fixed:gpt-9", world)


def test_statistics_by_hand() -> None:
    interval = mean_interval([1.0, 2.0, 3.0])
    assert (interval.mean, interval.low) == (2.0, pytest.approx(2 - 4.302653 / np.sqrt(3), abs=1e-5))
    assert np.isnan(mean_interval([1.0]).low)
    assert jain_index([1, 1, 1, 1]) == 1.0 and jain_index([1, 0, 0, 0]) == 0.25 and jain_index([0, 0]) == 1.0
    assert jain_index([3, -5]) == 0.5
    rng = np.random.default_rng(0)
    floor, noise = rng.normal(0, 5, 200), rng.normal(0, 0.1, 200)
    score = normalised_interval(floor + 3 + noise, floor, floor + 4)
    assert score.mean == pytest.approx(0.75, abs=0.01) and 0.7 < score.low < score.mean < score.high < 0.8


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = sum(mean_interval(sample).low <= 0 <= mean_interval(sample).high for sample in rng.normal(size=(2000, 5)))
    assert 0.93 < hits / 2000 < 0.97


@pytest.mark.parametrize("name", shipped_ids())
def test_stored_references_belong_to_the_shipped_scenarios(name: str) -> None:
    """`rllib train` shows scores by them; stale ones (of a changed scenario) would not be found by their hash."""
    scenario = load_scenario(name)
    floor, bound = (float(np.mean(scores(policy, name))) for policy in ("random", "reference"))
    assert stored_score(scenario, floor) == pytest.approx(0.0, abs=0.2)
    assert stored_score(scenario, bound) == pytest.approx(1.0, abs=0.2)


def test_references_are_those_of_the_scenario_but_for_how_rewards_are_shared() -> None:
    assert stored_score(load_scenario("text-v1", {"devices.count": 3}), 1.0) is None
    paid_together = load_scenario("text-v1", {"rewards.team": 1.0})
    assert stored_score(paid_together, 1.0) == stored_score(load_scenario("text-v1"), 1.0)


def test_searched_settings_of_providers_are_worth_something() -> None:
    """On mixed the defaults are not the best that providers can set, and the search finds better ones."""
    mixed = "edge_experts/mixed-v1"
    plain, steered = (np.mean(scores(name, mixed)) for name in ("coordinated", "coordinated_steered"))
    assert steered > plain
    policy = make_policy("coordinated_steered", World(mixed))
    assert not np.array_equal(policy.settings, World(mixed).default_actions("provider")[0])


def test_references_are_not_measured_twice(tmp_path: Path) -> None:
    found = read_references(tmp_path / "none.json")
    assert found == {} and not is_stored("text-v1", found, 2, quick=True)
    scenario = load_scenario("text-v1", {"episode.slots": 4, "devices.count": 2})
    found = reference_of(calibrate(scenario, 2, quick=True))
    file = tmp_path / "references.json"
    file.write_text(json.dumps(found))
    assert read_references(file) == found
    assert is_stored(scenario, found, 2, quick=True) and not is_stored(scenario, found, 3, quick=True)
    assert not is_stored(scenario, found, 2, quick=False) and not is_stored("text-v1", found, 2, quick=True)
    file.write_text("[1]")
    with pytest.raises(ValueError, match="does not hold references"):
        read_references(file)
