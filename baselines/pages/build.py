"""All pages, blocks and pictures of the documentation that are made from the code and the results."""

from __future__ import annotations

import json
from pathlib import Path

from edge_experts.agents import cli as rllib
from edge_experts.envs import World, shipped_ids
from edge_experts.federated.report import game_page
from edge_experts.federated.report.mixtures import mixtures, mixtures_table
from edge_experts.federated.report.page import block as federated_block
from edge_experts.federated.report.page import stored

from .. import cli
from ..competition.page import competition_block
from ..evaluation.transfer import transfer_table
from ..evaluation.worth import market_table, tables_table
from ..papers.page import papers_block
from . import environment_tables as tables
from .api_page import api_page
from .blocks import with_block
from .command_page import command_page
from .markets_tables import left_out_block, markets_block, sequence_block
from .scenario_pages import environment_page
from .speed_tables import against_block, engine_block, growth_block, training_block

PACKAGES = ("envs", "agents", "recording", "federated", "baselines")
PICTURE_SLOT = 32
SEQUENCE = "text-v1_then_video-v1_then_object3d-v1_then_vehicles-v1"


def texts(root: Path) -> dict[Path, str]:
    """Every file that is made, or holds a block that is made, with its text as it should be.

    Args:
        root: Folder of README.md, docs/ and results/.
    """
    docs, results = root / "docs", root / "results"
    references = json.loads((results / "references.json").read_text("utf-8"))
    worth = json.loads((results / "worth.json").read_text("utf-8"))
    transfer = json.loads((results / "transfer.json").read_text("utf-8"))
    played = (results / "federated" / "federated-v0.json").read_text("utf-8")
    made = {docs / "commands.md": command_page(cli.build_parser(), rllib.build_parser())}
    for package in PACKAGES:
        made[docs / "api" / f"{package}.md"] = api_page(root / package)
    for name in shipped_ids():
        made[docs / "environments" / f"{name.split('/')[1]}.md"] = environment_page(World(name), references)
    blocks = {
        root / "README.md": {"environments": tables.environments_table("docs/environments/")},
        docs / "environments" / "index.md": {
            "environments": tables.environments_table(""),
            "heuristics": tables.heuristics_table(references),
            "twins": tables.twins_table(),
        },
        docs / "evaluating.md": {"policies": tables.policies_table()},
        docs / "one_policy.md": {
            "transfer": transfer_table(transfer),
            "markets": markets_block(results / "bench" / "markets" / "all"),
            "left_out": left_out_block(results / "bench" / "markets", results / "bench", references),
            "sequence": sequence_block(results / "bench" / "sequences" / SEQUENCE),
        },
        docs / "competition.md": {
            "text": competition_block(results, "text-v1"),
            "providers": competition_block(results, "providers", field="providers.count"),
        },
        docs / "papers.md": {"papers": papers_block(results / "papers.json")},
        docs / "worth.md": {
            "tables": tables_table(worth),
            "market": market_table(worth),
        },
        docs / "federated.md": {
            "federated": federated_block(*stored(results / "federated")),
            "mixtures": mixtures_table(mixtures(results / "mixture")),
        },
        docs / "environments" / "federated-v0.md": {
            "spaces": game_page.spaces_block(),
            "settings": game_page.settings_block(),
            "scores": game_page.scores_block(json.loads(played)),
        },
        docs / "speed.md": {
            "worlds": engine_block(results / "speed"),
            "against": against_block(results / "speed"),
            "training": training_block(results / "speed"),
            "growth": growth_block(results / "speed"),
        },
    }
    for path, by_name in blocks.items():
        text = path.read_text("utf-8")
        for name, block in by_name.items():
            text = with_block(text, name, block)
        made[path] = text
    return made


def draw_pictures(root: Path) -> None:
    """A slot of every environment, played by *coordinated*."""
    from PIL import Image

    from edge_experts.envs.recording.render import draw

    from ..heuristics.policies import make_policy

    for name in shipped_ids():
        world = World(name, seed=3)
        policy = make_policy("coordinated", world)
        world.reset()
        for _ in range(min(PICTURE_SLOT, world.scenario.episode.slots - 1)):
            world.step(*policy.act(world))
        Image.fromarray(draw(world)).save(root / "results" / "images" / f"{name.split('/')[1]}.png")
