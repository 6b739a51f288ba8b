"""A web page of a training run or of a recorded episode, drawn with Plotly and readable without a network."""

from __future__ import annotations

from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edge_experts.agents.launch.results import RESULTS

from .dashboard_html import page
from .dashboard_sections import DashboardError, episode_sections, read_episode, run_sections
from .recording_sections import JUDGES, recording_sections


def build_page(folder: Path) -> str:
    """The page of a run of `rllib train`, of an episode of `edge-experts play --record`, or of a recorded table.

    Args:
        folder: A results directory (of a run), one with users.parquet, providers.parquet and experts.parquet (of an
            episode), or one with judges.json (of `edge-experts record`).

    Raises:
        DashboardError: if the folder is none of them, or its files cannot be read.
    """
    if not folder.is_dir():
        raise DashboardError(f"dashboard: there is no folder '{folder}'")
    if (folder / RESULTS).is_file():
        return page(f"Run {folder.name}", run_sections(folder))
    if (folder / "users.parquet").is_file():
        return page(f"Episode {folder.name}", episode_sections(read_episode(folder)))
    if (folder / JUDGES).is_file():
        try:
            return page(f"Recording {folder.name}", recording_sections(folder))
        except ValueError as error:
            raise DashboardError(f"dashboard: {error}") from None
    raise DashboardError(
        f"dashboard: '{folder}' is neither a run (it has no {RESULTS}) nor a recorded episode (no users.parquet) "
        f"nor a recorded table (no {JUDGES})"
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
        """Send the page, to whoever asks this machine for it: another Host is a site that was made to point here."""
        port = self.server.server_port  # type: ignore[attr-defined]
        if self.headers.get("Host") not in {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}:
            self.send_error(403, "this page is for this machine only")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self._page)))
        self.end_headers()
        self.wfile.write(self._page)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""
