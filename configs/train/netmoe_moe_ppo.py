"""MoE-PPO on the NetMoE case study: rllib train file configs/train/netmoe_moe_ppo.py."""

from edge_experts.agents.moe_ppo import MoEPPOConfig

config = (
    MoEPPOConfig()
    .environment("edge_experts/netmoe-v0")
    .env_runners(num_env_runners=0, num_envs_per_env_runner=1024)
    .training(
        train_batch_size_per_learner=3 * 4096,
        minibatch_size=1536,
        num_epochs=4,
        lr=[[0, 1e-3], [1_200_000, 5e-5]],
        entropy_coeff=[[0, 0.01], [1_000_000, 0.0]],
        gamma=1.0,
        lambda_=0.95,
    )
    .debugging(seed=0)
)
stop = {"env_steps": 1_200_000}
