"""A web page of a training run or of a recorded episode, drawn with Plotly and readable without a network."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = "results.jsonl"
Traces = list[tuple[str, Any, Any]]  # label, x, y

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 1em; color: #222; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 1.6em; }
table { border-collapse: collapse; } td, th { padding: .2em .8em .2em 0; text-align: left; }
.panels > div { min-width: 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 8px; }
"""


class DashboardError(ValueError):
    """There is nothing to show. Names the folder and what it lacks."""


def build_page(folder: Path) -> str:
    """The page of a run of `rllib train`, or of an episode recorded by `edge-experts play --record`.

    Args:
        folder: A results directory (of a run), or one with devices.parquet, providers.parquet and experts.parquet.

    Raises:
        DashboardError: if the folder is neither, or its files cannot be read.
    """
    if not folder.is_dir():
        raise DashboardError(f"dashboard: there is no folder '{folder}'")
    if (folder / RESULTS).is_file():
        return _page(f"Run {folder.name}", _run_sections(folder))
    if (folder / "devices.parquet").is_file():
        return _page(f"Episode {folder.name}", _episode_sections(read_episode(folder)))
    raise DashboardError(
        f"dashboard: '{folder}' is neither a run (it has no {RESULTS}) nor a recorded episode (no devices.parquet)"
    )


def serve(page: str, port: int = 0) -> ThreadingHTTPServer:
    """A server of the page on this machine only; call `serve_forever`.

    Args:
        page: HTML.
        port: 0: any free one; see `server_address`.

    Raises:
        DashboardError: if the port is taken.
    """
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, page.encode()))
    except OSError as error:
        raise DashboardError(f"--port: {port} cannot be used ({error.strerror}); take another, or 0 for any") from None


class _Handler(BaseHTTPRequestHandler):
    """Answers every request with the page."""

    def __init__(self, page: bytes, *args: Any) -> None:
        self._page = page
        super().__init__(*args)

    def do_GET(self) -> None:
        """Send the page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self._page)))
        self.end_headers()
        self.wfile.write(self._page)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


# what is shown ------------------------------------------------------------------------------------------------------


def _run_sections(folder: Path) -> list[str]:
    rows = _read_rows(folder / RESULTS)
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
    sections = [_facts(facts), _panels("Learning", curves)]
    episode = _last_episode(folder)
    return sections + ([*_episode_sections(episode, "last checkpoint, one episode")] if episode else [])


def _episode_sections(tables: dict[str, dict[str, Any]], note: str = "") -> list[str]:
    devices, providers, experts = (tables[name] for name in ("devices", "providers", "experts"))
    slots = np.unique(devices["slot"])

    def by(table: dict[str, Any], key: str, column: str) -> Traces:
        prefix, traces = "" if key == "expert" else f"{key} ", []
        for label in dict.fromkeys(table[key].tolist()):
            rows = table[key] == label
            traces.append((f"{prefix}{label}", table["slot"][rows], table[column][rows]))
        return traces

    def total(table: dict[str, Any], column: str) -> Any:
        return np.array([table[column][table["slot"] == slot].sum() for slot in slots])

    ends = sorted(set(devices["ended"].tolist()) - {"none"})
    counts = [int((devices["ended"] == how).sum()) for how in ends]
    placed = [name for name in dict.fromkeys(devices["placed"].tolist()) if name]
    shares = [int((devices["placed"] == name).sum()) for name in placed]
    done = devices["ended"] == "on_time"
    facts = {
        "slots": len(slots),
        "requests": ", ".join(f"{count} {how}" for how, count in zip(ends, counts, strict=True)),
        "mean quality in time": f"{devices['quality'][done].mean():.3f}" if done.any() else "-",
        "return of devices": f"{devices['reward'].sum():.1f}",
        "return of providers": f"{providers['reward'].sum():.1f}",
    }
    rewards = [("devices", slots, total(devices, "reward")), ("providers", slots, total(providers, "reward"))]
    busy = [(name, [name], [float(np.mean(values))]) for name, _, values in by(experts, "expert", "busy_s")]
    choices = [(name, [name], [share]) for name, share in zip(placed, shares, strict=True)]
    panels: list[tuple[str, str, Traces]] = [
        ("Reward by role", "slot", rewards),
        ("Price level by provider", "slot", by(providers, "provider", "price")),
        ("Backlog by expert, units of work", "slot", by(experts, "expert", "backlog")),
        ("Seconds of a slot that an expert computes", "bar", busy),
        ("Parts placed on", "bar", choices),
        (
            "Quality of requests composed in time",
            "slot, one mark a request",
            [("quality", devices["slot"][done], devices["quality"][done])],
        ),
    ]
    title = f"Episode ({note})" if note else "Episode"
    return [*([] if note else [_facts(facts)]), _panels(title, panels)]


def _last_episode(folder: Path) -> dict[str, dict[str, Any]] | None:
    """One episode of the run's last checkpoint, where it can be played in a world."""
    from edge_experts.agents.checkpoints.metadata import latest_checkpoint
    from edge_experts.envs import Recorder, World, play_episodes
    from edge_experts.envs.registry import EnvError, find

    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return None
    from edge_experts.agents.checkpoints.policy import CheckpointPolicy
    from edge_experts.agents.errors import CheckpointError

    try:
        policy = CheckpointPolicy(checkpoint)
        market = find(policy.description["env"]).market
    except (CheckpointError, EnvError, ValueError):
        return None
    if market is None:
        return None
    world = World(market, seed=1, overrides=policy.description["env_config"].get("scenario"))
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
    for name in ("devices", "providers", "experts"):
        try:
            table = pyarrow.parquet.read_table(folder / f"{name}.parquet")
        except (OSError, ValueError) as error:
            raise DashboardError(f"dashboard: '{folder / name}.parquet' cannot be read: {error}") from None
        tables[name] = {column: table[column].to_numpy(zero_copy_only=False) for column in table.column_names}
    return tables


