"""Imitation first: labels of a planner on the learner's own states, then values, then the run as ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_experts.agents.algorithms.ppo_loss import imitation_loss
from edge_experts.agents.checkpoints.metadata import checkpoints_of, read_description
from edge_experts.agents.checkpoints.policy import CheckpointPolicy
from edge_experts.agents.errors import SetupError
from edge_experts.agents.job import Job, train
from edge_experts.agents.sampling.teacher import LABEL, Phases, Teacher, phases_of, slowed
from edge_experts.agents.setup import new_config, set_up
from edge_experts.baselines.heuristics.policies import make_policy
from edge_experts.envs import World
from edge_experts.envs.api.spaces import role_spaces

ENV = "edge_experts/text-v1"
SMALL = {
    "train_batch_size_per_learner": 48,
    "minibatch_size": 24,
    "num_epochs": 1,
    "num_envs_per_env_runner": 4,
    "num_env_runners": 0,
    "hidden": [8, 8],
    "network": "entities",
}


def test_phases_and_rates_of_a_run() -> None:
    assert phases_of(240_000) == Phases(80_000, 90_000)
    phases = Phases(100, 110)
    assert slowed(0.01, phases) == [[0, 0.01], [100, 0.01], [101, 0.005]]
    assert slowed([[0, 0.01], [300, 0.001]], phases) == [[0, 0.01], [100, 0.01], [101, 0.005], [300, 0.0005]]


def test_a_teacher_says_what_its_planner_would_play() -> None:
    world, rng = World(ENV, 3, seed=2), np.random.default_rng(0)
    world.reset()
    teacher, planner = Teacher("coordinated", world), make_policy("coordinated", world)
    for _ in range(8):
        labels, (users, _) = teacher.labels(), planner.act(world)
        assert np.array_equal(role_spaces("user", world.sizes).to_world(labels["user"]), users)
        defaults = role_spaces("provider", world.sizes).to_world(labels["provider"])
        assert np.array_equal(defaults, world.default_actions("provider")), "who is not planned for keeps what it has"
        world.step(*world.sample_actions(rng))


def test_labels_that_cannot_be_played_teach_nothing() -> None:
    logp = torch.tensor([-1.0, -3.0, -1e9])
    assert imitation_loss(logp).item() == pytest.approx(2.0)
    assert imitation_loss(logp[2:]).item() == 0.0


def _config(**settings: Any) -> Any:
    config = new_config("PPO", ENV).environment(ENV, env_config={"overrides": {"rewards.team": 1.0}})
    shape = {name: value for name, value in SMALL.items() if "num_env" not in name}
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=4).debugging(seed=0)
    return set_up(config.training(imitate="coordinated", **{**shape, **settings}))


def test_labels_are_learned_then_values_alone_then_all(ray_here: Any) -> None:
    config = _config(lr=0.01)
    config.phases = Phases(96, 144)  # two iterations of labels, one of values
    algorithm = config.build_algo()
    try:
        runner, learner = algorithm.env_runner, algorithm.learner_group._learner
        user = learner.module["user"].unwrapped()

        def likelihood() -> float:
            world = World(ENV, 8, seed=9)
            world.reset()
            world.step(None, None)
            label = Teacher("coordinated", world).labels()["user"].reshape(8 * 16, -1)
            observation, mask = (part.reshape(8 * 16, -1).copy() for part in world.views.of("user"))
            seen = {"observation": torch.from_numpy(observation), "action_mask": torch.from_numpy(mask)}
            with torch.no_grad():
                out = user.forward_train({"obs": seen})
            logits = user.get_train_action_dist_cls().from_logits(out["action_dist_inputs"])
            return float(logits.logp(torch.from_numpy(label)).mean())

        policy = [weight for name, weight in user.named_parameters() if name.startswith(("policy", "mixture"))]
        values = [weight for name, weight in user.named_parameters() if name.startswith("value")]
        before = likelihood()
        algorithm.train()
        algorithm.train()
        assert likelihood() > before + 0.05
        kept, moved = [w.clone() for w in policy], [w.clone() for w in values]
        algorithm.train()
        assert all(torch.equal(a, b) for a, b in zip(kept, policy, strict=True)) or _only_decayed(kept, policy)
        assert any(not torch.equal(a, b) for a, b in zip(moved, values, strict=True))
        batch = runner.sample(num_timesteps=12)[0].policy_batches["user"]
        assert LABEL not in batch
        kept = [w.clone() for w in policy]
        algorithm.train()
        assert any(not torch.equal(a, b) for a, b in zip(kept, policy, strict=True))
    finally:
        algorithm.stop()


def _only_decayed(before: list[torch.Tensor], after: list[torch.Tensor]) -> bool:
    """Adam's momentum moves weights a little further after their gradient has become zero."""
    return max(float((a - b).abs().max()) for a, b in zip(before, after, strict=True)) < 0.05


def test_a_run_that_imitates_says_so(tmp_path: Path, ray_here: Any) -> None:
    run = train(
        Job(algo="PPO", env=ENV, config=SMALL, imitate="coordinated", stop={"env_steps": 96}, local_dir=tmp_path)
    )
    checkpoint = checkpoints_of(run.folder)[-1]
    assert read_description(checkpoint)["imitate"] == "coordinated"
    assert CheckpointPolicy(checkpoint).knows == "own view, planner's labels"


@pytest.mark.parametrize(
    ("algo", "options", "said"),
    [
        ("PPO", {"imitate": "cordinated"}, "imitate: policy: 'cordinated' is not known; did you mean 'coordinated'"),
        ("PPO", {"imitate": "nowhere.py:maker"}, "imitate: .*nowhere.py"),
        ("PPO", {"imitate": "coordinated", "stop": {"time_total_s": 1}}, "imitate: for a third of how many steps"),
        ("MoEPPO", {"imitate": "coordinated", "runner": "stock"}, "imitate: 'coordinated' plans in our environments"),
        ("DQN", {"imitate": "coordinated"}, "imitate: DQN cannot imitate first: take PPO"),
    ],
)
def test_what_cannot_be_imitated_is_refused(algo: str, options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=said):
        train(Job(**{"algo": algo, "env": ENV, "stop": {"env_steps": 96}, "local_dir": tmp_path, **options}))
    assert not any(tmp_path.iterdir())
