"""BenchMARL: a market as a task of its own, for IPPO, MAPPO, QMIX and whatever else BenchMARL has.

Shows a `TaskClass` with masks, one group of agents a role and, for central critics, the global state.
Needs BenchMARL, in an environment of its own, as it asks for an older TorchRL.

    python examples/benchmarl_task.py --algorithm mappo --frames 60000
"""

import argparse
import tempfile
from collections.abc import Callable

from benchmarl.algorithms import IppoConfig, MappoConfig, QmixConfig
from benchmarl.environments import TaskClass
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig
from torchrl.data import Composite
from torchrl.envs import EnvBase
from torchrl.envs.libs.pettingzoo import PettingZooWrapper

from edge_experts.envs import FlatEnv, load_scenario

ALGORITHMS = {"ippo": IppoConfig, "mappo": MappoConfig, "qmix": QmixConfig}


class Market(TaskClass):
    """A scenario; `config` has `scenario`, `overrides`, and `role` to train one of the roles alone."""

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: str
    ) -> Callable[[], EnvBase]:
        """A function that makes the environment."""
        settings = self.config

        def make() -> EnvBase:
            market = FlatEnv(settings["scenario"], settings["overrides"], role=settings["role"], fixed_population=True)
            return PettingZooWrapper(
                market, use_mask=True, categorical_actions=True, return_state=True, seed=seed, device=device
            )

        return make

    def supports_continuous_actions(self) -> bool:
        """Choices are discrete."""
        return False

    supports_discrete_actions = has_state = lambda self: True  # choices are discrete; all that is seen, as one vector

    def max_steps(self, env: EnvBase) -> int:
        """Slots of an episode."""
        return load_scenario(self.config["scenario"], self.config["overrides"]).episode.slots

    def has_render(self, env: EnvBase) -> bool:
        """Not shown while training."""
        return False

    def group_map(self, env: EnvBase) -> dict[str, list[str]]:
        """Agents by role."""
        return env.group_map

    def _kept(self, env: EnvBase, name: str) -> Composite:
        return Composite(
            {
                group: Composite(
                    {name: env.observation_spec[group, name].clone()}, shape=env.observation_spec[group].shape
                )
                for group in env.group_map
            }
        )

    def observation_spec(self, env: EnvBase) -> Composite:
        """What agents see."""
        return self._kept(env, "observation")

    def action_mask_spec(self, env: EnvBase) -> Composite:
        """What agents may do."""
        return self._kept(env, "action_mask")

    def state_spec(self, env: EnvBase) -> Composite:
        """The global state."""
        return Composite({"state": env.observation_spec["state"].clone()})

    def action_spec(self, env: EnvBase) -> Composite:
        """What agents do."""
        return env.full_action_spec

    def info_spec(self, env: EnvBase) -> None:
        """Nothing beside."""

    @staticmethod
    def env_name() -> str:
        """As it is called in BenchMARL's records."""
        return "edge_experts"


def main() -> None:
    """Train, and print the mean return of an episode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="edge_experts/text-v1")
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="mappo")
    parser.add_argument("--frames", type=int, default=600)
    arguments = parser.parse_args()
    settings = ExperimentConfig.get_from_yaml()
    settings.max_n_frames, settings.evaluation, settings.loggers = arguments.frames, False, []
    settings.on_policy_collected_frames_per_batch = settings.off_policy_collected_frames_per_batch = 300
    settings.on_policy_n_envs_per_worker = settings.off_policy_n_envs_per_worker = 1
    settings.on_policy_minibatch_size, settings.on_policy_n_minibatch_iters = 100, 4
    settings.off_policy_train_batch_size, settings.off_policy_n_optimizer_steps = 32, 10
    settings.create_json, settings.save_folder, settings.share_policy_params = False, tempfile.mkdtemp(), True
    task = Market(
        arguments.env.rpartition("/")[2], {"scenario": arguments.env, "overrides": {"devices.count": 6}, "role": "user"}
    )
    experiment = Experiment(
        task=task,
        algorithm_config=ALGORITHMS[arguments.algorithm].get_from_yaml(),
        model_config=MlpConfig.get_from_yaml(),
        critic_model_config=MlpConfig.get_from_yaml(),
        seed=0,
        config=settings,
    )
    experiment.run()
    print(f"mean return {experiment.mean_return:.2f} credits a user after {experiment.total_frames} slots")


if __name__ == "__main__":
    main()
