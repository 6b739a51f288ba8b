"""What is compared with what: algorithms, environments and seeds, and where each result lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from edge_experts.agents.market_names import markets_of, stages_of, title_of
from edge_experts.envs import Scenario
from edge_experts.envs.io.import_string import LoadError, is_reference, load_object
from edge_experts.envs.io.strict_yaml import explain, read_config, read_yaml
from edge_experts.envs.io.suggestions import did_you_mean
from edge_experts.envs.registry import find, is_market
from edge_experts.envs.schema import Count

FOLDER = Path("results") / "bench"
MARKETS = "markets"  # folder of the runs on several markets at once
SEQUENCES = "sequences"  # and of those on one market after another
# how a trained policy plays, which is chosen for each run on episodes of their own
MODES = MOST_LIKELY, DRAWN = "most likely", "drawn"
STRICT = ConfigDict(extra="forbid")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Entry:
    """An algorithm of the benchmark."""

    preset: str | None = None
    """Name of a file in `configs/train`."""
    title: str = ""
    """How tables call it."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings that replace those of the preset."""
    seeds: Count | None = None
    """Training seeds; those of the benchmark by default."""
    demonstrations: bool = False
    """Whether it learns from demonstrations, which are then recorded first."""
    algo: str | None = None
    """From outside: `module:name` or `file.py:name` of an RLlib Algorithm or of a policy."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Demonstrated:
    """What some presets learn from."""

    policy: str = "coordinated"
    episodes: Count = 128


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Benchmark:
    """The protocol, as `configs/benchmark.yaml` says it."""

    envs: tuple[str, ...]
    algorithms: dict[str, Entry]
    episodes: Count = 200
    curve_points: Count = 10
    curve_episodes: Count = 32
    demonstrations: Demonstrated = field(default_factory=Demonstrated)
    seeds: Count = 3
    steps: Count | None = None
    """Environment steps of a run; those of the presets by default."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Cell:
    """One run: an algorithm on an environment with a seed."""

    name: str
    entry: Entry
    env: str
    seed: int

    def folder(self, base: Path) -> Path:
        """Where its files go under a folder."""
        if stages := stages_of(self.env):
            named = "_then_".join(title_of(market) for market in stages)
            return base / SEQUENCES / named / self.name / f"seed_{self.seed}"
        if markets := markets_of(self.env):
            named = "_".join(title_of(market) for market in markets) if "," in self.env else self.env
            return base / MARKETS / named / self.name / f"seed_{self.seed}"
        return base / Path(self.env).stem.rpartition("/")[2] / self.name / f"seed_{self.seed}"

    def result(self, base: Path) -> Path:
        """Where its result goes."""
        place = self.folder(base)
        return place.with_name(f"{place.name}.json")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Task:
    """A cell with all that its process must know."""

    cell: Cell
    benchmark: Benchmark
    runs: Path
    """Where training runs go."""
    results: Path
    """Where results go."""
    references: Path
    """File with floor and reference of all scenarios."""

    def to_json(self) -> str:
        """As text that `from_json` reads."""
        return TypeAdapter(Task).dump_json(self, indent=1).decode()

    @staticmethod
    def from_json(text: str) -> Task:
        """The task of a text.

        Raises:
            ValueError: if it is none.
        """
        return TypeAdapter(Task).validate_json(text)


def load_benchmark(path: Path | None = None) -> Benchmark:
    """The shipped benchmark, or one of the user's own.

    Raises:
        ValueError: naming the file, the field and what is wrong with it.
    """
    if path is not None and not path.is_file():
        raise ValueError(f"--benchmark: there is no file '{path}'")
    return read_protocol(Benchmark, "benchmark.yaml", path)


def read_protocol(kind: type[T], shipped: str, path: Path | None) -> T:
    """A protocol out of a file of `configs`, or of the user's own.

    Raises:
        ValueError: naming the file, the field and what is wrong with it.
    """
    data = read_yaml(path) if path else read_config(shipped)
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise ValueError(f"{path or f'configs/{shipped}'}: {explain(error)}") from None


def select_cells(
    benchmark: Benchmark,
    algos: Sequence[str] | None = None,
    envs: Sequence[str] | None = None,
    seeds: int | None = None,
    outside: Sequence[str] = (),
) -> list[Cell]:
    """The cells that are asked for, seed after seed, so that every comparison grows evenly.

    Args:
        benchmark: The protocol.
        algos: Names of its algorithms; all by default.
        envs: Environments; those of the benchmark by default.
        seeds: Training seeds of each; those of the benchmark by default.
        outside: References of algorithms from outside.

    Raises:
        ValueError: for an unknown algorithm, with the nearest one, or an environment that is not one of ours.
    """
    entries = dict(benchmark.algorithms)
    for name in algos or ():
        if name not in entries:
            raise ValueError(f"--algos: '{name}' is not in the benchmark; {did_you_mean(name, entries)}")
    wanted = {name: entries[name] for name in (entries if algos is None else algos)}
    for reference in outside:
        wanted[name_of(reference)] = Entry(algo=reference, title=reference)
        kind_of(reference)
    for env in envs or ():
        if not stages_of(env) and not markets_of(env) and not is_market(env):
            find(env)  # which suggests the nearest, if there is no such environment at all
            raise ValueError(
                f"--envs: '{env}' is not one of ours: only theirs are the references that scores are normalised by"
            )
    found = []
    for name, entry in wanted.items():
        trains = entry.algo is None or kind_of(entry.algo) == "algorithm"
        count = seeds or entry.seeds or benchmark.seeds
        for env in envs or benchmark.envs:
            found += [Cell(name=name, entry=entry, env=env, seed=seed) for seed in range(count if trains else 1)]
    return sorted(found, key=lambda cell: cell.seed)


def name_of(reference: str) -> str:
    """A reference as the name of a folder."""
    place, _, name = reference.rpartition(":")
    return f"{Path(place).stem if place.endswith('.py') else place}.{name}"


def kind_of(reference: str) -> str:
    """`algorithm` for an RLlib Algorithm class, `policy` for anything else that can act.

    Raises:
        ValueError: if the reference leads nowhere, or to something that can do neither.
    """
    if not is_reference(reference):
        raise ValueError(f"--algo: '{reference}' must be module:name or file.py:name")
    try:
        found = load_object(reference)
    except LoadError as error:
        raise ValueError(f"--algo: {error}") from None
    if isinstance(found, type) and any(base.__name__ == "Algorithm" for base in found.__mro__):
        return "algorithm"
    if callable(found) or hasattr(found, "act"):
        return "policy"
    raise ValueError(f"--algo: '{reference}' is neither an RLlib Algorithm class nor something that can act")


def curve_key(scenario: Scenario) -> str:
    """Of the floor and reference, among the references, that learning curves are normalised by."""
    return f"curve:{scenario.hash()}"
