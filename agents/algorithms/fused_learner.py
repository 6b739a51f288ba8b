"""What learners share: fused optimisers, and no work that is done twice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..networks.shared_weights import SharedWeights


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
