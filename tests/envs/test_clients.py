"""The views in the hands of other libraries, and what each view promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from pettingzoo.test import parallel_api_test

from edge_experts.envs import AgentBatch, EdgeEnv, FlatEnv, Recorder, ScenarioError, SingleAgentEnv, World
from edge_experts.envs.api.flat_form import joint_mask

SMALL = {"episode.slots": 12}


def legal(env: FlatEnv, infos: dict[str, Any]) -> dict[str, Any]:
    return {
        agent: env.action_space(agent).sample(infos[agent]["action_mask"].astype(np.int8))
        if env.kind == "discrete"
        else env.action_space(agent).sample()
        for agent in env.agents
    }


@pytest.mark.parametrize("kind", ["discrete", "box"])
@pytest.mark.parametrize("name", ["netmoe-v1", "text-v1", "object3d-v1"])
def test_flat_views_play_the_same_game(kind: str, name: str) -> None:
    """What is chosen through the flat view is what the plain view plays, and nothing illegal is."""
    flat, plain = FlatEnv(name, SMALL, actions=kind), EdgeEnv(name, SMALL)
    parallel_api_test(FlatEnv(name, SMALL, actions=kind), 10)
    _, infos = flat.reset(seed=3)
    seen, _ = plain.reset(seed=3)
    steps = 0
    while flat.agents:
        actions = legal(flat, infos)
        chosen = {agent: flat._chosen(agent, action) for agent, action in actions.items()}
        for agent, choice in chosen.items():
            counts = plain.role_spaces[plain.role_of(agent)].nvec
            picks = np.cumsum([0, *counts[:-1]]) + np.atleast_1d(choice)
            assert seen[agent]["action_mask"][picks].all()
        shown, rewards, _, _, infos = flat.step(actions)
        seen, expected, _, _, _ = plain.step(chosen)
        assert rewards == expected and all(flat.observation_space(a).contains(v) for a, v in shown.items())
        for agent, values in shown.items():
            size = len(seen[agent]["observation"])
            assert np.array_equal(values[:size], seen[agent]["observation"])
            assert np.array_equal(values[size:], infos[agent]["action_mask"]) and not infos[agent]["invalid"]
        steps += 1
    assert steps >= 3


def test_a_joint_mask_is_the_outer_product_of_its_parts() -> None:
    mask = np.array([1, 0, 1, 0, 1], np.int8)  # parts of 3 and 2 choices
    assert joint_mask(mask, (3, 2)).tolist() == [0, 1, 0, 0, 0, 1]
    assert [tuple(np.unravel_index(i, (3, 2))) for i in np.flatnonzero(joint_mask(mask, (3, 2)))] == [(0, 1), (2, 1)]


def test_a_team_is_paid_alike() -> None:
    env = FlatEnv("text-v1", SMALL, team=True)
    _, infos = env.reset(seed=1)
    _, rewards, *_ = env.step(legal(env, infos))
    assert max(rewards.values()) - min(rewards.values()) < 1e-12 and rewards["user_0"] != 0.0
    with pytest.raises(ScenarioError, match="rewards.team: 0.5 contradicts team=True"):
        FlatEnv("text-v1", {"rewards.team": 0.5}, team=True)


@pytest.mark.parametrize(
    ("kind", "action", "message"),
    [
        ("discrete", 1.5, "plays 1.5"),
        ("discrete", 10_000, "plays 10000"),
        ("discrete", -1, "plays -1"),
        ("box", np.zeros(3), "which is not in Box"),
        ("box", "nan", "which is not in Box"),
    ],
)
def test_flat_views_refuse_what_is_not_in_their_spaces(kind: str, action: Any, message: str) -> None:
    env = FlatEnv("text-v1", SMALL, actions=kind)
    _, infos = env.reset(seed=1)
    actions = legal(env, infos)
    if isinstance(action, str):
        action = np.full(env.action_space("user_0").shape, np.nan, np.float32)
    with pytest.raises(ValueError, match=message):
        env.step({**actions, "user_0": action})
    with pytest.raises(ValueError, match="'nobody' is not in the present agents"):
        env.step({**actions, "nobody": 0})
    with pytest.raises(ValueError, match="actions: 'cube', expected one of discrete, box"):
        FlatEnv("text-v1", actions="cube")


@pytest.mark.parametrize("agent", ["user_3", "provider_1"])
def test_one_agent_among_scripted_ones(agent: str) -> None:
    env = gymnasium.make("edge_experts/text-v1", agent=agent, overrides=SMALL).unwrapped
    assert isinstance(env, SingleAgentEnv)
    seen, _ = env.reset(seed=2)
    placed, steps, over = 0, 0, False
    while not over:
        seen, _, terminated, truncated, _ = env.step(env.action_space.sample(seen["action_mask"]))
        placed += (env.env.world.state.users.placed[0] >= 0).sum()
        steps, over = steps + 1, terminated or truncated
    assert steps == 12 and placed > 12, "the others are not idle"
    with pytest.raises(ScenarioError, match="agent: 'user_99' is not one of"):
        SingleAgentEnv("text-v1", agent="user_99")


def test_one_agent_among_policies_of_ones_own() -> None:
    from edge_experts.baselines.heuristics.policies import make_policy

    policy = make_policy("coordinated", World("text-v1"))
    env = SingleAgentEnv("text-v1", SMALL, agent="user_0", partners=policy)
    env.reset(seed=2)
    wait = np.array([env.env.world.sizes.X, 0])
    quality = []
    for _ in range(11):
        env.step(wait)
        users = env.env.world.state.users[0]
        assert not users.acted[0] or users.placed[0] == -1
        quality += users.quality[users.quality > 0].tolist()
    assert len(quality) > 5


def test_where_users_come_and_go_the_agent_is_waited_for() -> None:
    env = SingleAgentEnv("text-v1", {"devices.churn": 0.2, "episode.slots": 30}, agent="user_5")
    for seed in range(8):
        env.reset(seed=seed)
        assert "user_5" in env.env.agents


def test_supersuit_and_stable_baselines() -> None:
    """PPO of Stable-Baselines3 learns from the flat view, which SuperSuit turns into a vector environment."""
    supersuit = pytest.importorskip("supersuit")
    baselines = pytest.importorskip("stable_baselines3")
    markets = FlatEnv(
        "text-v1", {"devices.count": 4, "devices.churn": 0.05, **SMALL}, role="user", fixed_population=True
    )
    vector = supersuit.pettingzoo_env_to_vec_env_v1(markets)
    vector = supersuit.concat_vec_envs_v1(vector, 2, base_class="stable_baselines3")
    assert vector.num_envs == 8
    model = baselines.PPO("MlpPolicy", vector, n_steps=24, batch_size=96, n_epochs=1, device="cpu")
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(8 * 48)
    assert any((a != b).any() for a, b in zip(before, model.policy.parameters(), strict=True))
    single = baselines.PPO(
        "MultiInputPolicy", SingleAgentEnv("netmoe-v1"), n_steps=32, batch_size=32, n_epochs=1, device="cpu"
    )
    single.learn(64)


def test_stable_baselines_on_continuous_actions() -> None:
    baselines = pytest.importorskip("stable_baselines3")

    class One(gymnasium.Env[Any, Any]):
        """The case study's only agent in the Box view."""

        def __init__(self) -> None:
            self.env = FlatEnv("netmoe-v1", actions="box")
            self.observation_space = self.env.observation_space("user_0")
            self.action_space = self.env.action_space("user_0")

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            seen, infos = self.env.reset(seed=seed)
            return seen["user_0"], infos["user_0"]

        def step(self, action: Any) -> Any:
            return tuple(part["user_0"] for part in self.env.step({"user_0": action}))

    model = baselines.SAC("MlpPolicy", One(), learning_starts=16, batch_size=16, device="cpu", seed=0)
    model.learn(40)
    assert model.num_timesteps == 40


