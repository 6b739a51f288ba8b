"""RLlib code: MoE-PPO, the batched runner, and the `rllib` command."""
