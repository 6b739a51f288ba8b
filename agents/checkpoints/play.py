"""Play any checkpoint, of any algorithm, in the environment it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.env.env_context import EnvContext
from tqdm import tqdm

from ..errors import CheckpointError
from ..market_names import title_of
from ..policy_mapping import DEFAULT_SCHEME, MarketMapping, PolicyMapping
from ..ray_env import PettingZooEnv, find_env
from .inference import decide
from .metadata import MODULE, read_description


def play_checkpoint(folder: Path, episodes: int, render: bool) -> list[float]:
    """Play whole episodes with the most likely actions and print their returns.

    Args:
        folder: A checkpoint of `rllib train`.
        episodes: How many.
        render: Print or report each step of the first episode.

    Raises:
        CheckpointError: if the checkpoint cannot be played.
    """
    about = read_description(folder)
    if about["env"] is None:
        raise CheckpointError(
            f"checkpoint: '{folder}' was trained on an environment without a name; evaluate it from Python"
        )
    config = dict(about["env_config"])
    if render:
        config["render_mode"] = "ansi"
    env = find_env(about["env"])(EnvContext(config, worker_index=0))
    modules = MultiRLModule.from_checkpoint(str((folder / MODULE).resolve()))
    single = not isinstance(env, PettingZooEnv)
    if any((module.model_config or {}).get("order") == "sequential" for _, module in modules.items()):
        raise CheckpointError(
            f"checkpoint: in '{folder}' users choose in turn, which this plays at once: take edge-experts evaluate"
        )
    mapping = PolicyMapping(about["policies"] or DEFAULT_SCHEME)
    if about.get("markets"):
        mapping = MarketMapping(title_of(about["env"]))
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
    print(f"{about['algo']} on {about['env']}: mean return {np.mean(returns):.4g}{spread} over {episodes} episodes")
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


def _batch(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _batch(item) for key, item in value.items()}
    return torch.as_tensor(np.asarray(value))[None]
