"""What a mixture is worth: against brute force, at the ends of coherence, and as the command writes it."""

from __future__ import annotations

import json
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from edge_experts.baselines.cli import main
from edge_experts.baselines.evaluation.worth import worth
from edge_experts.baselines.heuristics.mixtures import worth_of_requests
from edge_experts.envs import World, load_scenario

FULL = {"arrivals.process": "saturated"}


def begun(env: str, **changes: object) -> World:
    world = World(env, 4, seed=8, overrides={**FULL, **changes})
    world.reset()
    return world


def test_text_requests_are_worth_what_trying_every_choice_finds() -> None:
    world = begun("text-v1")
    found, scores = worth_of_requests(world), world.params.scores
    prompts = world.state.parts.prompt[world.state.users.open]
    for n in range(0, len(prompts), 7):
        quality, work = scores.quality[prompts[n]], scores.work[prompts[n]]  # (K, X)
        best, alone = 0.0, np.zeros(world.sizes.X)
        for choice in product(range(world.sizes.X), repeat=3):
            q, v = quality[np.arange(3), choice], work[np.arange(3), choice]
            changes = sum(a != b for a, b in pairwise(choice))
            value = (q * v).sum() / v.sum() * 0.98**changes if v.sum() else 0.0
            best = max(best, value)
            if len(set(choice)) == 1:
                alone[choice[0]] = value
        assert found.mixture[n] == pytest.approx(best)
        np.testing.assert_allclose(found.single[n], alone)


def test_where_parts_share_a_prompt_of_a_text_no_mixture_can_pay() -> None:
    shared = worth_of_requests(begun("text-v1", **{"requests.parts": "shared"}))
    np.testing.assert_allclose(shared.mixture, shared.single.max(axis=1))
    own = worth_of_requests(begun("text-v1"))
    assert (own.mixture > own.single.max(axis=1) + 1e-9).mean() > 0.3


def test_an_ensemble_is_the_best_pair_or_the_best_one() -> None:
    world = begun("networked-v1")
    found = worth_of_requests(world)
    best = found.single.max(axis=1)
    assert (found.mixture >= best - 1e-12).all() and (found.mixture <= 1.0).all()
    prompts = world.state.users.prompt[world.state.users.open]
    expected = world.params.scores.quality[prompts][:, : world.sizes.E].max(axis=1)
    np.testing.assert_allclose(best, expected)


def test_mixing_pays_the_more_the_less_a_change_costs() -> None:
    result = worth(load_scenario("text-v1"), 2)
    gains = [found["mixture"] - found["single"] for found in result["coherence"].values()]
    assert gains == sorted(gains) and gains[0] < gains[-1]
    assert result["tables"]["train"]["local"] < result["tables"]["train"]["single"]
    assert set(result["market"]["train"]) >= {"local", "single", "coordinated"}


def test_the_command_prints_writes_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "worth.json", tmp_path / "worth.png"
    assert main(["worth", "text-v1", "--episodes", "2", "--json", str(out), "--plot", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "what mixing adds" in printed and "| text-v1 | heldout | coordinated |" in printed
    (result,) = json.loads(out.read_text())
    assert result["env"] == "edge_experts/text-v1" and plot.stat().st_size > 1000
