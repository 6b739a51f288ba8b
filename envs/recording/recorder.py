"""Record episodes as Parquet: a row for every user, provider and expert in every slot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..io.atomic import replacing
from ..sim.state import ENDINGS
from ..sim.world import World

TABLES = ("users", "providers", "experts")


class Recorder:
    """Notes what happens in one world of a `World`, and writes it as three tables.

    Every table has the columns `episode` and `slot`, the index of the user, provider or expert, and all fields of its
    record in `state`; `placed` is an expert's name, `ended` how a request ended, `expert` the expert's name.

    Args:
        world: What is played; or an `EdgeEnv`.
        index: Which of its worlds.

    Example:
        >>> env = EdgeEnv("edge_experts/text-v1")
        >>> recorder = Recorder(env)
        >>> env.reset(seed=1)
        >>> ...                              # after every step: recorder.note()
        >>> recorder.save("episode")         # episode/users.parquet, providers.parquet, experts.parquet
    """

    def __init__(self, world: Any, index: int = 0) -> None:
        self.world: World = getattr(world, "world", world)
        self.index = index
        self._rows: dict[str, list[np.ndarray]] = {name: [] for name in TABLES}
        self._when: list[tuple[int, int]] = []

    def note(self) -> None:
        """Note the slot that has just been played."""
        state, b = self.world.state, self.index
        over = bool(state.clock.over[b])
        slot = self.world.scenario.episode.slots if over else int(state.clock.slot[b])
        self._when.append((int(state.clock.episode[b]) - over, slot))
        for name in TABLES:
            self._rows[name].append(np.asarray(getattr(state, name)[b]).copy())

    def tables(self) -> dict[str, dict[str, Any]]:
        """The tables so far, as columns by name."""
        names = [*self.world.scenario.experts, *(f"local {name}" for name in self.world.scenario.local_experts), "", ""]
        when, found = np.array(self._when, dtype=np.int64).reshape(-1, 2), {}
        for name, rows in self._rows.items():
            count = len(rows[0]) if rows else 0
            columns: dict[str, Any] = {
                "episode": np.repeat(when[:, 0], count),
                "slot": np.repeat(when[:, 1], count),
                name[:-1]: np.tile(np.arange(count), len(rows)),
            }
            stacked = np.concatenate(rows) if rows else np.zeros(0, np.asarray(getattr(self.world.state, name)).dtype)
            for column in stacked.dtype.names or ():
                columns[column] = stacked[column]
            if name == "users":
                columns["placed"] = np.array([names[e] for e in columns["placed"]], dtype=object)
                columns["ended"] = np.array([ENDINGS[how] for how in columns["ended"]], dtype=object)
            if name == "experts":
                columns["expert"] = np.array([names[e] for e in columns["expert"]], dtype=object)
            found[name] = columns
        return found

    def save(self, folder: str | Path) -> Path:
        """Write the tables into a folder, which is made; each file appears only when it is complete.

        Raises:
            ImportError: if pyarrow is not installed.
        """
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise ImportError("recording needs pyarrow: pip install 'edge-experts[parquet]'") from None
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        about = {"scenario": self.world.scenario.to_yaml(), "seed": str(self.world.seed)}
        for name, columns in self.tables().items():
            table = pyarrow.table(columns).replace_schema_metadata(about)
            with replacing(place / f"{name}.parquet") as part:
                pyarrow.parquet.write_table(table, part)
        return place
