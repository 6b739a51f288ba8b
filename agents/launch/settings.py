"""Which settings are in force in a run: what its first lines say, and what TensorBoard shows as hyperparameters."""

from __future__ import annotations

from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback

from ..networks.config import NetworkConfig
from ..sampling.batched_runner import BatchedEnvRunner

RATES = ("lr", "actor_lr", "critic_lr", "alpha_lr")
EPISODE_CALLBACKS = ("on_episode_created", "on_episode_start", "on_episode_step", "on_episode_end")
UNHEARD = "not called, as the batched runner has no episode objects; take on_sample_end, or --runner stock"
NAMES = (
    *RATES,
    *("train_batch_size_per_learner", "minibatch_size", "num_epochs", "gamma", "lambda_", "entropy_coeff", "tau"),
    *("network", "hidden", "credit", "order", "memory", "control", "branches", "router", "top_k", "placement"),
    *("num_envs_per_env_runner", "num_env_runners", "num_learners", "seed"),
)


def settings_in_force(config: Any) -> dict[str, Any]:
    """The settings that matter most, by RLlib's names: those of `NAMES` that the algorithm has, as plain values."""
    own = {name: getattr(config, name) for name in NAMES if getattr(config, name, None) is not None}
    return {"algorithm": algorithm_of(config), "env": str(config.env), "runner": runner_of(config), **own}


def algorithm_of(config: Any) -> str:
    """The name that `rllib train --algo` takes."""
    return str(config.algo_class.__name__).removeprefix("Masked")


def runner_of(config: Any) -> str:
    """What samples: `batched` or `stock`."""
    return "batched" if issubclass(config.env_runner_cls or object, BatchedEnvRunner) else "stock"


def describe(config: Any, source: str) -> str:
    """Two lines for a reader: what is learned with, and how is sampled; a third on callbacks that will not be called.

    Args:
        config: A configuration that `set_up` has completed.
        source: Whose settings they are, as "preset ppo".
    """
    own = settings_in_force(config)
    batch = [f"batch {own['train_batch_size_per_learner']}"]
    if own.get("minibatch_size"):
        batch.append(f"minibatch {own['minibatch_size']}")
    if own.get("num_epochs", 1) > 1:
        batch.append(f"{own['num_epochs']} epochs")
    rates = [f"{name} {_over_time(own[name])}" for name in RATES if name in own]
    learned = ", ".join([*batch, *rates, f"gamma {own['gamma']:g}", f"network {_network(config)}"])
    unheard = unheard_callbacks(config)
    note = f"\ncallbacks   {', '.join(unheard)}: {UNHEARD}" if unheard else ""
    where = f"{config.num_env_runners} processes" if config.num_env_runners else "this process"
    sampled = f"{own['runner']} runner, {config.num_envs_per_env_runner} environments in {where}"
    return f"settings    {source}: {learned}\nsampling    {sampled}{note}"


def unheard_callbacks(config: Any) -> list[str]:
    """Callbacks of episodes that a user has set, and that the batched runner does not call: it has no episodes."""
    if runner_of(config) != "batched":
        return []
    kinds = config.callbacks_class if isinstance(config.callbacks_class, list) else [config.callbacks_class]
    return [
        name
        for name in EPISODE_CALLBACKS
        if getattr(config, f"callbacks_{name}") is not None
        or any(getattr(kind, name) is not getattr(RLlibCallback, name) for kind in kinds)
    ]


def _over_time(value: Any) -> str:
    """A number, or the first and the last one of a schedule."""
    if not isinstance(value, list | tuple):
        return f"{value:g}"
    first, last = (point[1] if isinstance(point, list | tuple) else point for point in (value[0], value[-1]))
    return f"{first:g} to {last:g}"


def _network(config: Any) -> str:
    if not isinstance(config, NetworkConfig):
        return "RLlib's own"
    if config.brings_network and not config.wants_layout:
        return "as rl_module says"
    return f"{config.network} {list(config.hidden)}"
