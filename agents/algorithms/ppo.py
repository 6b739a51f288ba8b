"""Proximal policy optimisation on batches of the batched runner, with a learner that does nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.algorithms.ppo.ppo import (
    LEARNER_RESULTS_KL_KEY,
    LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY,
    LEARNER_RESULTS_VF_LOSS_UNCLIPPED_KEY,
    PPO,
    PPOConfig,
)
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.evaluation.postprocessing import Postprocessing
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
from ray.rllib.utils.torch_utils import explained_variance
from torch import Tensor

from ..networks.actor_critic import MixtureActorCritic
from ..networks.config import NetworkConfig
from ..networks.recurrent import RecurrentActorCritic
from ..networks.running_norm import GathersStatistics
from ..sampling.batched_runner import BatchedEnvRunner
from ..sampling.batches import collect
from ..sampling.markets_runner import MarketsEnvRunner
from ..sampling.minibatches import Minibatches
from ..sampling.teacher import LABEL
from .fused_learner import FusedLearner
from .ppo_loss import imitation_loss, surrogate_loss, value_loss


class MaskedPPOConfig(NetworkConfig, PPOConfig):  # type: ignore[misc]
    """PPO with one plain network for policy and value, and exact action masks.

    Args of `training`, beside PPO's own:
        hidden: As in `NetworkConfig`.
        no_choice_fraction: Share of the rows without a choice (one legal action) that the learner sees; batched
            runner only.
        memory: Size of what agents remember, in a recurrent unit behind the trunk; 0: nothing. Batched runner only.
    """

    takes_markets = can_imitate = True

    @property
    def runner_class(self) -> type:  # type: ignore[override]
        """What samples worlds for it: of one market or of several."""
        return MarketsEnvRunner if self.markets else BatchedEnvRunner

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MaskedPPO)
        self.no_choice_fraction: float = 0.1
        self.memory = 0

    @property
    def needs_worlds(self) -> str:
        """A memory is kept by the batched runner only."""
        if not self.memory:
            return super().needs_worlds
        return (
            f"memory: {self.memory} needs the batched runner, on our environments; elsewhere take RLlib's own PPO with "
            "rl_module(model_config=DefaultModelConfig(use_lstm=True))"
        )

    def training(
        self,
        *,
        no_choice_fraction: Any = NotProvided,
        memory: Any = NotProvided,
        **kwargs: Any,
    ) -> MaskedPPOConfig:
        """Set the network's settings and any of PPO's."""
        super().training(**kwargs)
        self._take(no_choice_fraction=no_choice_fraction, memory=memory)
        return self

    def validate(self) -> None:
        """Check the settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()
        if not 0 <= self.no_choice_fraction <= 1:
            raise ValueError(f"no_choice_fraction: {self.no_choice_fraction!r} must be between 0 and 1")
        if not isinstance(self.memory, int) or self.memory < 0:
            raise ValueError(f"memory: {self.memory!r} must be a size, or 0 for none")

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """A network that takes masks and several action parts."""
        return RLModuleSpec(module_class=RecurrentActorCritic if self.memory else MixtureActorCritic)

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        return {**super()._model_config_auto_includes, "memory": self.memory}

    def get_default_learner_class(self) -> type:
        """The learner for ready-made batches."""
        return MaskedPPOLearner


