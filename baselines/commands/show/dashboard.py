"""`edge-experts dashboard`: show a run or a recorded episode in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_experts.envs.io.atomic import write_text
from edge_experts.envs.io.command_line import at_least, new_file

HELP = "show a run, a recorded episode or a recorded table in the browser"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument(
        "folder",
        type=Path,
        metavar="RUN|EPISODE|TABLE",
        help="of `rllib train`, of `edge-experts play --record`, or of `edge-experts record`",
    )
    command.add_argument("--port", type=at_least(0), default=8765, metavar="N", help="on this machine; 0: any free one")
    command.add_argument(
        "--html", type=new_file(".html"), metavar="F", help="write the page to a file instead of serving it"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the page, or serve it until Ctrl-C."""
    from ...pages.dashboard import build_page, serve

    page = build_page(arguments.folder)
    if arguments.html:
        write_text(arguments.html, page)
        print(f"wrote {arguments.html}")
        return
    with serve(page, arguments.port) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}  (Ctrl-C ends it)", flush=True)
        server.serve_forever()
