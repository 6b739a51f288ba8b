"""Stable-Baselines3 with masks: `MaskablePPO` learns one user's seat in the text market, the others are scripted.

Shows that `MaskablePPO` takes `SingleAgentEnv` as it is: an action of two parts, and its mask in `action_masks()`.
Needs the extra `clients`.

    python examples/stable_baselines3_masked.py --steps 50000
"""

import argparse

from sb3_contrib import MaskablePPO

from edge_experts.envs import SingleAgentEnv


def main() -> None:
    """Train, then play one episode with the policy's most likely actions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1024)
    arguments = parser.parse_args()
    env = SingleAgentEnv("edge_experts/text-v1", agent="user_0")
    settings = {"n_steps": 256, "batch_size": 128, "n_epochs": 4, "gamma": 0.95, "device": "cpu", "seed": 0}
    model = MaskablePPO("MultiInputPolicy", env, **settings)
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
