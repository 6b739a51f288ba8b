"""README.md and docs/: what is made from code and results is up to date, what is linked exists, the site builds."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from pages import PAGES, README, ROOT, said

from edge_experts.baselines.leaderboard.data import Leaderboard
from edge_experts.baselines.leaderboard.page import digest, page, presets, with_block
from edge_experts.baselines.leaderboard.tables import short_table
from edge_experts.baselines.pages import blocks
from edge_experts.baselines.pages.build import texts
from edge_experts.baselines.pages.speed_tables import engine_block, training_block
from edge_experts.envs import shipped_ids

TEXT = README.read_text("utf-8")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def test_the_front_page_is_short() -> None:
    assert len(TEXT.split()) <= 900


def test_what_is_promised_is_tested() -> None:
    promised = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", said("promises.md"))
    assert len(promised) >= 15
    for file, name in promised:
        assert f"\ndef {name}(" in (ROOT / file).read_text("utf-8"), f"{file} has no {name}"


def test_every_environment_is_in_the_sites_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    for name in shipped_ids():
        assert f"environments/{name.split('/')[1]}.md" in menu


def test_what_is_made_is_up_to_date() -> None:
    """Made again with `make pages`."""
    for path, text in texts(ROOT).items():
        assert path.exists() and path.read_text("utf-8") == text, f"{path} is stale: make pages"
    for name in shipped_ids():
        assert (ROOT / "results" / "images" / f"{name.split('/')[1]}.png").read_bytes()[:4] == b"\x89PNG"


def test_a_block_without_its_marks_is_missed() -> None:
    begin, end = blocks.marks("tables")
    text = blocks.with_block(f"before\n{begin}\nold\n{end}\nafter\n", "tables", "new")
    assert text == f"before\n{begin}\n\nnew\n\n{end}\nafter\n" and blocks.with_block(text, "tables", "new") == text
    with pytest.raises(ValueError, match="has no lines '<!-- tables"):
        blocks.with_block(f"before\n{begin}\nold\nafter\n", "tables", "new")


LEADERBOARD = (ROOT / "results" / "leaderboard.md").read_text("utf-8")


def test_the_leaderboard_is_that_of_the_results(board: Leaderboard) -> None:
    """Made again with `make report`."""
    assert page(board) == LEADERBOARD
    assert (
        with_block(TEXT, short_table(board)) == TEXT
        and f"first of {len(board.names) + len(board.partial)} trained" in TEXT
    )
    for path, text in presets(board, ROOT / "configs" / "train").items():
        assert path.read_text("utf-8") == text, path.name


def test_the_figures_are_drawn_from_the_results(board: Leaderboard) -> None:
    from PIL import Image

    names = set(re.findall(r"images/(bench_[\w-]+\.png)", LEADERBOARD))
    assert len(names) >= 2 + len(board.envs)
    for name in names:
        with Image.open(ROOT / "results" / "images" / name) as picture:
            assert picture.info["Results"] == digest(board), name


def test_the_moving_picture_moves_and_is_no_burden() -> None:
    from PIL import Image

    path = ROOT / "results" / "images" / "market.gif"
    with Image.open(path) as picture:
        assert picture.n_frames == 24  # type: ignore[attr-defined]
    assert path.stat().st_size < 1.5e6 and "--slots 24 --save market.gif" in TEXT


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_and_targets_exist(name: str) -> None:
    text, makefile = (ROOT / name).read_text("utf-8"), (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make (\w+)|`make (\w+)", text, re.MULTILINE):
        assert f"\n{''.join(target)}:" in makefile, target
    for link, anchor in re.findall(r"\]\(([\w/.-]+)(?:#([\w-]+))?\)", text):
        assert (ROOT / link).exists(), link
        headings = re.findall(r"^#+ (.*)", (ROOT / link).read_text("utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings], anchor


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    """Words in capitals stand for any name."""
    folders = "envs|agents|recording|baselines|configs|docs|tests|examples|results"
    for path in re.findall(rf"`((?:{folders})/[\w/.-]*)`", page.read_text("utf-8")):
        parts = re.split(r"[/.]", path)
        if not any(part.isupper() for part in parts if part != "README"):
            assert (ROOT / path).exists(), path


def test_every_preset_has_its_row() -> None:
    for path in (ROOT / "configs" / "train").glob("*.py"):
        assert path.stem in ("__init__", "common") or f"`{path.stem}`" in said("training.md"), path.stem


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["version"] == VERSION
    assert citation["authors"] == [{"name": "The Edge Experts developers"}] and {"title", "message"} <= set(citation)


def test_speed_is_told_of_this_version_or_not_at_all(tmp_path: Path) -> None:
    for path in (ROOT / "results" / "speed").glob("*.json"):
        measured = json.loads(path.read_text("utf-8"))["versions"]["edge-experts"]
        assert measured.split(".")[:2] == VERSION.split(".")[:2], f"{path.name} is of version {measured}: measure again"
    assert engine_block(tmp_path) == "" and training_block(tmp_path) == ""


def test_speed_tables_hold_what_was_measured(tmp_path: Path) -> None:
    names = {"EdgeEnv, 20 agents": 3000.0, "mobile-env medium, 15 users": 24.0, "MoE-PPO, batched runner": 900.0}
    names |= {"MoE-PPO, bare loop": 1000.0, "MoE-PPO, stock runner, 0 x 32 envs": 90.0, "rware small-4ag": 0.0}
    names |= {"PPO, flat networks": 500.0, "PPO, entity networks": 250.0}
    rows = [
        {"name": name, "group": "any", "agents": 2, "worlds": 1, "rounds": 3, "cpu_env_steps": rate / 2}
        | {"cpu_agent_steps": rate, "wall_env_steps": rate, "wall_agent_steps": rate, "best_wall_agent_steps": rate}
        | {"peak_mb": 100.0, "error": None if rate else "no such user"}
        for name, rate in names.items()
    ]
    machine = {"processor": "a processor", "cpus": 2, "memory_gb": 8.0}
    data = {"machine": machine, "versions": {"edge-experts": "9.8.7", "ray": "2"}, "rounds": 3, "measurements": rows}
    for name in ("engine", "training"):
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    engine, training = engine_block(tmp_path), training_block(tmp_path)
    assert "Version 9.8.7 (ray 2); a processor, 2 processors, 8 GB; medians over 3 rounds." in engine
    assert "| EdgeEnv, 20 agents | mobile-env medium, 15 users | 125.0 |" in engine
    assert "not measured: no such user" in engine and "| rware small-4ag |\n" not in engine
    assert "900 agent steps a second: 10.0 times as many as RLlib's stock runner" in training and "90% of" in training
    assert "an iteration takes 2.0 times the processor time of flat networks" in training