TORCHRL = """
from torchrl.envs.libs.pettingzoo import PettingZooWrapper
from edge_experts.envs import EdgeEnv

settings = {"use_mask": True, "return_state": True, "categorical_actions": True, "seed": 1}
for churn in (0.0, 0.1):
    market = EdgeEnv("text-v1", {"episode.slots": 8, "devices.churn": churn}, fixed_population=churn > 0)
    env = PettingZooWrapper(market, **settings)
    rollout = env.rollout(20)
    assert rollout.batch_size[0] == 8, rollout.batch_size
    print(sorted(env.group_map), float(rollout["next", "user", "reward"].abs().sum()) > 0)
"""


def test_torchrl_wraps_the_parallel_view() -> None:
    pytest.importorskip("torchrl")
    done = subprocess.run([sys.executable, "-c", TORCHRL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout.count("['provider', 'user'] True") == 2


def test_maskable_ppo_takes_one_seat_as_it_is() -> None:
    """Every choice that it draws is legal."""
    contrib = pytest.importorskip("sb3_contrib")

    class Watched(SingleAgentEnv):
        invalid = 0

        def step(self, action: Any) -> Any:
            outcome = super().step(action)
            self.invalid += outcome[-1]["invalid"]
            return outcome

    env = Watched("text-v1", {"episode.slots": 50}, agent="user_0")
    model = contrib.MaskablePPO("MultiInputPolicy", env, n_steps=50, batch_size=50, n_epochs=1, device="cpu", seed=0)
    model.learn(100)
    assert model.num_timesteps == 100 and env.invalid == 0 and not env.action_masks().all()


def test_videos_are_recorded(tmp_path: Path) -> None:
    pytest.importorskip("moviepy")
    env = gymnasium.make(
        "edge_experts/text-v1", agent="user_0", render_mode="rgb_array", overrides={"episode.slots": 3}
    )
    recorded = gymnasium.wrappers.RecordVideo(env, str(tmp_path), disable_logger=True)
    recorded.reset(seed=1)
    for _ in range(3):
        recorded.step(recorded.action_space.sample())
    recorded.close()
    assert [file.name for file in tmp_path.iterdir()] == ["rl-video-episode-0.mp4"]


def test_a_batch_has_the_form_of_pufferlibs_native_environments() -> None:
    """Attributes, shapes and types of `pufferlib.PufferEnv` and its buffers (3.0, `set_buffers`)."""
    batch = AgentBatch("text-v1", 3, overrides=SMALL)
    seen = batch.single_observation_space
    assert isinstance(seen, gymnasium.spaces.Box)
    assert isinstance(batch.single_action_space, gymnasium.spaces.MultiDiscrete)
    observations, infos = batch.reset(1)
    assert infos == [] and observations is batch.observations
    outcome = batch.step(batch.sample_actions(np.random.default_rng(0)).astype(np.int32))
    names = ("observations", "rewards", "terminals", "truncations")
    assert all(given is getattr(batch, name) for given, name in zip(outcome[:4], names, strict=True))
    assert outcome[4] == []
    forms = {name: (getattr(batch, name).shape, getattr(batch, name).dtype) for name in (*names, "masks")}
    flags = ((batch.num_agents,), np.dtype(bool))
    assert forms == {
        "observations": ((batch.num_agents, *seen.shape), seen.dtype),
        "rewards": ((batch.num_agents,), np.dtype(np.float32)),
        **dict.fromkeys(("terminals", "truncations", "masks"), flags),
    }


def test_rllibs_own_ppo_over_the_flat_view(ray_here: Any) -> None:
    """RLlib as it is, which has no encoder for observations with masks beside them."""
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
    from ray.tune import register_env

    settings = {"devices.count": 3, "episode.slots": 20}
    register_env("users", lambda _: ParallelPettingZooEnv(FlatEnv("text-v1", settings, role="user")))
    config = PPOConfig().environment("users").env_runners(num_env_runners=0)
    config.training(train_batch_size_per_learner=60, minibatch_size=60, num_epochs=1)
    config.multi_agent(policies={"user"}, policy_mapping_fn=lambda *_, **__: "user")
    algorithm = config.build_algo()
    try:
        assert np.isfinite(algorithm.train()["env_runners"]["episode_return_mean"])
    finally:
        algorithm.stop()


def test_recorded_episodes_are_what_happened(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    env = EdgeEnv("text-v1", SMALL)
    observations, _ = env.reset(seed=4)
    recorder, rewards = Recorder(env), []
    while env.agents:
        actions = {a: env.action_space(a).sample(observations[a]["action_mask"]) for a in env.agents}
        observations, given, *_ = env.step(actions)
        recorder.note()
        rewards.append(given)
    folder = recorder.save(tmp_path / "episode")
    users, providers, experts = (
        parquet.read_table(folder / f"{name}.parquet") for name in ("users", "providers", "experts")
    )
    assert (users.num_rows, providers.num_rows, experts.num_rows) == (12 * 16, 12 * 4, 12 * 8)
    for row in users.to_pylist():
        assert row["reward"] == rewards[row["slot"] - 1][f"user_{row['user']}"] and row["episode"] == 0
        assert row["placed"] in ("", *env.scenario.experts, "local gemma-2b-it")
    assert {row["ended"] for row in users.to_pylist()} <= {"none", "on_time", "late", "expired", "dropped"}
    assert b"edge_experts/text-v1" in users.schema.metadata[b"scenario"]
    assert sorted(p.name for p in folder.iterdir()) == ["experts.parquet", "providers.parquet", "users.parquet"]
