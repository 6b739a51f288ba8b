"""Demonstrations, and learning from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_experts.agents.algorithms.imitation import returns_to_go
from edge_experts.agents.setup import SetupError, new_config, set_up
from edge_experts.baselines.cli import main
from edge_experts.baselines.heuristics.policies import make_policy
from edge_experts.envs import World, load_scenario
from edge_experts.envs.api.spaces import RoleSpaces
from edge_experts.envs.recording.demonstrations import Demonstrations, read_demonstrations

ENV = "edge_experts/text-v1"


def recorded(folder: Path, worlds: int = 3, policy: str = "myopic", **scenario: Any) -> World:
    world = World(load_scenario(ENV, {"episode.slots": 12, **scenario}), worlds, seed=5)
    demonstrations = Demonstrations(world)
    demonstrations.play(make_policy(policy, world, 0))
    demonstrations.save(folder)
    return world


def test_demonstrations_play_again_as_they_were(tmp_path: Path) -> None:
    """The recorded actions in a new world give what was recorded of those that were there."""
    recorded(tmp_path, **{"devices.churn": 0.1})
    world = World(load_scenario(ENV, {"episode.slots": 12, "devices.churn": 0.1}), 3, seed=5)
    world.reset()
    rows = {role: read_demonstrations(tmp_path, role) for role in ("user", "provider")}
    spaces = {role: RoleSpaces(role, world.sizes) for role in rows}
    for slot in range(12):
        actions = {role: world.default_actions(role) for role in rows}
        for role, columns in rows.items():
            mine = columns["slot"] == slot
            episode, agent = columns["episode"][mine], columns["agent"][mine]
            observation, mask = world.views.of(role)
            assert np.array_equal(columns["observation"][mine], observation[episode, agent])
            assert np.array_equal(columns["action_mask"][mine], spaces[role].shown_mask(mask)[episode, agent])
            actions[role][episode, agent] = spaces[role].to_world(columns["action"][mine])
        there = world.live_users
        world.step(actions["user"], actions["provider"])
        mine = rows["user"]["slot"] == slot
        assert mine.sum() == there.sum()
        reward = world.state.users.reward.astype(np.float32)
        assert np.array_equal(rows["user"]["reward"][mine], reward[there])
    for columns in rows.values():
        order = np.lexsort((columns["slot"], columns["agent"], columns["episode"]))
        assert np.array_equal(order, np.arange(len(order)))
    assert rows["user"]["terminated"].any() and rows["provider"]["truncated"].sum() == 3 * 4


def test_returns_are_those_of_each_life() -> None:
    columns = {
        "episode": np.array([0, 0, 0, 0, 0, 1, 1]),
        "agent": np.array([0, 0, 0, 1, 1, 0, 0]),
        "slot": np.array([0, 1, 5, 0, 1, 0, 1]),  # agent 0 left after slot 1 and came back
        "reward": np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0], np.float32),
        "terminated": np.array([0, 1, 0, 0, 0, 0, 0], bool),
        "truncated": np.array([0, 0, 1, 0, 1, 0, 1], bool),
    }
    assert returns_to_go(columns, 0.5).tolist() == [2.0, 2.0, 4.0, 16.0, 16.0, 64.0, 64.0]


@pytest.mark.parametrize("algo", ["BC", "MARWIL"])
def test_cloning_repeats_what_it_was_shown(algo: str, tmp_path: Path, ray_here: Any) -> None:
    recorded(tmp_path / "shown", worlds=8, policy="fixed:gpt-3.5-turbo-0125,local", **{"episode.slots": 30})
    config = new_config(algo, ENV).environment(ENV, env_config={"overrides": {"episode.slots": 30}}).debugging(seed=0)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=4)
    config.training(
        demonstrations=str(tmp_path / "shown"), updates=150, train_batch_size_per_learner=32, lr=3e-3, hidden=(32,)
    )
    algorithm = set_up(config).build_algo()
    try:
        for _ in range(2):
            result = algorithm.train()
        assert result["num_env_steps_sampled_lifetime"] == 2 * 150 * 32
        assert np.isfinite(result["env_runners"]["episode_return_mean"])
        rows = read_demonstrations(tmp_path / "shown", "user")
        choice = rows["action_mask"].sum(axis=-1) > 2
        import torch

        module = algorithm.env_runner.module["user"]
        with torch.inference_mode():
            seen = {name: torch.from_numpy(rows[name][choice]) for name in ("observation", "action_mask")}
            logits = module.forward_inference({"obs": seen})["action_dist_inputs"]
        played = np.stack([part.argmax(dim=-1).numpy() for part in logits.split([10, 4], dim=-1)], axis=-1)
        assert (played == rows["action"][choice]).all(axis=-1).mean() > 0.95
        losses = result["learners"]["user"]
        assert np.isfinite(losses["policy_loss"]) and ("vf_loss" in losses) == (algo == "MARWIL")
    finally:
        algorithm.stop()


def test_missing_and_foreign_demonstrations_are_refused_before_anything_starts(tmp_path: Path) -> None:
    def prepared(folder: str | None, env: str = ENV) -> None:
        set_up(new_config("BC", env).environment(env).training(demonstrations=folder))

    with pytest.raises(SetupError, match="demonstrations: none are given; record some with: edge-experts demonstrate"):
        prepared(None)
    with pytest.raises(SetupError, match="demonstrations: there is no file"):
        prepared(str(tmp_path))
    recorded(tmp_path / "text")
    with pytest.raises(SetupError, match="has 73 entries of observation for users, edge_experts/mixed-v1 has"):
        prepared(str(tmp_path / "text"), "edge_experts/mixed-v1")
    (tmp_path / "text" / "user.parquet").write_bytes(b"PAR1nonsense")
    with pytest.raises(SetupError, match="demonstrations: .*user.parquet' cannot be read"):
        prepared(str(tmp_path / "text"))


def test_the_command_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--env", ENV, "--set", "episode.slots=4", "--save", str(tmp_path / "d")]
    assert main(["demonstrate", "myopic", *where, "--episodes", "2"]) == 0
    assert "wrote" in capsys.readouterr().out
    assert len(read_demonstrations(tmp_path / "d", "provider")["slot"]) == 2 * 4 * 4
    assert main(["demonstrate", "nobody", *where]) == 2 and "policy: 'nobody' is not known" in capsys.readouterr().err
    assert main(["demonstrate", "myopic", *where, "--episodes", "0"]) == 2
    assert "--episodes: 0 must be 1 or more" in capsys.readouterr().err
