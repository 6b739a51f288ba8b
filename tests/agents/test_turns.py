"""Users that choose in turn: who comes when, what each sees, and what it is good for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_experts.agents.checkpoints import policy as policies
from edge_experts.agents.checkpoints.inference import decide
from edge_experts.agents.checkpoints.metadata import checkpoints_of
from edge_experts.agents.checkpoints.play import play_checkpoint
from edge_experts.agents.checkpoints.policy import CheckpointPolicy
from edge_experts.agents.errors import CheckpointError
from edge_experts.agents.job import Job, train, update_config
from edge_experts.agents.sampling.turns import choose_in_turn
from edge_experts.agents.setup import SetupError, new_config, set_up
from edge_experts.envs import World
from edge_experts.envs.api.aec_env import TurnEnv
from edge_experts.envs.api.spaces import role_spaces
from edge_experts.envs.sim.spec import slices

ENV = "edge_experts/text-v1"
SMALL = {
    "train_batch_size_per_learner": 96,
    "minibatch_size": 48,
    "num_epochs": 1,
    "hidden": [8, 8],
    "num_env_runners": 0,
}


def _world(env: str, slots: int) -> World:
    world, rng = World(env, 4, seed=5), np.random.default_rng(0)
    world.reset()
    for _ in range(slots):
        world.step(*world.sample_actions(rng))
    return world


@pytest.mark.parametrize("env", ["text-v1", "networked-v1"])
def test_each_sees_the_queues_of_those_before_it(env: str) -> None:
    """Everybody asks the legal expert of the least backlog; what it sees is told apart, user by user."""
    world = _world(env, 12)
    sizes, field, spaces = world.sizes, slices("user", world.sizes), role_spaces("user", world.sizes)
    shown, mask = (np.array(part) for part in world.views.of("user"))
    legal = np.array(spaces.shown_mask(mask))
    calls: list[np.ndarray] = []

    def choose(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        calls.append(rows["row"])
        queue = np.where(rows["action_mask"][:, : sizes.E] == 1, rows["observation"][:, field["backlog"]], np.inf)
        none = np.isinf(queue).all(axis=1)
        places = np.where(none, rows["action_mask"][:, : sizes.X + 1].argmax(axis=1), queue.argmin(axis=1))
        rest = [np.full(len(places), sizes.X)] * (sizes.J - 1) + [np.zeros(len(places), int)]
        return {"actions": np.stack([places, *rest], axis=1).astype(np.int64)[:, : len(spaces.nvec)]}

    rows = {
        "observation": shown.reshape(-1, shown.shape[-1]).copy(),
        "action_mask": legal.reshape(-1, legal.shape[-1]),
        "row": np.arange(4 * sizes.U),
    }
    found = choose_in_turn(world, np.arange(sizes.U), rows, choose)["actions"].reshape(4, sizes.U, -1)
    assert sorted(np.concatenate(calls).tolist()) == list(range(4 * sizes.U)), "everybody chooses once"

    seen = rows["observation"].reshape(shown.shape)
    share, changed = float(world.constants.slot_s / world.constants.queue_limit_s), 0
    for b in range(4):
        queues = shown[b, 0, field["backlog"]].copy()
        for u in world.state.order[b]:
            if legal[b, u].sum() == len(spaces.nvec):
                assert (seen[b, u] == shown[b, u]).all(), "who has no choice is not told"
                continue
            assert seen[b, u, field["backlog"]] == pytest.approx(np.minimum(4.0, queues), abs=1e-5)
            changed += bool((seen[b, u] != shown[b, u]).any())
            e = int(found[b, u, 0])
            if e < sizes.E:
                queues[e] += shown[b, u, field["compute"].start + e] * share
    assert changed


def test_only_the_agents_of_a_group_choose() -> None:
    world = _world(ENV, 12)
    spaces, mine = role_spaces("user", world.sizes), np.array([1, 4, 9])
    shown, mask = world.views.of("user")
    rows = {
        "observation": shown[:, mine].reshape(12, -1),
        "action_mask": spaces.shown_mask(mask[:, mine]).reshape(12, -1),
    }
    parts = len(spaces.nvec)
    wait = np.array([world.sizes.X] + [0] * (parts - 1))
    found = choose_in_turn(world, mine, rows, lambda part: {"actions": np.tile(wait, (len(part["observation"]), 1))})
    assert found["actions"].shape == (12, parts) and (found["actions"] == wait).all()


@pytest.mark.parametrize("algo", ["PPO", "MAPPO", "APPO", "recurrent"])
def test_sequential_policies_train_and_play(
    algo: str, tmp_path: Path, ray_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = {"memory": 8} if algo == "recurrent" else {}
    settings: dict[str, Any] = {**SMALL, **memory, "network": "entities", "num_envs_per_env_runner": 4}
    if algo == "APPO":
        settings = {"train_batch_size_per_learner": 64, "hidden": [8, 8], "num_learners": 0, "num_env_runners": 0}
        settings |= {"min_time_s_per_iteration": None, "min_sample_timesteps_per_iteration": 64}
    run = train(
        Job(
            algo="PPO" if algo == "recurrent" else algo,
            env=ENV,
            config=settings,
            order="sequential",
            overrides={"episode.slots": 8},
            stop={"training_iteration": 1},
            seed=0,
            local_dir=tmp_path,
            name="run",
        )
    )
    checkpoint = checkpoints_of(run.folder)[-1]
    policy, asked = CheckpointPolicy(checkpoint), []
    monkeypatch.setattr(policies, "decide", lambda *given: asked.append(given) or decide(*given))
    world = World(ENV, 8, 3)
    world.reset()
    for _ in range(12):
        world.step(*policy.act(world))
    assert not world.state.users.invalid.any()
    assert len(asked) > 4 * 12, "users were asked all at once"
    with pytest.raises(CheckpointError, match="users choose in turn, which this plays at once"):
        play_checkpoint(checkpoint, 1, False)


@pytest.mark.parametrize(
    ("algo", "settings", "scheme", "runner", "said"),
    [
        ("PPO", {"order": "random"}, "per_role", "auto", "order: 'random' is not one of together, sequential"),
        ("PPO", {"order": "sequential"}, "independent", "auto", "needs one policy for all users"),
        ("MoEPPO", {"order": "sequential"}, "per_role", "stock", "order: 'sequential' is for the batched runner"),
        ("DQN", {"order": "sequential"}, "per_role", "auto", "order: 'sequential' is for algorithms that learn from"),
    ],
)
def test_orders_that_cannot_be_are_refused(
    algo: str, settings: dict[str, Any], scheme: str, runner: str, said: str
) -> None:
    config = new_config(algo, ENV).environment(ENV)
    update_config(config, settings)
    with pytest.raises((SetupError, ValueError), match=said):
        set_up(config, scheme, runner).validate()


def test_the_turn_based_api_shows_the_same_queues() -> None:
    """Everybody picks the legal expert of the shortest queue: the AEC environment in service order, and arrays."""
    env = TurnEnv(ENV, seed=5, order="service")
    env.reset(seed=5)
    world = env.env.world
    sizes, field, spaces = world.sizes, slices("user", world.sizes), role_spaces("user", world.sizes)

    def choose(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        queue = rows["observation"][:, field["backlog"]] + 1e-3 * np.arange(sizes.E)
        queue = np.where(rows["action_mask"][:, : sizes.E] == 1, queue, np.inf)
        places = np.where(np.isinf(queue).all(axis=1), sizes.X, queue.argmin(axis=1))
        return {"actions": np.stack([places, np.zeros(len(places), int)], axis=1)}

    raised = 0
    for _ in range(12):
        observation, mask = (part[0].copy() for part in world.views.of("user"))
        rows = {"observation": observation, "action_mask": np.array(spaces.shown_mask(mask[None]))[0]}
        seen_by_all = choose(rows)["actions"]
        expected = choose_in_turn(world, np.arange(sizes.U), rows, choose)["actions"]
        order, asked = world.state.order[0].tolist(), []
        while env.agent_selection and len(asked) < len(env.agents):
            agent = env.agent_selection
            asked.append(agent)
            role, _, i = agent.rpartition("_")
            if role == "provider":
                env.step(np.array([0, 1, 1, 1]))
                continue
            seen = env.observe(agent)
            if seen["action_mask"].sum() > len(spaces.nvec):  # arrays ask those without a choice first
                assert np.array_equal(seen["observation"], rows["observation"][int(i)])
            env.step(expected[int(i)])
        assert [a for a in asked if a.startswith("user")] == [f"user_{u}" for u in order]
        raised += int((expected != seen_by_all).any())
    assert raised > 0, "what others chose has changed somebody's mind"
    with pytest.raises(ValueError, match="order: 'turns' is not one of agents, service"):
        TurnEnv(ENV, order="turns")
    with pytest.raises(ValueError, match="is not in MultiDiscrete"):
        env.reset(seed=5)
        while env.agent_selection.startswith("provider"):
            env.step(np.array([0, 1, 1, 1]))
        env.step(np.array([99, 0]))
