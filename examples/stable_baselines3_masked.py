"""Stable-Baselines3 with masks: `MaskablePPO` learns one user's seat in the text market, the others are scripted.

Shows `SingleAgentEnv` as a Gymnasium environment whose action has two parts. Needs the extra `clients`.

    python examples/stable_baselines3_masked.py --steps 50000
"""

import argparse
from typing import Any

import gymnasium
import numpy as np
from sb3_contrib import MaskablePPO

from edge_experts.envs import SingleAgentEnv


class Seat(gymnasium.Wrapper):
    """Shows the vector alone, and the mask where `MaskablePPO` asks for it."""

    def __init__(self, env: SingleAgentEnv) -> None:
        super().__init__(env)
        self.observation_space = env.observation_space["observation"]
        self.action_space = gymnasium.spaces.MultiDiscrete(env.action_space.nvec)
        self._mask = np.ones(0, np.bool_)

    def action_masks(self) -> np.ndarray:
        """Which choices are legal now, the parts of the action side by side."""
        return self._mask

    def _look(self, seen: dict[str, np.ndarray]) -> np.ndarray:
        self._mask = seen["action_mask"].astype(np.bool_)
        return seen["observation"]

    def reset(self, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode."""
        seen, info = self.env.reset(**options)
        return self._look(seen), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play a slot."""
        seen, reward, terminated, truncated, info = self.env.step(action)
        return self._look(seen), float(reward), terminated, truncated, info


def main() -> None:
    """Train, then play one episode with the policy's most likely actions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1024)
    arguments = parser.parse_args()
    env = Seat(SingleAgentEnv("edge_experts/text-v1", agent="user_0"))
    model = MaskablePPO("MlpPolicy", env, n_steps=256, batch_size=128, n_epochs=4, gamma=0.95, device="cpu", seed=0)
    model.learn(arguments.steps)
    seen, _ = env.reset(seed=1)
    total, invalid, over = 0.0, 0, False
    while not over:
        action, _ = model.predict(seen, action_masks=env.action_masks(), deterministic=True)
        seen, reward, terminated, truncated, info = env.step(action)
        total, invalid, over = total + reward, invalid + int(info["invalid"]), terminated or truncated
    print(f"return {total:.1f} credits, {invalid} illegal choices")


if __name__ == "__main__":
    main()
