"""A plain loop: random legal actions in the text market, one agent at a time.

Shows the PettingZoo parallel interface, action masks, and what `infos` tell. Needs nothing beyond the package itself.

    python examples/plain_loop.py --episodes 2
"""

import argparse
from collections import Counter

import pettingzoo

import edge_experts.envs  # noqa: F401 - registers the ids


def main() -> None:
    """Play some episodes and say what became of the requests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="edge_experts/text-v1")
    parser.add_argument("--episodes", type=int, default=1)
    arguments = parser.parse_args()

    env = pettingzoo.make("parallel", arguments.env)
    for episode in range(arguments.episodes):
        returns, ends = Counter[str](), Counter[str]()
        observations, _ = env.reset(seed=episode)
        while env.agents:
            actions = {a: env.action_space(a).sample(observations[a]["action_mask"]) for a in env.agents}
            observations, rewards, _, _, infos = env.step(actions)
            for agent, reward in rewards.items():
                returns[agent.rpartition("_")[0]] += reward
                if (ended := infos[agent].get("ended", "none")) != "none":
                    ends[ended] += 1
        roles = ", ".join(f"{role}s {total:,.1f} credits" for role, total in returns.items())
        print(f"episode {episode}: {roles}; requests: {dict(ends)}")


if __name__ == "__main__":
    main()