def _read_rows(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DashboardError(f"dashboard: '{path}' is damaged: {error}") from None


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


# how it is shown ----------------------------------------------------------------------------------------------------


def _page(title: str, sections: Sequence[str]) -> str:
    from plotly.offline import get_plotlyjs

    body = "\n".join(sections)
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head>"
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>"
    )


def _facts(facts: dict[str, Any]) -> str:
    rows = ""
    for name, value in facts.items():
        if value is not None:
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            rows += f"<tr><th>{html.escape(name)}</th><td>{html.escape(shown)}</td></tr>"
    return f"<table>{rows}</table>"


def _panels(title: str, panels: Sequence[tuple[str, str, Traces]]) -> str:
    figures = "\n".join(_figure(*panel) for panel in panels if panel[2])
    return f"<h2>{html.escape(title)}</h2><div class='panels'>{figures}</div>"


def _figure(title: str, axis: str, traces: Traces) -> str:
    import plotly.graph_objects as go

    figure = go.Figure()
    for label, x, y in traces:
        x, y = np.asarray(x).tolist(), np.asarray(y).tolist()
        if axis == "bar":
            figure.add_trace(go.Bar(name=label, x=x, y=y))
        elif "mark" in axis:
            figure.add_trace(go.Scatter(name=label, x=x, y=y, mode="markers"))
        else:
            figure.add_trace(go.Scatter(name=label, x=x, y=y, mode="lines"))
    figure.update_layout(
        title=title,
        template="plotly_white",
        height=340,
        margin={"l": 50, "r": 20, "t": 50, "b": 45},
        xaxis_title=None if axis == "bar" else axis,
        showlegend=len(traces) > 1 and axis != "bar",
    )
    options = {"displayModeBar": False, "responsive": True}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=options))
