"""What learners share: fused optimisers, and no work that is done twice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..networks.shared_weights import SharedWeights


def write_memory_once() -> None:
    """Keep torch from filling memory that is about to be written.

    It does so where RLlib has asked for deterministic algorithms, lest something reads what it has not written; nothing
    here does, and filling takes a twentieth of an update.
    """
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class FusedLearner:
    """Mixin of an RLlib torch learner whose updates are small and many."""

    _module: Any
    _params: Any
    _module_optimizers: Any
    _named_optimizers: Any
    _lr_scheduler_classes: Any
    _grad_scalers: Any
    get_parameters: Any
    register_optimizer: Any

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Adam as RLlib sets it up, but with all weights updated by one fused call; shared weights have one of it."""
        if isinstance(self._module, SharedWeights) and self._module.home_of(module_id) != module_id:
            return
        module = self._module[module_id]
        parameters = self.get_parameters(module)
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(parameters, fused=True),
            params=parameters,
            lr_or_lr_schedule=config.lr,
        )

    def build(self) -> None:
        """Build networks and optimisers."""
        super().build()  # type: ignore[misc]
        write_memory_once()

    def compute_gradients(self, loss_per_module: dict[str, Tensor], **kwargs: Any) -> dict[Any, Tensor]:
        """Gradients of the sum of losses, by weight."""
        if self._grad_scalers is not None:
            return super().compute_gradients(loss_per_module, **kwargs)  # type: ignore[misc, no-any-return]
        for parameter in self._params.values():
            parameter.grad = None
        loss = torch.stack(list(loss_per_module.values())).sum() if loss_per_module else None
        if loss is None or loss.grad_fn is None:  # nothing to learn from, or everything is frozen
            return {}
        loss.backward()
        return {reference: parameter.grad for reference, parameter in self._params.items()}

    def apply_gradients(self, gradients_dict: dict[Any, Tensor]) -> None:
        """One step of every optimiser; an update with a gradient that is not finite is left out, with a warning."""
        if self._lr_scheduler_classes is not None or self._grad_scalers is not None:
            super().apply_gradients(gradients_dict)  # type: ignore[misc]
            return
        gradients = [gradient for gradient in gradients_dict.values() if gradient is not None]
        if not gradients or not torch.isfinite(torch.stack(torch._foreach_norm(gradients)).sum()):
            super().apply_gradients(gradients_dict)  # type: ignore[misc]  # names the weights
            return
        for reference, gradient in gradients_dict.items():
            self._params[reference].grad = gradient
        for names in self._module_optimizers.values():
            for name in names:
                self._named_optimizers[name].step()
