"""What the market comes to: learners side by side, and three kinds of players who know what an equilibrium is.

Sources: best-response iteration and fictitious play, Brown, "Iterative solution of games by fictitious play", 1951,
over learned replies as in Heinrich, Lanctot and Silver, "Fictitious self-play in extensive-form games", ICML 2015;
policy-space response oracles, Lanctot et al., "A unified game-theoretic approach to multiagent reinforcement learning",
NeurIPS 2017.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs.seeds import CHOICE
from edge_experts.envs.sim.spec import ROLES

from ..evaluation.evaluate import play
from .game import Game, earned_by_role
from .profile import Profile, Side

ROUNDS = 3
PAYOFF_EPISODES = 32
Sides = dict[str, Side]
Solver = Callable[[Game], Sides]


def together(game: Game) -> Sides:
    """Both roles learn at once, each for its own reward."""
    policies = {role: game.fresh(role) for role in ROLES}
    game.train(policies, game.steps)
    return {role: Side.pure(policy) for role, policy in policies.items()}


def best_response(game: Game) -> Sides:
    """In turn, each role replies to the last policy of the other."""
    return _rounds(game, lambda found: {role: Side.pure(policies[-1]) for role, policies in found.items()})


def fictitious_play(game: Game) -> Sides:
    """In turn, each role replies to all policies of the other so far, mixed evenly."""
    return _rounds(game, lambda found: {role: Side.even(policies) for role, policies in found.items()})


def response_oracles(game: Game) -> Sides:
    """In turn, each role replies to what the other plays in an equilibrium of the game of all policies so far."""
    payoffs: dict[tuple[int, int], tuple[float, float]] = {}

    def solved(found: Mapping[str, list[Any]]) -> Sides:
        users, providers = (found[role] for role in ROLES)
        for i, user in enumerate(users):
            for j, provider in enumerate(providers):
                if (i, j) not in payoffs:
                    payoffs[i, j] = _payoff(game, user, provider)
        shape = len(users), len(providers)
        of = np.array([payoffs[pair] for pair in np.ndindex(*shape)]).reshape(*shape, 2)
        weights = equilibrium(of[..., 0], of[..., 1])
        return {role: Side(found[role], list(w)) for role, w in zip(ROLES, weights, strict=True)}

    return _rounds(game, solved)


SOLVERS: dict[str, Solver] = {
    "together": together,
    "best_response": best_response,
    "fictitious_play": fictitious_play,
    "response_oracles": response_oracles,
}
TITLES = {
    "together": "learning side by side",
    "best_response": "best-response iteration",
    "fictitious_play": "fictitious play",
    "response_oracles": "policy-space response oracles",
}


def _rounds(game: Game, played: Callable[[Mapping[str, list[Any]]], Sides]) -> Sides:
    """Rounds of replies, the first to a policy that has learned nothing; what is played in the end.

    Args:
        game: Its steps are shared among all replies.
        played: What roles play, by the policies that each has so far.
    """
    steps = game.steps // (ROUNDS * len(ROLES))
    found: dict[str, list[Any]] = {role: [game.fresh(role)] for role in ROLES}
    for turn in range(ROUNDS):
        for role in ROLES:
            (other,) = set(ROLES) - {role}
            reply = game.best_reply(role, found[role][-1], played(found)[other], steps)
            found[role] = [reply] if turn == 0 else [*found[role], reply]  # what has learned nothing is not kept
    return played(found)


def equilibrium(users: NDArray[np.float64], providers: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A Nash equilibrium of a game of two players: how often each plays each of its policies.

    Args:
        users: Payoffs of the row player, (m, n).
        providers: Payoffs of the column player, (m, n).

    Returns:
        Of several equilibria the one with the smallest support, by nashpy's support enumeration; of a degenerate game
        in which it finds none, what Lemke and Howson's algorithm finds.
    """
    import nashpy

    game = nashpy.Game(users, providers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # degenerate games are told of; any of their equilibria will do
        found = next(game.support_enumeration(), None)
        if found is None:
            found = game.lemke_howson(initial_dropped_label=0)
    row, column = (np.clip(np.asarray(side, float), 0.0, None) for side in found)
    return row / row.sum(), column / column.sum()


def _payoff(game: Game, user: Any, provider: Any) -> tuple[float, float]:
    """Mean return of a user and of a provider, where each role plays one policy."""
    profile = Profile({"user": Side.pure(user), "provider": Side.pure(provider)}, game.seed)
    return earned_by_role(play(profile, game.scenario, PAYOFF_EPISODES, CHOICE), game.scenario)
