"""AgileRL: IPPO on a market, one policy a role, with masks.

Shows that AgileRL's own training of many agents takes `FlatEnv` as it is. AgileRL 2.58 stumbles over masks that are
arrays, so they are handed over as lists. Needs AgileRL, in an environment of its own, as it asks for PettingZoo 1.26.

    python examples/agilerl_ippo.py --iterations 20
"""

import argparse
from typing import Any

import numpy as np
from agilerl.algorithms import IPPO

from edge_experts.envs import FlatEnv

SLOTS = 100


def masks(infos: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What `IPPO.get_action` reads of infos."""
    return {agent: {"action_mask": info["action_mask"].astype(int).tolist()} for agent, info in infos.items()}


def collect(env: FlatEnv, learner: IPPO) -> tuple[tuple[Any, ...], float, int]:
    """An episode as `IPPO.learn` takes it, the mean return of a user, and how often it chose what is not legal."""
    names = ("seen", "actions", "log_probs", "rewards", "ended", "values")
    rows: dict[str, dict[str, list[Any]]] = {name: {agent: [] for agent in env.possible_agents} for name in names}
    seen, infos = env.reset()
    total, invalid = 0.0, 0
    while env.agents:
        actions, log_probs, _, values = learner.get_action(seen, masks(infos))
        chosen = {agent: int(np.ravel(action)[0]) for agent, action in actions.items()}
        told, rewards, _, _, infos = env.step(chosen)
        for agent in seen:
            paid, goes_on = np.array([rewards[agent]]), np.zeros(1)
            row = (seen[agent], actions[agent], log_probs[agent], paid, goes_on, values[agent])
            for name, value in zip(names, row, strict=True):
                rows[name][agent].append(value)
            invalid += int(infos[agent]["invalid"])
        total += sum(reward for agent, reward in rewards.items() if agent.startswith("user"))
        seen = told
    last = {agent: np.ones(1) for agent in env.possible_agents}
    users = sum(agent.startswith("user") for agent in env.possible_agents)
    return (*rows.values(), seen, last), total / users, invalid


def main() -> None:
    """Train, and print the mean return of a user."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="edge_experts/text-v1")
    parser.add_argument("--iterations", type=int, default=2)
    arguments = parser.parse_args()
    env = FlatEnv(arguments.env, {"episode.slots": SLOTS}, seed=1)
    agents = env.possible_agents
    learner = IPPO(
        [env.observation_space(agent) for agent in agents],
        [env.action_space(agent) for agent in agents],
        agent_ids=agents,
        batch_size=128,
        learn_step=SLOTS,
    )
    for iteration in range(arguments.iterations):
        experience, mean, invalid = collect(env, learner)
        learner.learn(experience)
        print(f"iteration {iteration}: {mean:.2f} credits a user, {invalid} illegal choices")


if __name__ == "__main__":
    main()
