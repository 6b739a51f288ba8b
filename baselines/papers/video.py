"""Mixture of experts for video in the mobile metaverse (arXiv 2404.03321), beside video-v1."""

from __future__ import annotations

import json
from pathlib import Path

from .comparison import AGREES, DIFFERS, OPEN, UNSAID, Comparison, Finding

ENV = "edge_experts/video-v1"


def compare(results: Path, episodes: int) -> Comparison:
    """The paper beside recorded quality by scheme, and the market's."""
    worth = next(row for row in json.loads((results / "worth.json").read_text("utf-8")) if row["env"] == ENV)
    tables, market = worth["tables"]["heldout"], worth["market"]["heldout"]
    (fixed,) = tables["fixed_experts"]
    gained = tables["mixture"] - tables["single"]
    coherent = {factor: found for factor, found in sorted(worth["coherence"].items())}
    planned = market["coordinated"]
    one = market[f"fixed:{fixed}"]
    return Comparison(
        "Fusion of mixture of experts and generative artificial intelligence in mobile edge metaverse",
        "Liu et al., arXiv 2404.03321",
        "The abstract and the authors' page could be read: scenes that are split among experts give better and more "
        "consistent video (VBench). No number of its figures is at hand.",
        [
            Finding(
                "quality when each request goes to the expert that suits it",
                "better than one expert",
                f"{tables['single']:.3f} against {tables['fixed']:.3f} ({fixed})",
                AGREES if tables["single"] > tables["fixed"] else DIFFERS,
            ),
            Finding(
                "quality when the scenes of a request are split among experts",
                "better still",
                f"{tables['mixture']:.3f} ({gained:+.3f}; it pays in {tables['pays']:.0%} of requests)",
                AGREES if gained > 0.01 else OPEN,
            ),
            Finding(
                "how consistent neighbouring scenes must stay for that",
                "consistency improves",
                "a change of expert costs a factor, recorded as 0.94; " + _at(coherent),
                OPEN,
            ),
            Finding(
                "in a market, clips that miss their deadline",
                "not measured",
                f"{planned['missed']:.1%} split and planned, {one['missed']:.0%} all on {fixed}",
                UNSAID,
            ),
        ],
        "Choosing by request pays on recorded ratings; splitting a request hardly does, as the best two experts of "
        "a scene differ by less than a change of "
        "expert costs. What a mixture buys in a market is speed: the good experts are few and slow.",
    )


def _at(coherent: dict[str, object]) -> str:
    """What a mixture gains over one expert at the least and the greatest factor."""
    found = [(factor, row) for factor, row in coherent.items() if isinstance(row, dict)]
    if not found:
        return "see the page on what a mixture is worth"
    ends = [found[0], found[-1]]
    return ", ".join(f"at {factor} a mixture gains {row['mixture'] - row['single']:+.3f}" for factor, row in ends)
