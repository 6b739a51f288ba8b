"""What agents observe and how they act: one table that builds the spaces, the documentation and the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .state import Params


@dataclass(frozen=True)
class Field:
    """A named stretch of an observation.

    Attributes:
        name: Key in `slices`.
        size: Number of entries, from the sizes of the world.
        low: Lowest value.
        high: Highest value.
        unit: What an entry of 1 stands for.
        meaning: One line.
    """

    name: str
    size: Callable[[Sizes], int]
    low: float
    high: float
    unit: str
    meaning: str


@dataclass(frozen=True)
class Sizes:
    """The sizes that decide the shape of observations and actions."""

    P: int
    U: int
    E: int
    X: int
    C: int
    loads: int
    H: int
    price_levels: int
    speed_levels: int
    view_levels: int
    power_factors: int
    J: int
    categories: int
    own_parts: bool
    tastes: bool
    period: int
    strict: bool
    scripted: int
    serving: bool
    gaps: bool

    @classmethod
    def of(cls, c: Any, f: Params) -> Sizes:
        """The sizes of a world."""
        return cls(
            P=int(c.P),
            U=int(c.U),
            E=int(c.E),
            X=int(c.X),
            C=int(c.C),
            loads=int(c.loads),
            H=len(f.device_power_w),
            price_levels=len(f.price_levels),
            speed_levels=len(f.speed_levels),
            view_levels=len(f.view_levels),
            power_factors=len(f.power_factors),
            categories=len(f.priors),
            J=int(c.J),
            own_parts=bool(c.own_parts),
            tastes=bool(c.taste != 0.0),
            period=int(c.period),
            strict=bool(c.strict_share > 0.0),
            scripted=int(c.scripted),
            serving=bool(c.serving),
            gaps=bool(c.has_gaps),
        )

    def count(self, role: str) -> int:
        """Users or providers in a world, agents or not: the rows of a role in every array."""
        return self.U if role == "user" else self.P

    def agents(self, role: str) -> int:
        """How many of them decide for themselves where their role acts: the first ones; scripted users stand last."""
        return self.U - self.scripted if role == "user" else self.P

    @property
    def variants(self) -> int:
        """Local experts of a user, where there is a choice of them."""
        return self.X - self.E if self.X - self.E > 1 else 0


USER_FIELDS = (
    Field("open", lambda n: 1, 0, 1, "flag", "the user holds a request"),
    Field("category", lambda n: n.categories, 0, 1, "one-hot", "category of the part that is next"),
    Field("later", lambda n: n.categories * n.own_parts, 0, 1, "parts of a request", "parts after it, by category"),
    Field("taste", lambda n: n.categories * n.tastes, 0, 1, "share", "the user's own mix of categories"),
    Field("value", lambda n: 1, 0, 1, "highest value of its kind", "value of a perfect answer"),
    Field("subtasks_left", lambda n: 1, 0, 1, "parts of a request", "parts still to be placed"),
    Field("deadline_left", lambda n: 1, 0, 1, "deadline of its kind", "slots until the request expires"),
    Field("context", lambda n: 1, 0, 4, "mean of its kind", "bits to upload with every part"),
    Field("battery", lambda n: 1, 0, 1, "devices.battery_j", "energy left"),
    Field(
        "local_budget",
        lambda n: 1,
        0,
        1,
        "devices.local_budget_units",
        "work the local experts may still do for this request",
    ),
    Field("local_backlog", lambda n: 1, 0, 4, "slot", "seconds of work queued on the device"),
    Field("last_latency", lambda n: 1, 0, 4, "deadline", "latency of the last composed request"),
    Field("turn", lambda n: 1, 0, 1, "devices.count", "place in this slot's order of service (0: first)"),
    Field("last_expert", lambda n: n.X, 0, 1, "one-hot", "expert of the previous part (from E on: local)"),
    Field("gate", lambda n: n.X, 0, 1, "quality", "the gate's reading of each expert's quality (from E on: local)"),
    Field("compute", lambda n: n.X, 0, 4, "slot", "expected seconds to compute a part at the announced speed"),
    Field(
        "quote",
        lambda n: n.E,
        0,
        4,
        "a part's share of the highest value of its kind",
        "expected payment for the part at the posted price",
    ),
    Field("backlog", lambda n: n.E, 0, 4, "queue_limit_s", "seconds of work queued at each expert"),
    Field("available", lambda n: n.E, 0, 1, "flag", "the expert is loaded and works"),
    Field("link", lambda n: n.P, -1, 2, "30 dB", "signal-to-noise ratio to each provider, highest power, whole band"),
    Field("strict", lambda n: int(n.strict), 0, 1, "flag", "only experts of a low hallucination rate may serve it"),
    Field("memory", lambda n: int(n.variants > 0), 0, 1, "largest memory", "the user's memory for a local expert"),
    Field("in_memory", lambda n: n.variants, 0, 1, "one-hot", "the local expert that is loaded"),
    Field("serving", lambda n: n.P if n.serving else 0, 0, 1, "one-hot", "the provider that serves the user"),
    Field("handover", lambda n: int(n.serving), 0, 1, "flag", "the serving provider has just changed"),
    Field("reachable", lambda n: n.P if n.gaps else 0, 0, 1, "flag", "the provider can be reached"),
    Field("host_views", lambda n: n.P if n.view_levels > 1 else 0, 0, 1, "most views", "views each provider renders"),
    Field(
        "host_power",
        lambda n: n.P if n.power_factors > 1 else 0,
        0,
        1,
        "highest factor",
        "downlink power of each provider",
    ),
)
PROVIDER_FIELDS = (
    Field("backlog", lambda n: n.C, 0, 4, "queue_limit_s", "seconds of work queued at each of its experts"),
    Field("loaded", lambda n: n.C, 0, 1, "flag", "which of its experts are loaded"),
    Field("loading", lambda n: n.loads, 0, 1, "time to load", "share of the loading time left"),
    Field("quality", lambda n: n.C, 0, 1, "quality", "training-split mean of its experts, weighed by the demand"),
    Field("margin", lambda n: n.C, -1, 4, "list price", "posted price less electricity per unit of work"),
    Field(
        "demand", lambda n: n.categories, 0, 1, "devices.count", "open requests by category of the part that is next"
    ),
    Field("tastes", lambda n: n.categories * n.tastes, 0, 1, "devices.count", "mixes of categories of the users there"),
    Field("until_decision", lambda n: int(n.period > 1), 0, 1, "providers.period", "slots until it may decide again"),
    Field("prices", lambda n: n.P, 0, 1, "highest level", "price level of every provider, its own first"),
    Field("speed", lambda n: 1, 0, 1, "highest level", "its compute speed"),
    Field("bandwidth", lambda n: 3, 0, 1, "one-hot", "its bandwidth policy"),
    Field("power", lambda n: 1, 0, 4, "all experts busy at nominal speed", "its power draw in the last slot"),
    Field("served", lambda n: 1, 0, 1, "parts of a slot", "parts served in the last slot"),
    Field("late", lambda n: 1, 0, 1, "parts of a slot", "of these, after the deadline"),
    Field("views", lambda n: int(n.view_levels > 1), 0, 1, "most views", "views it renders of an output"),
    Field("radio", lambda n: int(n.power_factors > 1), 0, 1, "highest factor", "its downlink transmit power"),
)
OBS_FIELDS: dict[str, tuple[Field, ...]] = {"user": USER_FIELDS, "provider": PROVIDER_FIELDS}

ROLES = ("user", "provider")
LEVELS: tuple[tuple[str, Callable[[Any], int], str], ...] = (
    ("price", lambda n: n.price_levels, "price level"),
    ("speed", lambda n: n.speed_levels, "compute-speed level"),
    ("bandwidth", lambda n: 3, "bandwidth policy: equal, by load, by channel"),
    ("load", lambda n: n.loads + 1, "0: keep; j: load the j-th expert of its catalogue"),
    ("views", lambda n: n.view_levels, "view level"),
    ("power", lambda n: n.power_factors, "downlink transmit-power level"),
)


def action_parts(role: str, sizes: Sizes) -> tuple[tuple[str, int, str], ...]:
    """Name, number of choices and meaning of each part of a role's action."""
    if role == "provider":
        return tuple((name, size(sizes), meaning) for name, size, meaning in LEVELS)
    place = "0..E-1: place the next part there; E..X-1: on a local expert; X: wait"
    if sizes.J > 1:
        place = "0..E-1: ask it; E..X-1: a local one; X: nobody; an expert named twice is asked once"
    experts = ["expert", *(f"expert_{j + 1}" for j in range(1, sizes.J))]
    return (*((name, sizes.X + 1, place) for name in experts), ("power", sizes.H, "transmit-power level"))


