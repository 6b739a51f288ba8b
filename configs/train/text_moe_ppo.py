"""MoE-PPO on the text market: rllib train file configs/train/text_moe_ppo.py.

Everybody is paid the mean reward (`rewards.team` = 1), so that the agents work for the welfare they are scored by; the
scenario's own rewards are private.
"""

from edge_experts.agents.moe_ppo import MoEPPOConfig

STEPS = 800_000

config = (
    MoEPPOConfig()
    .environment("edge_experts/text-v0", env_config={"scenario": {"rewards.team": 1.0}})
    .env_runners(num_env_runners=0, num_envs_per_env_runner=128)
    .training(
        train_batch_size_per_learner=4096,
        minibatch_size=256,
        num_epochs=3,
        lr=[[0, 1e-3], [STEPS, 1e-4]],
        entropy_coeff=0.0,
        gamma=0.85,
        lambda_=0.95,
    )
    .debugging(seed=0)
)
stop = {"env_steps": STEPS}
