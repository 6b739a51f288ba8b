"""What the dashboard shows: of a training run, and of an episode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_experts.agents.launch.results import RESULTS, read_rows

from .dashboard_html import Traces, facts_table, panels

SHOWN: dict[str, tuple[str, ...]] = {
    "users": ("slot", "ended", "placed", "quality", "reward"),
    "providers": ("slot", "provider", "price", "reward"),
    "experts": ("slot", "expert", "backlog", "busy_s"),
}
"""Columns of a recorded episode that are drawn, by table."""


class DashboardError(ValueError):
    """There is nothing to show. Names the folder and what it lacks."""


def run_sections(folder: Path) -> list[str]:
    """A run's facts and curves, and an episode of its last checkpoint where that can be played, as HTML."""
    try:
        rows = read_rows(folder / RESULTS)
    except ValueError as error:
        raise DashboardError(f"dashboard: {error}") from None
    if not rows:
        raise DashboardError(f"dashboard: '{folder / RESULTS}' holds no results yet")
    steps = [row["env_steps"] for row in rows]
    curves: list[tuple[str, str, Traces]] = []
    for key, title in (("normalised_score", "Normalised score"), ("episode_return_mean", "Return of all agents")):
        if any(row.get(key) is not None for row in rows):
            curves.append((title, "environment steps", [(title, steps, [row.get(key) for row in rows])]))
    modules = sorted({name for row in rows for name in row.get("module_returns", {})})
    returns = [(name, steps, [row.get("module_returns", {}).get(name) for row in rows]) for name in modules]
    curves.append(("Return by policy", "environment steps", returns))
    scalars = _read_scalars(folder)
    loads = {tag: points for tag, points in scalars.items() if "branch_load" in tag}
    entropies = {tag: points for tag, points in scalars.items() if "router_entropy" in tag}
    for title, found in (("Router load by branch", loads), ("Router entropy", entropies)):
        if found:
            curves.append(
                (title, "environment steps", [(_short(tag), *points) for tag, points in sorted(found.items())])
            )
    last = rows[-1]
    facts = {
        "iterations": last["training_iteration"],
        "environment steps": f"{last['env_steps']:,}",
        "time": f"{last['time_total_s']:.0f} s",
        "return": last.get("episode_return_mean"),
        "normalised score": last.get("normalised_score"),
    }
    sections = [facts_table(facts), panels("Learning", curves)]
    episode = _last_episode(folder)
    return sections + ([*episode_sections(episode, "last checkpoint, one episode")] if episode else [])


def episode_sections(tables: dict[str, dict[str, Any]], note: str = "") -> list[str]:
    """An episode's facts and pictures as HTML.

    Args:
        tables: As `Recorder.tables` gives them.
        note: Where it comes from; its facts are left out then.
    """
    users, providers, experts = (tables[name] for name in ("users", "providers", "experts"))
    slots = np.unique(users["slot"])

    def by(table: dict[str, Any], key: str, column: str) -> Traces:
        prefix, traces = "" if key == "expert" else f"{key} ", []
        for label in dict.fromkeys(table[key].tolist()):
            rows = table[key] == label
            traces.append((f"{prefix}{label}", table["slot"][rows], table[column][rows]))
        return traces

    def total(table: dict[str, Any], column: str) -> Any:
        return np.array([table[column][table["slot"] == slot].sum() for slot in slots])

    ends = sorted(set(users["ended"].tolist()) - {"none"})
    counts = [int((users["ended"] == how).sum()) for how in ends]
    placed = [name for name in dict.fromkeys(users["placed"].tolist()) if name]
    shares = [int((users["placed"] == name).sum()) for name in placed]
    done = users["ended"] == "on_time"
    facts = {
        "slots": len(slots),
        "requests": ", ".join(f"{count} {how}" for how, count in zip(ends, counts, strict=True)),
        "mean quality in time": f"{users['quality'][done].mean():.3f}" if done.any() else "-",
        "return of users": f"{users['reward'].sum():.1f}",
        "return of providers": f"{providers['reward'].sum():.1f}",
    }
    rewards = [("users", slots, total(users, "reward")), ("providers", slots, total(providers, "reward"))]
    busy = [(name, [name], [float(np.mean(values))]) for name, _, values in by(experts, "expert", "busy_s")]
    choices = [(name, [name], [share]) for name, share in zip(placed, shares, strict=True)]
    shown: list[tuple[str, str, Traces]] = [
        ("Reward by role", "slot", rewards),
        ("Price level by provider", "slot", by(providers, "provider", "price")),
        ("Backlog by expert, units of work", "slot", by(experts, "expert", "backlog")),
        ("Seconds of a slot that an expert computes", "bar", busy),
        ("Parts placed on", "bar", choices),
        (
            "Quality of requests composed in time",
            "slot, one mark a request",
            [("quality", users["slot"][done], users["quality"][done])],
        ),
    ]
    title = f"Episode ({note})" if note else "Episode"
    return [*([] if note else [facts_table(facts)]), panels(title, shown)]


def _last_episode(folder: Path) -> dict[str, dict[str, Any]] | None:
    """One episode of the run's last checkpoint, where it can be played in a world."""
    from edge_experts.agents.checkpoints.metadata import latest_checkpoint
    from edge_experts.envs import Recorder, World, play_episodes
    from edge_experts.envs.io.import_string import without_imports
    from edge_experts.envs.registry import EnvError, find

    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return None
    from edge_experts.agents.checkpoints.policy import CheckpointPolicy
    from edge_experts.agents.errors import CheckpointError

    try:
        with without_imports(f"checkpoint '{checkpoint}'"):  # looking at somebody's run must not run their code
            policy = CheckpointPolicy(checkpoint)
            market = find(policy.description["env"]).market
            if market is None:
                return None
            world = World(market, seed=1, overrides=policy.description["env_config"].get("overrides"))
    except (CheckpointError, EnvError, ValueError):
        return None
    recorder = Recorder(world)
    for _ in play_episodes(world, policy):
        recorder.note()
    return recorder.tables()


def read_episode(folder: Path) -> dict[str, dict[str, Any]]:
    """The tables of a recorded episode, as columns.

    Raises:
        DashboardError: if one is missing or cannot be read.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise DashboardError(
            "dashboard: recorded episodes need pyarrow: pip install 'edge-experts[dashboard]'"
        ) from None
    tables = {}
    for name in ("users", "providers", "experts"):
        try:
            table = pyarrow.parquet.read_table(folder / f"{name}.parquet")
        except (OSError, ValueError) as error:
            raise DashboardError(f"dashboard: '{folder / name}.parquet' cannot be read: {error}") from None
        missing = [column for column in SHOWN[name] if column not in table.column_names]
        if missing:
            raise DashboardError(
                f"dashboard: '{folder / name}.parquet' lacks the columns {', '.join(missing)}: record it anew"
            )
        tables[name] = {column: table[column].to_numpy(zero_copy_only=False) for column in table.column_names}
    return tables


def _read_scalars(folder: Path) -> dict[str, tuple[list[int], list[float]]]:
    """What the run wrote for TensorBoard about its routers."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 2000})
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if "branch_load" in tag or "router_entropy" in tag]
    return {tag: ([e.step for e in events.Scalars(tag)], [e.value for e in events.Scalars(tag)]) for tag in tags}


def _short(tag: str) -> str:
    parts = tag.split("/")
    return " ".join(part for part in parts if part not in ("learners", "__all_modules__"))
