"""Write the pages that are made from code and results: `python -m edge_experts.baselines.pages`, or `make pages`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .build import draw_pictures, texts


def main() -> None:
    """Write all of them; with `--pictures` also a picture of every environment."""
    parser = argparse.ArgumentParser(prog="python -m edge_experts.baselines.pages", description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=Path(), help="folder of README.md, docs/ and results/")
    parser.add_argument("--pictures", action="store_true", help="also draw a slot of every environment")
    arguments = parser.parse_args()
    for path, text in texts(arguments.root).items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"wrote {path}")
    if arguments.pictures:
        draw_pictures(arguments.root)


if __name__ == "__main__":
    main()
