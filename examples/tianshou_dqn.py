"""Tianshou: a DQN for every user of a market, with masks.

Shows flat turns: agents one after another, a single `Discrete` action each, the mask beside the observation.
Needs Tianshou 2, in an environment of its own, as it asks for an older pandas.

    python examples/tianshou_dqn.py --rounds 200
"""

import argparse

from tianshou.algorithm import DQN, MultiAgentOffPolicyAlgorithm
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv, PettingZooEnv
from tianshou.utils.net.common import Net
from tianshou.utils.torch_utils import policy_within_training_step

from edge_experts.envs import TurnEnv

USERS = 4


def make() -> PettingZooEnv:
    """The users of a small text market; its providers keep their defaults."""
    return PettingZooEnv(TurnEnv("edge_experts/text-v1", {"devices.count": USERS}, flat=True, role="user"))


def dqn(env: PettingZooEnv) -> DQN:
    """One user's."""
    seen = env.observation_space["observation"]
    network = Net(state_shape=seen.shape, action_shape=env.action_space.n, hidden_sizes=[64])
    policy = DiscreteQLearningPolicy(model=network, action_space=env.action_space, eps_training=0.2)
    return DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), gamma=0.95, target_update_freq=50)


def main() -> None:
    """Play and learn in turn, and print the mean return of a user."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    env = make()
    learner = MultiAgentOffPolicyAlgorithm(algorithms=[dqn(env) for _ in env.agents], env=env)
    players = Collector(learner, DummyVectorEnv([make, make]), VectorReplayBuffer(20_000, 2), exploration_noise=True)
    players.reset()
    for round_ in range(arguments.rounds):
        with policy_within_training_step(learner.policy):
            played = players.collect(n_episode=2)
            learner.update(buffer=players.buffer, sample_size=128)
        print(f"round {round_}: {played.returns.mean():.2f} credits a user in {played.n_collected_steps} turns")


if __name__ == "__main__":
    main()
