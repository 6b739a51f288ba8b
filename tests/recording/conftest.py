from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import Script, serving

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


@pytest.fixture
def script() -> Script:
    """What the endpoint does; to be changed."""
    return Script()


@pytest.fixture
def plan(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plan with six prompts, whose endpoints are the scripted one."""
    monkeypatch.setenv("EDGE_KEY", CANARY)
    with serving(script) as port:
        prompts = [{"id": i, "category": ("letter", "story")[i % 2], "text": f"task number {i}"} for i in range(6)]
        (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
        (tmp_path / "plan.yaml").write_text(PLAN.replace(":8000/", f":{port}/"))
        yield tmp_path / "plan.yaml"
