"""`FederatedGame`: many federations at once, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs import load_scenario
from edge_experts.envs.physics.jit import bind

from ..random import stream
from ..splits import histogram, split_clients
from .images import Images, load_images
from .rounds import begin, play
from .settings import GameSettings, load_settings
from .spec import ROLES, choices, sizes
from .state import Rules, Worlds, allocate, rules_of
from .views import Views, observe

Actions = NDArray[np.int64]


class FederatedGame:
    """B independent federations with the same settings, as arrays.

    Same seed, same bytes: world `i` evolves identically whatever the number of worlds beside it.

    Args:
        overrides: Dotted fields of `GameSettings` to change, as `{"clients": 4, "split.concentration": 0.3}`.
        n_worlds: B.
        seed: Key of the random stream, 0 <= seed < 2**63.
        first_world: Identity of world 0 in the random stream.

    Attributes:
        settings: The validated settings.
        images: What is learned from.
        sizes: Sizes of observations and actions, as `spec` names them.
        state: Arrays of the state, and of what the last round came to (see `state.Worlds`).
        views: What the agents see: `client` (B, K, F) and `provider` (B, F) float32.

    Raises:
        ValueError: naming a field, its value and the fix.

    Example:
        >>> game = FederatedGame({"clients": 4}, n_worlds=2, seed=7)
        >>> game.views.client.shape[:2]
        (2, 4)
        >>> views = game.step(*game.sample_actions(np.random.default_rng(0)))
        >>> game.state.rewards.shape
        (2, 5)
    """

    def __init__(
        self, overrides: Mapping[str, Any] | None = None, n_worlds: int = 1, seed: int = 0, first_world: int = 0
    ) -> None:
        self.settings: GameSettings = load_settings(overrides)
        _check_range("n_worlds", n_worlds, 1, 2**20)
        _check_range("first_world", first_world, 0, 2**31)
        scenario = load_scenario(self.settings.radio.scenario)
        self.images: Images = load_images(self.settings.learning)
        self.rules: Rules = rules_of(self.settings, scenario)
        identities = np.arange(first_world, first_world + n_worlds)
        self.state: Worlds = allocate(identities, self.settings.clients, len(self.rules.powers_w), self.images)
        self.n_worlds: int = n_worlds
        self.classes: int = self.state.mix.shape[2]
        self.sizes: dict[str, int] = sizes(self.settings, self.classes, len(self.rules.powers_w))
        self._limits = {role: np.array(choices(role, self.sizes)) for role in ROLES}
        for function, *arguments in ((begin, 0, 0, 0), (play, 0, *self._zeros())):  # compiled here, with a notice
            bind(function, *arguments, self.state, self.images, self.rules)
        self.reset(seed)

    @property
    def over(self) -> NDArray[np.bool_]:
        """(B,) which worlds are over: the provider stopped, or all rounds were run."""
        return self.state.over

    def reset(self, seed: int | None = None, episode: int = 0) -> Views:
        """Begin an episode in every world.

        Args:
            seed: Another key of the random stream.
            episode: Its number in the stream.

        Raises:
            ValueError: for a seed out of range.
        """
        if seed is not None:
            _check_range("seed", seed, 0, 2**63)
            self.seed: int = int(seed)
        self.state.episode[:] = episode
        for b in range(self.n_worlds):
            self._deal(b)
            begin(b, self.seed, self.settings.first_price, self.state, self.images, self.rules)
        return self._look()

    def step(self, clients: Actions, providers: Actions) -> Views:
        """Run a round in every world that is not over; the others stay as they are, with rewards of 0.

        Args:
            clients: (B, K, 4) choices of the parts `join`, `epochs`, `bits`, `power`.
            providers: (B, 2) choices of the parts `price`, `go_on`.

        Raises:
            ValueError: for actions of another shape, or choices that there are not.
        """
        shapes = {"client": (self.n_worlds, self.settings.clients), "provider": (self.n_worlds,)}
        taken = {
            role: self._checked(role, actions, shapes[role])
            for role, actions in zip(ROLES, (clients, providers), strict=True)
        }
        self.state.rewards[self.state.over] = 0.0
        play(self.seed, taken["client"], taken["provider"], self.state, self.images, self.rules)
        return self._look()

    def sample_actions(self, rng: np.random.Generator) -> tuple[Actions, Actions]:
        """Uniformly random actions of all agents."""
        B, K = self.n_worlds, self.settings.clients
        return (
            rng.integers(0, self._limits["client"], (B, K, len(self._limits["client"]))),
            rng.integers(0, self._limits["provider"], (B, len(self._limits["provider"]))),
        )

    def _zeros(self) -> tuple[Actions, Actions]:
        shape = self.n_worlds, self.settings.clients
        return np.zeros((*shape, 4), np.int64), np.zeros((self.n_worlds, 2), np.int64)

    def _deal(self, b: int) -> None:
        """Deal the images of a world's episode to its clients."""
        state, labels = self.state, self.images.train_labels
        rng = stream(self.seed, "deal", int(state.identity[b]), int(state.episode[b]))
        parts = split_clients(labels, self.settings.clients, self.settings.split, int(rng.integers(2**63)))
        state.order[b] = np.concatenate(parts)
        state.first[b, 1:] = np.cumsum([len(part) for part in parts])
        state.mix[b] = histogram(labels, parts, self.classes)

    def _look(self) -> Views:
        self.views: Views = observe(self.state, self.rules)
        return self.views

    def _checked(self, role: str, actions: Actions, shape: tuple[int, ...]) -> Actions:
        given, limits = np.asarray(actions), self._limits[role]
        if given.shape != (*shape, len(limits)) or given.dtype.kind not in "iu":
            raise ValueError(
                f"actions: of {role} they are {given.dtype} {given.shape}; give whole numbers {(*shape, len(limits))}"
            )
        if (given < 0).any() or (given >= limits).any():
            wrong = given[((given < 0) | (given >= limits)).any(axis=-1)][0]
            raise ValueError(
                f"actions: {wrong.tolist()} of a {role} is out of range; the choices are {limits.tolist()}"
            )
        return np.ascontiguousarray(given, np.int64)


def _check_range(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value < high:
        raise ValueError(f"{name}: {value!r} must be a whole number from {low} to {high - 1}")
