"""One set of weights that plays several markets: a module for each, whose weights are the same tensors."""

from __future__ import annotations

from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from torch import nn

from ..policy_mapping import policy_of

OWN = ("value_scale",)  # of every market


class SharedWeights(MultiRLModule):  # type: ignore[misc]
    """Modules named `policy@market`; those of one policy share all weights, and the statistics of their inputs.

    What depends on a market's size is data of its own module, and so is the scale of its values.
    """

    def setup(self) -> None:
        """Build all modules, and let those of a policy share their weights."""
        super().setup()
        for name, module in self._rl_modules.items():
            home = self._rl_modules[self.home_of(name)]
            if module is not home:
                tie(module, home)

    def home_of(self, name: str) -> str:
        """The first module of the same policy, whose optimiser is that of all of them."""
        return next(other for other in self._rl_modules if policy_of(other) == policy_of(name))


def tie(module: nn.Module, home: nn.Module) -> None:
    """Put another module's weights, and what else its state holds, in place of a module's own."""
    for path, part in home.named_modules():
        mine = module.get_submodule(path)
        for name, weight in part._parameters.items():
            mine._parameters[name] = weight
        for name, value in part._buffers.items():
            if name not in part._non_persistent_buffers_set and name not in OWN:
                mine._buffers[name] = value
