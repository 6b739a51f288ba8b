"""Edge Experts: multi-agent reinforcement-learning environments for generative experts at the mobile edge.

`edge_experts.envs` holds the environments, `edge_experts.agents` what trains in them with RLlib, `edge_experts.baselines`
heuristics, the reference and measurements, `edge_experts.recording` makes tables from language models.
"""