class MaskedPPOLearner(FusedLearner, PPOTorchLearner):  # type: ignore[misc]
    """PPO's loss, optimiser and minibatches, without the work that RLlib's learner does for every minibatch.

    Losses are reported of the last minibatch of an update, which is what RLlib keeps of them too.
    """

    _is_last = True
    _steps = 0  # sampled so far

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Note how far the run is."""
        super().before_gradient_based_update(timesteps=timesteps)
        self._steps = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """PPO's clipped surrogate loss, value loss, entropy bonus and, if wanted, KL penalty (see `ppo_loss`).

        Where rows are labelled by a teacher, likelihood of the labels instead of the surrogate loss.
        """
        module = self.module[module_id].unwrapped()
        rows = (
            batch[Columns.LOSS_MASK].bool() if Columns.LOSS_MASK in batch else slice(None)
        )  # not those that only bootstrap
        distribution = module.get_train_action_dist_cls().from_logits(fwd_out[Columns.ACTION_DIST_INPUTS][rows])
        advantages = batch[Postprocessing.ADVANTAGES][rows]
        logp, logp_before = distribution.logp(batch[Columns.ACTIONS][rows]), batch[Columns.ACTION_LOGP][rows]
        if LABEL in batch:
            policy_loss = imitation_loss(distribution.logp(batch[LABEL][rows]))
        else:
            policy_loss = surrogate_loss(logp, logp_before, advantages, config.clip_param)
            if self._steps < config.phases.valued:  # values first follow the policy that was imitated
                policy_loss = 0.0 * policy_loss
        loss, report = policy_loss, {POLICY_LOSS_KEY: policy_loss}
        if isinstance(module, ValueFunctionAPI):
            values = module.compute_values(batch, embeddings=fwd_out.get(Columns.EMBEDDINGS))[rows]
            targets = batch[Postprocessing.VALUE_TARGETS][rows]
            scale = getattr(module, "value_scale", 1.0)  # a user's own network may have none
            report[VF_LOSS_KEY] = value_loss(values / scale, targets / scale, config.vf_clip_param)
            loss = loss + config.vf_loss_coeff * report[VF_LOSS_KEY]
        entropy_coeff = self.entropy_coeff_schedulers_per_module[module_id].get_current_value()
        if entropy_coeff != 0 or self._is_last:
            entropy = distribution.entropy().mean()
            loss = loss - entropy_coeff * entropy
        kl = torch.zeros(())
        if config.use_kl_loss:
            before = module.get_exploration_action_dist_cls().from_logits(batch[Columns.ACTION_DIST_INPUTS][rows])
            kl = before.kl(distribution).mean()
            loss = loss + self.curr_kl_coeffs_per_module[module_id] * kl
        if self._is_last:
            report |= {ENTROPY_KEY: entropy, LEARNER_RESULTS_KL_KEY: kl}
            if VF_LOSS_KEY in report:
                report[LEARNER_RESULTS_VF_LOSS_UNCLIPPED_KEY] = value_loss(values, targets)
                report[LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY] = explained_variance(targets, values)
            self.metrics.log_dict({k: v.detach() for k, v in report.items()}, key=module_id, window=1)
        return loss

    def _create_iterator_if_necessary(self, *, training_data: Any, **kwargs: Any) -> Iterator[MultiAgentBatch]:
        """For batches of the batched runner, minibatches that cover every module's rows equally often."""
        if training_data.batch is None:
            self._is_last = True
            return super()._create_iterator_if_necessary(training_data=training_data, **kwargs)  # type: ignore[no-any-return]
        for module_id, columns in training_data.batch.policy_batches.items():
            module = self.module[module_id].unwrapped()
            if isinstance(module, GathersStatistics):
                module.look_over(columns)
        return self._minibatches(Minibatches(training_data.batch, kwargs["num_epochs"], kwargs["minibatch_size"]))

    def _minibatches(self, minibatches: Minibatches) -> Iterator[MultiAgentBatch]:
        for i, minibatch in enumerate(minibatches, start=1):
            self._is_last = i == len(minibatches)
            yield minibatch


class MaskedPPO(PPO):  # type: ignore[misc]
    """PPO that trains from the batched runner where it is set, else from RLlib's stock runner."""

    @classmethod
    def get_default_config(cls) -> MaskedPPOConfig:
        """The default configuration."""
        return MaskedPPOConfig()

    def training_step(self) -> None:
        """Sample, learn, send the new weights to the runners."""
        if not issubclass(self.config.env_runner_cls or object, BatchedEnvRunner):
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
