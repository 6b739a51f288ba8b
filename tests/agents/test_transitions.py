"""Learning from single transitions: the replay buffer, DQN, SAC, D2SAC, and exact masks in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from building import small
from ray.rllib.algorithms.dqn.dqn_learner import QF_NEXT_PREDS, QF_PREDS, QF_TARGET_NEXT_PREDS
from ray.rllib.algorithms.sac.sac_learner import ACTION_LOG_PROBS, ACTION_PROBS, QF_TARGET_NEXT
from ray.rllib.core.columns import Columns

from edge_experts.agents.algorithms.off_policy import NEXT, TransitionEnvRunner
from edge_experts.agents.algorithms.sac import BoxSACModule, ChoiceSACModule
from edge_experts.agents.checkpoints.manifest import REPLAY
from edge_experts.agents.checkpoints.metadata import checkpoints_of
from edge_experts.agents.networks.diffusion import DiffusionActor
from edge_experts.agents.networks.q_network import QNetwork
from edge_experts.agents.sampling.replay_buffer import WEIGHTS, ReplayBuffer
from edge_experts.agents.setup import SetupError, new_config, set_up
from edge_experts.agents.training import Run
from edge_experts.envs.api.flat_form import best_legal, joint_mask

spaces = gymnasium.spaces
SEEN = spaces.Dict({"observation": spaces.Box(-1, 1, (5,), np.float32), "action_mask": spaces.MultiBinary(7)})
ACTION = spaces.MultiDiscrete([3, 4])
KINDS = {
    "dqn": (QNetwork, {"dueling": True, "double_q": True, "epsilon": 0.3}),
    "plain dqn": (QNetwork, {"dueling": False, "double_q": False, "epsilon": 0.3}),
    "sac": (ChoiceSACModule, {"actor": "categorical"}),
    "d2sac": (ChoiceSACModule, {"actor": "diffusion", "denoising_steps": 3}),
    "box": (BoxSACModule, {"actor": "box"}),
}


def module(name: str) -> Any:
    kind, options = KINDS[name]
    net = kind(observation_space=SEEN, action_space=ACTION, model_config={"hidden": (16, 16), **options})
    net.make_target_networks()
    return net


def observe(rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random observations, each with a legal choice in every part."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(rows, 7, generator=generator) < 0.5).to(torch.int8)
    mask[:, 1], mask[:, 3] = 1, 1
    return {"observation": torch.randn(rows, 5, generator=generator), "action_mask": mask}


# --- the buffer -----------------------------------------------------------------------------------------------------


def test_the_buffer_keeps_the_newest() -> None:
    replay = ReplayBuffer(5, alpha=0.0, seed=0)
    replay.add({"x": np.arange(3), "y": np.zeros((3, 2))})
    replay.add({"x": np.arange(3, 7), "y": np.ones((4, 2))})
    rows, places = replay.sample(300)
    assert replay.count == 5 and set(rows["x"]) == {2, 3, 4, 5, 6} and rows["y"].shape == (300, 2)
    assert (rows[WEIGHTS] == 1).all() and places.max() == 4
    replay.add({"x": np.arange(100, 120), "y": np.ones((20, 2))})  # more than there is room for
    assert set(replay.sample(300)[0]["x"]) == set(range(115, 120))


def test_surprising_rows_are_drawn_more_often_and_weigh_less() -> None:
    replay = ReplayBuffer(4, alpha=1.0, beta=1.0, seed=0)
    replay.add({"x": np.arange(4)})
    replay.update(np.arange(4), np.array([1.0, 1.0, 2.0, -4.0]))
    rows, _ = replay.sample(80_000)
    shares = np.bincount(rows["x"]) / 80_000
    np.testing.assert_allclose(shares, np.array([1, 1, 2, 4]) / 8, atol=0.01)
    # unbiased: the weighted share is the same for all
    weighted = np.array([rows[WEIGHTS][rows["x"] == i].sum() for i in range(4)])
    np.testing.assert_allclose(weighted / weighted.sum(), 0.25, atol=0.01)
    assert rows[WEIGHTS].max() == 1.0
    replay.add({"x": np.array([9])})  # new rows are as likely as the likeliest
    assert (replay.sample(10_000)[0]["x"] == 9).mean() == pytest.approx(4 / 11, abs=0.03)


# --- masks ----------------------------------------------------------------------------------------------------------


def test_joint_masks_and_picks() -> None:
    masks = observe(50)["action_mask"]
    joint = joint_mask(masks, [3, 4])
    for row, flat in zip(masks.numpy(), joint.numpy(), strict=True):
        assert [tuple(np.unravel_index(i, (3, 4))) for i in np.flatnonzero(flat)] == [
            (a, b) for a in range(3) for b in range(4) if row[a] and row[3 + b]
        ]
    assert np.array_equal(joint_mask(masks.numpy(), (3, 4)), joint.numpy())
    values = np.random.default_rng(0).normal(size=(50, 7))
    picks = best_legal(values, masks, (3, 4))
    for row, value, pick in zip(masks.numpy(), values, picks, strict=True):
        assert row[pick[0]] and row[3 + pick[1]] and value[pick[0]] == value[:3][row[:3] == 1].max()


@pytest.mark.parametrize("name", KINDS)
def test_illegal_choices_are_never_played(name: str) -> None:
    net, seen = module(name), observe(200)
    batch = {Columns.OBS: seen}
    with torch.inference_mode():
        for out in (
            net.forward_inference(batch),
            *(net.forward_exploration(batch, t=0) for _ in range(10)),
            net.random_choice(batch),
        ):
            played = out[Columns.ACTIONS_FOR_ENV]
            assert played.shape == (200, 2)
            for part, legal in zip(
                played.unbind(-1), (seen["action_mask"][:, :3], seen["action_mask"][:, 3:]), strict=True
            ):
                assert legal.gather(-1, part[:, None]).all()


def test_one_part_is_played_without_an_axis() -> None:
    lone = spaces.Dict({"observation": spaces.Box(-1, 1, (5,), np.float32), "action_mask": spaces.MultiBinary(3)})
    for kind, options in KINDS.values():
        net = kind(observation_space=lone, action_space=spaces.Discrete(3), model_config={"hidden": (8,), **options})
        seen = {"observation": torch.randn(9, 5), "action_mask": torch.ones(9, 3, dtype=torch.int8)}
        with torch.inference_mode():
            assert net.forward_inference({Columns.OBS: seen})[Columns.ACTIONS_FOR_ENV].shape == (9,)


@pytest.mark.parametrize("name", ["dqn", "plain dqn"])
def test_values_of_illegal_choices_are_never_bootstrapped(name: str) -> None:
    net = module(name)
    now, later = observe(64), observe(64, seed=1)
    out = net.forward_train({Columns.OBS: now, Columns.NEXT_OBS: later})
    legal = joint_mask(later["action_mask"], [3, 4]).bool()
    assert (
        torch.isinf(out[QF_TARGET_NEXT_PREDS][~legal]).all() and torch.isfinite(out[QF_TARGET_NEXT_PREDS][legal]).all()
    )
    assert (QF_NEXT_PREDS in out) == (name == "dqn")
    best = out.get(QF_NEXT_PREDS, out[QF_TARGET_NEXT_PREDS]).argmax(dim=-1)
    assert legal.gather(-1, best[:, None]).all()
    if name == "dqn":  # duelling: advantages of the legal choices are about their mean
        q = out[QF_PREDS].detach()
        legal_now = joint_mask(now["action_mask"], [3, 4]).bool()
        with torch.no_grad():
            value = net.value(net.trunk(net.seen(now)).vector).squeeze(-1)
        mean = torch.where(legal_now, q, 0.0).sum(-1) / legal_now.sum(-1)
        assert torch.allclose(mean, value, atol=1e-4)


@pytest.mark.parametrize("name", ["sac", "d2sac"])
def test_illegal_choices_have_probability_zero_in_sacs_losses(name: str) -> None:
    net = module(name)
    now = observe(64)
    out = net.forward_train({Columns.OBS: now, Columns.NEXT_OBS: observe(64, seed=1)})
    legal = joint_mask(now["action_mask"], [3, 4]).bool()
    assert (out[ACTION_PROBS][~legal] == 0).all() and torch.allclose(
        out[ACTION_PROBS].sum(-1), torch.ones(64), atol=1e-5
    )
    assert torch.isfinite(out[QF_TARGET_NEXT]).all()
    entropy = -(out[ACTION_PROBS] * out[ACTION_LOG_PROBS]).sum(-1)
    assert (entropy <= legal.sum(-1).float().log() + 1e-4).all()
    (out[ACTION_PROBS] * out[ACTION_LOG_PROBS]).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.pi.parameters() if p.grad is not None)
    aim = net.target_entropy({Columns.OBS: now}, 0.5)
    assert torch.allclose(aim, 0.5 * legal.sum(-1).float().log())


def test_numbers_of_illegal_choices_add_nothing_to_a_box() -> None:
    net, now = module("box"), observe(64)
    numbers, log = net.drawn(now)
    assert (numbers[now["action_mask"] == 0] == 0).all() and (numbers.abs() <= 1).all()
    # against torch's own squashed normal distribution, over the legal numbers
    torch.manual_seed(5)
    numbers, log = net.drawn(now)
    with torch.no_grad():
        mean, log_std = net._normal(now)
        normal = torch.distributions.Normal(mean, log_std.exp())
        squashed = torch.distributions.TransformedDistribution(
            normal, [torch.distributions.TanhTransform(cache_size=1)]
        )
        mask = now["action_mask"].float()
        expected = (squashed.log_prob(numbers.clamp(-0.99999, 0.99999)) * mask).sum(-1)
    assert torch.allclose(log, expected, atol=0.05)
    assert torch.equal(net.target_entropy({Columns.OBS: now}, 0.1), -mask.sum(-1))


def test_the_actors_loss_leaves_the_critics_alone() -> None:
    net = module("box")
    batch = {Columns.OBS: observe(32), Columns.NEXT_OBS: observe(32, seed=1), Columns.ACTIONS: torch.rand(32, 7)}
    net.forward_train(batch)["q_curr"].sum().backward()
    assert net.qf.layer.weight.grad is None and net.pi.layer.weight.grad.abs().sum() > 0


def test_diffusion_takes_away_as_much_noise_as_it_says() -> None:
    """With a denoiser that knows what is hidden, each step sees it under noise of its share, and the last shows it."""
    actor, n = DiffusionActor(4, (8,), 3, steps=5), 40_000
    hidden = torch.tensor([1.0, -2.0, 3.0])
    shown = {}

    class Perfect(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            t = int((actor.time == inputs[0, 3 : 3 + 16]).all(dim=-1).nonzero()[0, 0])
            shown[t] = inputs[:, :3]
            return hidden.expand(len(inputs), 3)

    actor.denoiser = Perfect()  # type: ignore[assignment]
    for is_random in (True, False):
        assert torch.allclose(actor(torch.randn(n, 4), is_random), hidden.expand(n, 3), atol=1e-5)
        assert sorted(shown) == list(range(5))
        clean, lack = actor.clean_share, actor.clean_share[-1].sqrt() * hidden  # the first draw knows nothing of it
        for t in range(4, 0, -1):
            lack = lack * actor.kept[t].sqrt() * (1 - clean[t - 1]) / (1 - clean[t])
            mean = clean[t - 1].sqrt() * hidden - lack
            assert torch.allclose(shown[t - 1].mean(dim=0), mean, atol=0.02)
            spread = (1 - clean[t - 1]).sqrt() if is_random else torch.zeros(())
            assert torch.allclose(shown[t - 1].std(dim=0), spread.expand(3), atol=0.02)
    kept = actor.kept.prod()
    assert 0 < kept < 0.01 and actor.clean_share[-1] == pytest.approx(float(kept), rel=1e-5)


def test_diffusion_learns_however_sure_it_is() -> None:
    """No preference is so strong or weak that no gradient passes: such an actor would play the same for ever."""
    actor = DiffusionActor(4, (8,), 3, steps=5)
    last = actor.denoiser[-1]
    for sign in (1, -1):
        with torch.no_grad():
            last.bias.copy_(sign * torch.tensor([30.0, -30.0, 0.0]))
        preferences = actor(torch.randn(20, 4))
        for choice in range(3):
            gradient = torch.autograd.grad(preferences[:, choice].mean(), last.bias, retain_graph=True)[0]
            assert gradient[choice] > 0.1


def test_a_policy_by_diffusion_is_random_only_when_it_explores() -> None:
    net, batch = module("d2sac"), {Columns.OBS: observe(200)}
    with torch.inference_mode():
        first, second = (net.forward_inference(batch)[Columns.ACTIONS] for _ in range(2))
        other = net.forward_exploration(batch)[Columns.ACTIONS]
    assert torch.equal(first, second) and not torch.equal(first, other)


# --- the runner and the algorithms ----------------------------------------------------------------------------------


def test_transitions_hold_what_the_world_showed_next() -> None:
    config = small("DQN", worlds=3, **{"episode.slots": 6, "devices.churn": 0.1})
    sampler = TransitionEnvRunner(config=config)
    sampler._begin(staggered=False)
    shown, finals, live = [], {}, []
    play = sampler._play

    def noting(*arguments: Any) -> Any:
        shown.append(sampler.world.views.users.copy())
        live.append(sampler.world.live_users.copy())
        over = play(*arguments)
        if over.any():
            finals[len(shown) - 1] = sampler.world.final_views.users.copy()
        return over

    sampler._play = noting
    rows = sampler.sample(num_timesteps=3 * 10)[0].policy_batches["user"]
    shown.append(sampler.world.views.users.copy())
    there = np.stack(live)
    now = np.stack(shown[:-1])[there]
    later = np.stack([finals.get(t, shown[t + 1]) for t in range(10)])[there]
    assert np.array_equal(rows[Columns.OBS]["observation"], now) and sorted(finals) == [5]
    goes_on = ~rows[Columns.TERMINATEDS]
    assert np.array_equal(rows[NEXT + "observation"][goes_on], later[goes_on]) and (~goes_on).any()
    assert rows[Columns.ACTIONS].shape == (len(now),) and rows[Columns.ACTIONS].max() < 40


@pytest.mark.parametrize(
    ("algo", "settings"),
    [
        ("DQN", {}),
        ("SAC", {}),
        ("SAC", {"actor": "box"}),
        ("D2SAC", {"denoising_steps": 2}),
    ],
)
def test_algorithms_learn_from_the_replay_buffer(algo: str, settings: dict[str, Any], ray_here: Any) -> None:
    config = new_config(algo, "edge_experts/text-v1").environment("edge_experts/text-v1").debugging(seed=1)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=6, rollout_fragment_length=4)
    config.training(
        train_batch_size_per_learner=8,
        training_intensity=1.0,
        num_steps_sampled_before_learning_starts=40,
        target_network_update_freq=0,
        hidden=(16,),
        **settings,
    )
    config.reporting(min_time_s_per_iteration=None, min_sample_timesteps_per_iteration=24)
    algorithm = set_up(config).build_algo()
    try:
        learner = algorithm.learner_group._learner
        before = {k: v.clone() for k, v in learner.module["user"].state_dict().items()}
        for _ in range(4):
            result = algorithm.train()
        after = learner.module["user"].state_dict()
        moved = {k.split(".")[0] for k in before if not torch.equal(before[k].float(), after[k].float())}
        expected = (
            {"trunk", "advantages", "value", "old_trunk"} if algo == "DQN" else {"qf", "qf_twin", "pi", "target_qf"}
        )
        assert expected <= moved and all(torch.isfinite(v).all() for v in after.values())
        assert np.isfinite(result["learners"]["user"]["qf_loss"])
        assert algorithm._replays["user"].count == 4 * 6 * 4 * 16 and algorithm._replays["user"].capacity == 200_000
        played = algorithm.env_runner.module["user"].state_dict()
        assert all(torch.equal(played[k], after[k]) for k in played)
    finally:
        algorithm.stop()


def test_priorities_follow_the_errors(ray_here: Any) -> None:
    config = small("DQN", worlds=4)
    config.training(num_steps_sampled_before_learning_starts=0, hidden=(8,), train_batch_size_per_learner=8)
    algorithm = config.build_algo()
    try:
        algorithm.train()
        priorities = algorithm._replays["user"]._priorities[: algorithm._replays["user"].count]
        assert len(np.unique(priorities)) > 10  # no longer all as when they came
    finally:
        algorithm.stop()


REFUSED = {
    "n_step": ("DQN", {"n_step": 3}, "n_step: 3 must be 1"),
    "atoms": ("DQN", {"num_atoms": 11}, "num_atoms: 11 must be 1"),
    "actor": ("SAC", {"actor": "gauss"}, "actor: 'gauss' is not one of categorical, box, diffusion"),
    "share": ("SAC", {"target_entropy_fraction": 1.0}, "target_entropy_fraction: 1.0 must be at least 0 and below 1"),
    "steps": ("D2SAC", {"denoising_steps": 0}, "denoising_steps: 0 must be 1 or more"),
    "width": ("SAC", {"hidden": []}, r"hidden: \[\] must be one or more widths"),
    "twin": ("SAC", {"twin_q": False}, "twin_q: False is not for this SAC"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_do_not_fit_are_refused(case: str) -> None:
    algo, settings, message = REFUSED[case]
    config = new_config(algo, "edge_experts/text-v1").environment("edge_experts/text-v1").training(**settings)
    with pytest.raises(ValueError, match=message):
        config.validate()


def test_elsewhere_these_are_rllibs_own() -> None:
    assert set_up(new_config("DQN", "CartPole-v1").environment("CartPole-v1")).env_runner_cls is None
    stock = set_up(
        new_config("SAC", "edge_experts/text-v1", "stock").environment("edge_experts/text-v1"), runner="stock"
    )
    assert stock.env_runner_cls is None and stock.env_config["flatten"] is True
    assert set_up(new_config("DQN").environment("edge_experts/text-v1")).env_runner_cls is TransitionEnvRunner
    with pytest.raises(SetupError, match="runner: D2SAC as it is here lives on the worlds"):
        set_up(new_config("D2SAC").environment("CartPole-v1"))


def test_a_buffer_goes_on_from_its_file_as_if_nothing_had_happened(tmp_path: Path) -> None:
    def rows(n: int, first: int) -> dict[str, np.ndarray]:
        return {"x": np.arange(first, first + n, dtype=np.float32), "seen": np.arange(2 * n).reshape(n, 2)}

    kept, resumed = (ReplayBuffer(8, seed=seed) for seed in (3, 4))
    kept.add(rows(11, 0))
    kept.update(np.arange(4), np.array([5.0, 1.0, 0.1, 3.0]))
    kept.sample(5)
    kept.save(tmp_path / "buffer.npz")
    resumed.load(tmp_path / "buffer.npz")
    for buffer in (kept, resumed):
        buffer.add(rows(3, 100))
    mine, other = kept.sample(50), resumed.sample(50)
    assert mine[1].tolist() == other[1].tolist()
    assert all(np.array_equal(mine[0][name], other[0][name]) for name in (*rows(1, 0), WEIGHTS))
    with pytest.raises(ValueError, match="capacity: 4 is below the 8 rows"):
        ReplayBuffer(4).load(tmp_path / "buffer.npz")


@pytest.mark.parametrize("algo", ["DQN", "SAC"])
def test_what_is_replayed_is_in_the_newest_checkpoint_and_comes_back(algo: str, tmp_path: Path, ray_here: Any) -> None:
    config = small(algo).training(num_steps_sampled_before_learning_starts=10)
    run = Run(config, {"training_iteration": 3.0}, tmp_path / "run", checkpoint_freq=1)
    run.train()
    first, *_, last = checkpoints_of(run.folder)
    assert (last / REPLAY).is_dir() and not (first / REPLAY).exists()
    again = small(algo).training(num_steps_sampled_before_learning_starts=10).build_algo()
    try:
        again.restore_from_path(str(last))
        assert set(again._replays) == {"user", "provider"}
        for module, replay in again._replays.items():
            with np.load(last / REPLAY / f"{module}.npz") as saved:
                assert replay.count == len(saved["column_rewards"]) > 0
                assert np.array_equal(replay._columns["rewards"][: replay.count], saved["column_rewards"])
        before = {module: replay.count for module, replay in again._replays.items()}
        again.train()
        assert all(replay.count > before[module] for module, replay in again._replays.items())
    finally:
        again.stop()
