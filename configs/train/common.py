"""What the presets share: environment, rewards, budget, batches, rates. A preset adds its algorithm to this.

Every preset is a function of the environment: `rllib train file configs/train/ppo.py --env edge_experts/mixed-v1`.
Settings were chosen on text-v1's training episodes and are the same everywhere, but for what the length of an episode
demands. All agents are paid the mean reward (`--reward team`), so that they work for the welfare that they are scored
by; `--reward private` pays each its own, as the scenarios do.
"""

from __future__ import annotations

from typing import Any

from edge_experts.agents.market_names import markets_of
from edge_experts.envs import Scenario, load_scenario
from edge_experts.envs.registry import is_market

DEFAULT_ENV = "edge_experts/text-v1"
SHORT = 8  # slots; episodes up to that long are not discounted
DEFAULT_STEPS = 300_000
STEPS = {"edge_experts/mixed-v1": 200_000}  # elsewhere `DEFAULT_STEPS`


def budget(env: str) -> int:
    """Environment steps of a run; on several markets, of all together."""
    return sum(STEPS.get(scenario.id, DEFAULT_STEPS) for scenario in _scenarios(env)) or DEFAULT_STEPS


def stop(env: str = DEFAULT_ENV) -> dict[str, float]:
    """When a run ends."""
    return {"env_steps": budget(env)}


def place(config: Any, env: str, worlds: int) -> Any:
    """Set environment, rewards, worlds and seed."""
    team = {"overrides": {"rewards.team": 1.0}} if _is_shared(env) else {}
    markets = markets_of(env)
    config.environment(markets[0] if markets else env, env_config=team)
    if markets:
        config.training(markets=markets)
    return config.env_runners(num_env_runners=0, num_envs_per_env_runner=worlds).debugging(seed=0)


def discount(env: str) -> float:
    """1 in short episodes; else an agent looks a request ahead."""
    scenarios = _scenarios(env)
    return 1.0 if scenarios and all(scenario.episode.slots <= SHORT for scenario in scenarios) else 0.85


def read_market(config: Any, env: str) -> Any:
    """On markets, networks that read them place by place; where agents share rewards, credit for what each is worth."""
    config.training(credit="auto")
    return config.training(network="entities", hidden=(32, 64)) if _scenarios(env) else config


def on_policy(config: Any, env: str) -> Any:
    """Settings of the algorithms that learn from what they have just played: 4,096 steps an iteration, three passes."""
    read_market(config, env)
    slots = 32 if discount(env) < 1 else 4
    place(config, env, 4096 // slots)
    return config.training(
        train_batch_size_per_learner=4096,
        lr=[[0, 1e-3], [budget(env), 1e-4]],
        gamma=discount(env),
    )


def ppo(config: Any, env: str) -> Any:
    """Settings of PPO and its kin."""
    on_policy(config, env)
    return config.training(
        minibatch_size=256, num_epochs=3, lambda_=0.95, entropy_coeff=0.0, vf_clip_param=float("inf"), use_kl_loss=False
    )


def asynchronous(config: Any, env: str) -> Any:
    """Settings of APPO and IMPALA: they learn from 4 worlds for 16 slots, or from 32 short episodes."""
    read_market(config, env)
    slots, worlds = (16, 4) if discount(env) < 1 else (4, 32)
    place(config, env, worlds)
    config.learners(num_learners=0)  # a thread of this process
    config.env_runners(rollout_fragment_length=slots)
    config.reporting(min_time_s_per_iteration=None, min_sample_timesteps_per_iteration=4096)
    return config.training(
        train_batch_size_per_learner=worlds * slots,
        lr=[[0, 1e-3], [budget(env), 1e-4]],
        gamma=discount(env),
        entropy_coeff=0.0,
    )


def from_replay(config: Any, env: str) -> Any:
    """Settings of the algorithms that learn from a replay buffer: batches of 32 steps, every step replayed twice."""
    place(config, env, 64)
    config.env_runners(rollout_fragment_length=8)
    return config.training(
        credit="auto",
        train_batch_size_per_learner=32,
        training_intensity=2.0,
        num_steps_sampled_before_learning_starts=4096,
        gamma=discount(env),
        target_network_update_freq=0,
        tau=0.02,
    )


def soft(config: Any, env: str) -> Any:
    """Settings of SAC and its kin: larger batches, rates that fall, a temperature that hardly moves."""
    steps = budget(env)
    return from_replay(config, env).training(
        train_batch_size_per_learner=64,
        actor_lr=[[0, 2e-4], [steps, 3e-5]],
        critic_lr=[[0, 5e-4], [steps, 5e-5]],
        alpha_lr=3e-4,
        tau=0.01,
        initial_alpha=0.02,
        target_entropy_fraction=0.05,
    )


def from_demonstrations(config: Any, env: str) -> Any:
    """Settings of the algorithms that learn from demonstrations of `coordinated`."""
    place(config, env, 32)
    return config.training(
        demonstrations=f"runs/demonstrations/{env.rpartition('/')[2]}",
        train_batch_size_per_learner=128,
        updates=100,
        lr=1e-3,
        gamma=discount(env),
    )


def _scenarios(env: str) -> list[Scenario]:
    """Of a market, or of several; of none elsewhere."""
    return [load_scenario(market) for market in markets_of(env) or (env,) if is_market(market)]


def _is_shared(env: str) -> bool:
    """Whether there is anybody to share rewards with."""
    return any(scenario.acting > 1 for scenario in _scenarios(env))
