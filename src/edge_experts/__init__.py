"""Edge Experts: multi-agent reinforcement-learning environments for generative experts at the mobile edge.

`edge_experts.envs` holds the environments, `edge_experts.agents` what trains in them with RLlib, `edge_experts.baselines`
heuristics, the reference and measurements, `edge_experts.recording` makes tables from language models.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """The version that is installed, looked up when it is asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("edge-experts")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
