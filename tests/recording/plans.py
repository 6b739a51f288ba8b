"""What the tests of recording share: the plan of the documentation and its prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

PLAN = """\
prompts: prompts.jsonl
parts: 2                # sub-prompts of a prompt
replicas: 1             # answers of each expert to each sub-prompt
fusions: 4              # assignments a prompt that are fused and judged
gate: {base_url: "http://127.0.0.1:8000/v1", model: gate, key_env: EDGE_KEY}
experts:
  - {name: alpha, base_url: "http://127.0.0.1:8000/v1", model: alpha, key_env: EDGE_KEY, usd_in: 0.1, usd_out: 0.2, rpm: 600}   # dollars a million tokens
  - {name: beta, base_url: "http://127.0.0.1:8000/v1", model: beta, key_env: EDGE_KEY, usd_in: 1.0, usd_out: 2.0, rpm: 600}
fuser: {base_url: "http://127.0.0.1:8000/v1", model: fuser, key_env: EDGE_KEY}
judges:
  - {name: one, base_url: "http://127.0.0.1:8000/v1", model: judge-1, key_env: EDGE_KEY}
  - {name: two, base_url: "http://127.0.0.1:8000/v1", model: judge-2, key_env: EDGE_KEY}
"""  # noqa: E501
CANARY = "sk-canary-7f3b1c"
Run = Callable[..., int]


def write_plan(folder: Path, port: int, prompts: int) -> Path:
    """The plan of the documentation, with so many prompts, at a port."""
    rows = [{"id": i, "category": ("letter", "story")[i % 2], "text": f"task number {i}"} for i in range(prompts)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "plan.yaml").write_text(PLAN.replace(":8000/", f":{port}/"))
    return folder / "plan.yaml"
