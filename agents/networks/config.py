"""What the configurations of all our algorithms share: their networks, and what they need of an environment."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm_config import NotProvided


class NetworkConfig:
    """Mixin before the configuration of an RLlib algorithm: networks that take masks, and sampling by worlds.

    Args of `training`, beside the algorithm's own:
        hidden: Width of each layer.

    Attributes:
        runner_class: What samples worlds for the algorithm.
    """

    runner_class: type

    @property
    def needs_worlds(self) -> str:
        """Why only its `runner_class` can sample it, on our environments; empty where RLlib's stock runner can."""
        return ""

    def _only_on_worlds(self) -> str:
        """What `needs_worlds` says of an algorithm that is sampled by worlds whatever its settings."""
        name = self.algo_class.__name__.removeprefix("Masked")  # type: ignore[attr-defined]
        return f"runner: {name} as it is here lives on the worlds of the batched runner, on our environments only"

    @property
    def brings_network(self) -> bool:
        """Whether its user has set a network."""
        return brings_network(self)

    def prepare(self, env: Any) -> None:
        """Complete what depends on the environment.

        Args:
            env: A `PettingZooEnv`, or a Gymnasium environment.

        Raises:
            ValueError: if the settings do not fit it.
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


def brings_network(config: Any) -> bool:
    """Whether a configuration's user has set a network (`rl_module`)."""
    return config._rl_module_spec is not None or bool(config._model_config)
