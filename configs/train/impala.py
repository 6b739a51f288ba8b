"""IMPALA: an actor-critic with V-trace, with asynchronous sampling and exact masks."""

from typing import Any

from edge_experts.agents.vtrace import MaskedIMPALAConfig
from edge_experts.configs.train.common import DEFAULT_ENV, on_policy, stop

__all__ = ["config", "stop"]


def config(env: str = DEFAULT_ENV) -> Any:
    """The preset on an environment."""
    return on_policy(MaskedIMPALAConfig(), env).training(entropy_coeff=0.0, train_batch_size_per_learner=512)
