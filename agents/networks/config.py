"""What the configurations of all our networks share."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm_config import NotProvided


class NetworkSettings:
    """Mixin before the configuration of an RLlib algorithm: the width of its networks.

    Args of `training`, beside the algorithm's own:
        hidden: Width of each layer.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)  # type: ignore[call-arg]
        self.hidden = (64, 64)

    def training(self, *, hidden: Any = NotProvided, **kwargs: Any) -> Any:
        """Set the width and any of the algorithm's settings."""
        super().training(**kwargs)  # type: ignore[misc]
        self._take(hidden=hidden)
        return self

    def _take(self, **settings: Any) -> None:
        """Set those settings that are given."""
        for name, value in settings.items():
            if value is not NotProvided:
                setattr(self, name, value)

    def validate(self) -> None:
        """Check the settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()  # type: ignore[misc]
        if not self.hidden or any(not isinstance(width, int) or width < 1 for width in self.hidden):
            raise ValueError(f"hidden: {self.hidden!r} must be one or more widths, as [64, 64]")

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        return {**super()._model_config_auto_includes, "hidden": tuple(self.hidden)}  # type: ignore[misc]
