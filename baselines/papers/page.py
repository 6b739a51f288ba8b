"""Papers beside ours, from what `edge-experts reproduce` wrote."""

from __future__ import annotations

import json
from pathlib import Path

from .comparison import Comparison, Finding

TITLES = {
    "netmoe": "Expert selection by DRL",
    "object3d": "Multi-agent MoE-PPO for 3D generation",
    "video": "Mixture of experts for video",
    "compact": "Compact models on devices",
    "networked": "Federated networked mixture of experts",
}


def papers_block(file: Path) -> str:
    """All comparisons of a file; nothing if there is none."""
    if not file.is_file():
        return ""
    parts = []
    for name, told in json.loads(file.read_text("utf-8"))["papers"].items():
        findings = [Finding(**finding) for finding in told.pop("findings")]
        parts += [f"## {TITLES[name]}", Comparison(**told, findings=findings).text()]
    return "\n\n".join(parts)
