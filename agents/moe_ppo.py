"""MoE-PPO: proximal policy optimisation with a mixture of branches, on RLlib's new API stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.algorithms.ppo.ppo import PPO, PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch
from ray.rllib.utils.metrics import (
    ALL_MODULES,
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)

from .batched_runner import BatchedEnvRunner, collect
from .minibatches import Minibatches
from .module import ROUTER_PROBABILITIES, ROUTER_WEIGHTS, MoEModule
from .routers import balance_loss, entropy, load


class MoEPPOConfig(PPOConfig):  # type: ignore[misc]
    """Configuration of `MoEPPO`; beside PPO's own settings, `training` takes those of the mixture.

    Args of `training`:
        branches: Number of branches; 1 is plain PPO with the same network.
        top_k: How many branches an input uses.
        hidden: Width of each layer of a branch.
        balance_coeff: Weight of the load-balancing loss.
        dense_equal: Train the control instead: one plain network with as many weights as the mixture.
        forced_share: Share of the rows without a choice (one legal action) that the learner sees; batched runner only.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MoEPPO)
        self.branches = 4
        self.top_k = 2
        self.hidden = (64, 64)
        self.balance_coeff = 0.01
        self.dense_equal = False
        self.forced_share = 0.1
        # returns here are not bounded by PPO's default clip of 10 on the squared value error
        self.vf_clip_param = float("inf")
        self.use_kl_loss = False

    def training(
        self,
        *,
        branches: Any = NotProvided,
        top_k: Any = NotProvided,
        hidden: Any = NotProvided,
        balance_coeff: Any = NotProvided,
        dense_equal: Any = NotProvided,
        forced_share: Any = NotProvided,
        **kwargs: Any,
    ) -> MoEPPOConfig:
        """Set the mixture's settings and any of PPO's."""
        super().training(**kwargs)
        given = {
            "branches": branches,
            "top_k": top_k,
            "hidden": hidden,
            "balance_coeff": balance_coeff,
            "dense_equal": dense_equal,
            "forced_share": forced_share,
        }
        for name, value in given.items():
            if value is not NotProvided:
                setattr(self, name, value)
        return self

    def validate(self) -> None:
        """Check the mixture's settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()
        if self.branches < 1:
            raise ValueError(f"branches: {self.branches!r} must be 1 or more")
        if not 1 <= self.top_k <= self.branches and self.branches > 1:
            raise ValueError(f"top_k: {self.top_k!r} must be between 1 and branches = {self.branches}")
        if self.balance_coeff < 0:
            raise ValueError(f"balance_coeff: {self.balance_coeff!r} must not be negative")
        if not 0 <= self.forced_share <= 1:
            raise ValueError(f"forced_share: {self.forced_share!r} must be between 0 and 1")

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The mixture network."""
        return RLModuleSpec(module_class=MoEModule)

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        mixture = {
            "branches": self.branches,
            "top_k": self.top_k,
            "hidden": tuple(self.hidden),
            "dense_equal": self.dense_equal,
        }
        return {**super()._model_config_auto_includes, **mixture}

    def get_default_learner_class(self) -> type:
        """The learner that adds the load-balancing loss."""
        return MoEPPOLearner


class MoEPPOLearner(PPOTorchLearner):  # type: ignore[misc]
    """PPO's loss plus the load-balancing loss; logs what the router does."""

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Any:
        """PPO's loss plus `balance_coeff` times the load-balancing loss."""
        loss = super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        if ROUTER_WEIGHTS not in fwd_out:
            return loss
        weights, probabilities = fwd_out[ROUTER_WEIGHTS], fwd_out[ROUTER_PROBABILITIES]
        if Columns.LOSS_MASK in batch:  # rows that only serve to bootstrap values
            rows = batch[Columns.LOSS_MASK].bool()
            weights, probabilities = weights[rows], probabilities[rows]
        balance = balance_loss(weights, probabilities)
        loads = load(weights)
        self.metrics.log_dict(
            {
                "router_balance_loss": balance.detach(),
                "router_entropy": entropy(probabilities).detach(),
                **{f"branch_load_{i}": share for i, share in enumerate(loads)},
            },
            key=module_id,
            window=1,
        )
        return loss + config.balance_coeff * balance

    def _create_iterator_if_necessary(self, *, training_data: Any, **kwargs: Any) -> Iterator[MultiAgentBatch]:
        """For batches of the batched runner, minibatches that cover every module's rows equally often."""
        if training_data.batch is None:
            return super()._create_iterator_if_necessary(training_data=training_data, **kwargs)  # type: ignore[no-any-return]
        return iter(Minibatches(training_data.batch, kwargs["num_epochs"], kwargs["minibatch_size"]))


class MoEPPO(PPO):  # type: ignore[misc]
    """MoE-PPO. Trains from the batched runner where the environment is one of ours, else from RLlib's stock runner."""

    @classmethod
    def get_default_config(cls) -> MoEPPOConfig:
        """The default configuration."""
        return MoEPPOConfig()

    def training_step(self) -> None:
        """Sample, learn, send the new weights to the runners."""
        if not issubclass(self.env_runner_group.local_env_runner.__class__, BatchedEnvRunner):
            super().training_step()
            return
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            batch, results = collect(self.env_runner_group, self.config)
            if batch is None:
                return
            self.metrics.aggregate(results, key=ENV_RUNNER_RESULTS)
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            steps = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME))
            learned = self.learner_group.update(
                batch=batch,
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: steps},
                num_epochs=self.config.num_epochs,
                minibatch_size=self.config.minibatch_size,
                shuffle_batch_per_epoch=True,
            )
            self.metrics.aggregate(learned, key=LEARNER_RESULTS)
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group,
                policies=set(learned[0]) - {ALL_MODULES},
                inference_only=False,
            )
