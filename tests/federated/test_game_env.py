"""`federated-v0` as others meet it: by name, in PettingZoo's forms, with baselines, and learned by PPO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

from edge_experts.agents.cli import main as rllib
from edge_experts.baselines.cli import main
from edge_experts.baselines.evaluation.env_steps import play_steps
from edge_experts.baselines.evaluation.generic_env import evaluate_generic
from edge_experts.baselines.validation.runner import OK, validate
from edge_experts.envs import EnvError, make
from edge_experts.envs.registry import find, known_ids
from edge_experts.federated.game.env import FederatedEnv
from edge_experts.federated.game.policies import Planned
from edge_experts.federated.game.spec import FIELDS

ID = "edge_experts/federated-v0"
SMALL = {"clients": 3, "rounds": 4}


def test_it_is_found_by_name_and_made_in_all_forms() -> None:
    assert ID in known_ids() and isinstance(make("federated-v0"), FederatedEnv) and find(ID).market is None
    assert make(ID, overrides={"clients": 3}).possible_agents == ["client_0", "client_1", "client_2", "provider_0"]
    parallel_api_test(pettingzoo.make("parallel", ID), num_cycles=30)
    parallel_seed_test(lambda: FederatedEnv(SMALL))
    api_test(pettingzoo.make("aec", ID, overrides=SMALL), num_cycles=60)
    with pytest.raises(EnvError, match=r"has several agents; pettingzoo\.make"):
        gymnasium.make(ID)


def test_every_check_of_validate_passes() -> None:
    assert [finding for finding in validate(ID) if finding.verdict != OK] == []


def test_bad_input_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EnvError) as caught:
        make(ID, overrides={"client": 3})
    assert "client: unknown field; did you mean 'clients'?" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(EnvError, match="did you mean 'edge_experts/federated-v0'"):
        make("federated-v1")
    with pytest.raises(ValueError, match="render_mode: 'human', expected one of"):
        FederatedEnv(render_mode="human")
    env = FederatedEnv(SMALL)
    with pytest.raises(ValueError, match=r"call reset\(\)"):
        env.step({})
    env.reset(seed=0)
    good = {agent: env.action_space(agent).sample() for agent in env.agents}
    for wrong, told in (
        ({"client_0": good["client_0"]}, "expected an action of each of"),
        (good | {"client_1": [1, 0, 0, 9]}, "'client_1' plays [1, 0, 0, 9], which is not in MultiDiscrete"),
        (good | {"provider_0": [0.5, 1.0]}, "'provider_0' plays [0.5, 1.0]"),
    ):
        with pytest.raises(ValueError) as refused:
            env.step(wrong)
        assert told in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="agent: 'user_0' is not one of"):
        env.observation_space("user_0")
    assert main(["evaluate", "myopic", "--env", ID]) == 2
    assert "here take random, full, greedy, planned, or" in capsys.readouterr().err


def test_ends_and_infos_say_what_happened() -> None:
    env = FederatedEnv(SMALL, render_mode="ansi")
    steps = list(play_steps(env, 5, lambda seen, agents: {a: [1, 0, 3, 3] if a[0] == "c" else [4, 1] for a in agents}))
    assert len(steps) == 5 and all(steps[-1].truncations.values()) and not any(steps[-1].terminations.values())
    assert (env.render() or "").startswith("round 4 of 4: accuracy 0.") and "+++ took part" in (env.render() or "")
    for step in steps[1:]:
        infos = step.infos
        paid = sum(info.get("revenue", 0.0) for info in infos.values())
        assert infos["provider_0"]["payment"] == pytest.approx(-paid) and paid > 0
        for agent, info in infos.items():
            terms = info["earned"] + info.get("revenue", 0) + info.get("payment", 0) - info["energy"]
            assert step.rewards[agent] == pytest.approx(terms - info.get("waiting", 0.0))
    env.reset(seed=5)
    *_, ended, cut, _ = env.step({a: [1, 0, 3, 3] if a[0] == "c" else [4, 0] for a in env.agents})
    assert all(ended.values()) and not any(cut.values()) and env.agents == []
    seen, _ = env.reset()
    assert set(seen) == set(env.possible_agents), "the next episode of the seed"
    names = env.observation_names("client_0")
    assert len(names) == len(seen["client_0"]) and names[0] == FIELDS["client"][0].name and "mix[9]" in names
    assert env.state().shape == (len(seen["provider_0"]) + 3 * len(seen["client_0"]),)


def test_planning_beats_greed_and_greed_beats_chance() -> None:
    results = {r["policy"]: r for r in evaluate_generic(find(ID), ["random", "full", "greedy", "planned"], 12, 0)}
    means = {name: result["return"]["mean"] for name, result in results.items()}
    assert means["planned"] > means["greedy"] > means["random"] and means["greedy"] > means["full"] + 10
    assert results["full"]["steps"] == 20 and 2 < results["planned"]["steps"] < 20
    env = FederatedEnv()
    dear = np.mean([sum(sum(s.rewards.values()) for s in play_steps(env, e, Planned(env, 2, 3, 3))) for e in range(6)])
    assert dear < means["planned"], "the dearest settings are not the best"


def test_ppo_learns_it_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--env",
        ID,
        "--set",
        "clients=3",
        "--set",
        "rounds=4",
        "--stop",
        '{"training_iteration": 1}',
        "--local-dir",
        str(tmp_path),
        "--name",
        "run",
    ]
    settings = ["train_batch_size_per_learner=256", "minibatch_size=64", "num_epochs=1"]
    assert rllib(["train", "ppo", *settings, *words, "--num-env-runners", "0"]) == 0
    checkpoint = next((tmp_path / "run").glob("checkpoint_*"))
    capsys.readouterr()
    assert rllib(["evaluate", str(checkpoint), "--episodes", "2"]) == 0
    assert "return" in capsys.readouterr().out


def test_a_client_that_stays_out_gets_what_others_learn() -> None:
    """The head is a common good: a client that gives nothing can tell its images all the same."""
    env, found = FederatedEnv({"deadline_s": 100.0}), []

    def choose(seen: dict[str, Any], agents: list[str]) -> dict[str, Any]:
        return {a: [int(a != "client_0"), 1, 3, 3] if a.startswith("client") else [3, 1] for a in agents}

    for episode in range(4):
        *_, last = play_steps(env, episode, choose)
        assert not last.infos["client_0"]["joined"] and last.infos["client_1"]["joined"]
        found.append(env.game.state.own_accuracy[0, 0])
    assert np.mean(found) > 0.4