def slices(role: str, sizes: Sizes) -> dict[str, slice]:
    """Where each field of a role's observation lies. The kernel reads where it begins as `c.user_at.NAME`."""
    found, start = {}, 0
    for item in OBS_FIELDS[role]:
        found[item.name] = slice(start, start + item.size(sizes))
        start += item.size(sizes)
    return found


def observation_size(role: str, sizes: Sizes) -> int:
    """Length of a role's observation vector."""
    return sum(item.size(sizes) for item in OBS_FIELDS[role])


def action_sizes(role: str, sizes: Sizes) -> tuple[int, ...]:
    """Number of choices of each part of a role's action."""
    return tuple(size for _, size, _ in action_parts(role, sizes))


def describe(role: str, sizes: Sizes) -> str:
    """The observation and action of a role as Markdown tables."""
    lines = ["| field | entries | range | 1 stands for | meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| {i.name} | {i.size(sizes)} | {i.low:g} to {i.high:g} | {i.unit} | {i.meaning} |"
        for i in OBS_FIELDS[role]
        if i.size(sizes)
    ]
    lines += ["", "| action part | choices | meaning |", "|---|---|---|"]
    lines += [f"| {name} | {size} | {meaning} |" for name, size, meaning in action_parts(role, sizes)]
    return "\n".join(lines)
