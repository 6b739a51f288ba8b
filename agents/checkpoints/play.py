"""Play any checkpoint, of any algorithm, in the environment it was trained on."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.env.env_context import EnvContext
from tqdm import tqdm

from edge_experts.envs.io.import_string import without_imports
from edge_experts.envs.registry import is_installed

from ..errors import CheckpointError
from ..market_names import title_of
from ..policy_mapping import DEFAULT_SCHEME, MarketMapping, PolicyMapping
from ..ray_env import PettingZooEnv, find_env
from .inference import decide
from .load import load_checkpoint
from .weights import located


def play_checkpoint(
    folder: Path, episodes: int, render: bool, env_name: str | None = None, trust: bool = False
) -> list[float]:
    """Play whole episodes with the most likely actions and print their returns.

    Args:
        folder: A checkpoint of `rllib train`.
        episodes: How many.
        render: Print or report each step of the first episode.
        env_name: Where, as `find_env` takes it; where it was trained by default.
        trust: Whoever wrote the checkpoint, see `load.load_checkpoint`; also that its environment may be imported.

    Raises:
        CheckpointError: if the checkpoint cannot be played.
    """
    folder = located(folder)
    about, modules = load_checkpoint(folder, trust)
    name = env_name or about["env"]
    if not isinstance(name, str):
        raise CheckpointError(
            f"checkpoint: '{folder}' was trained on an environment without a name: say which with --env"
        )
    config = dict(about["env_config"])
    if render:
        config["render_mode"] = "ansi"
    is_free = trust or is_installed(name)
    with nullcontext() if is_free else without_imports(f"checkpoint '{folder}'", but=env_name):
        env = find_env(name)(EnvContext(config, worker_index=0))
    single = not isinstance(env, PettingZooEnv)
    if any(_settings(module).get("order") == "sequential" for module in modules.values()):
        raise CheckpointError(
            f"checkpoint: in '{folder}' users choose in turn, which this plays at once: take edge-experts evaluate"
        )
    mapping = PolicyMapping(about["policies"] or DEFAULT_SCHEME)
    if about.get("markets"):
        mapping = MarketMapping(title_of(name))
    returns = []
    for episode in tqdm(range(episodes), desc="episodes", disable=None):
        total = 0.0
        observations, _ = env.reset(seed=episode)
        states: dict[str, Any] = {}
        running = True
        while running:
            seen = {"agent": observations} if single else observations
            actions = {
                agent: _act(modules["default_policy" if single else mapping(agent)], value, states, agent)
                for agent, value in seen.items()
            }
            observations, rewards, terminated, truncated, _ = env.step(actions["agent"] if single else actions)
            total += float(rewards) if single else float(sum(rewards.values()))
            running = not (terminated or truncated) if single else not (terminated["__all__"] or truncated["__all__"])
            if not single:
                observations = {agent: value for agent, value in observations.items() if agent in env.agents}
            if render and episode == 0:
                tqdm.write(str(env.render()) + "\n")
        returns.append(total)
    spread = f" +- {np.std(returns, ddof=1):.4g} (standard deviation)" if episodes > 1 else ""
    print(f"{about['algo']} on {name}: mean return {np.mean(returns):.4g}{spread} over {episodes} episodes")
    return returns


def _act(module: Any, observation: Any, states: dict[str, Any], agent: str) -> Any:
    """An agent's action; what it remembers is kept among the states."""
    batch = {Columns.OBS: _batch(observation)}
    if module.is_stateful():
        if agent not in states:
            states[agent] = {name: torch.as_tensor(value)[None] for name, value in module.get_initial_state().items()}
        batch[Columns.STATE_IN] = states[agent]
    action, states[agent] = decide(module, batch)
    return action[0]


def _settings(module: Any) -> Any:
    """Of a network, as a mapping; RLlib's own have a class for them."""
    return module.model_config if isinstance(module.model_config, dict) else {}


def _batch(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _batch(item) for key, item in value.items()}
    return torch.as_tensor(np.asarray(value))[None]
