"""Files that somebody else wrote: one line says what is wrong. The dashboard shows pages to this machine."""

from __future__ import annotations

import http.client
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from edge_experts.baselines.leaderboard.data import Leaderboard
from edge_experts.baselines.pages.dashboard import DashboardError, build_page, serve
from edge_experts.envs import ScenarioError, TableError, load_scenario
from edge_experts.envs.io.typed_json import read_json
from edge_experts.envs.tables.quality_table import QualityTable

GOOD = json.loads((Path(__file__).parents[2] / "results/bench/text-v1/ppo/seed_0.json").read_text())
ROW = {"training_iteration": 1, "env_steps": 5, "time_total_s": 1.0, "cpu_time_s": 1.0, "episode_return_mean": None}


def changed(path: str, value: Any) -> dict[str, Any]:
    """A good result with one entry changed, or, by `...`, removed."""
    result = json.loads(json.dumps(GOOD))
    place: Any = result
    *parents, last = path.split("/")
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return dict(result)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "should be a valid dictionary"),
        (changed("seed", ...), "seed: is required"),
        (changed("seed", True), "seed: True is not valid"),
        (changed("normalised_score", float("nan")), "NaN is not a finite number"),
        (changed("normalised_score", "0.9"), "normalised_score: '0.9' is not valid"),
        (changed("curve", {}), "curve: {} is not valid"),
        (changed("curve/0/normalised_score", None), "curve.0.normalised_score: None is not valid"),
        (changed("curve/0/env_steps", -1), "curve.0.env_steps: -1 is not valid"),
        (changed("heldout", []), r"heldout: \[\] is not valid"),
        (changed("provenance/scenario_hash", ...), "provenance.scenario_hash: is required"),
        (changed("env", ""), "env: '' is not valid"),
        (changed("title", "x" * 10**6) | {"env_steps": "y" * 10**6}, "env_steps: 'yyy.* is not valid"),
    ],
)
def test_a_result_of_the_benchmark_is_checked(content: Any, said: str, tmp_path: Path) -> None:
    file = tmp_path / "text-v1" / "ppo" / "seed_0.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=f"report: '.*seed_0.json' is damaged: .*{said}|seed_0.json' is .*{said}"
    ) as error:
        Leaderboard.load(tmp_path, {})
    assert len(str(error.value)) < 600
    file.write_text(json.dumps(GOOD))
    assert Leaderboard.load(tmp_path, {}).envs == ["edge_experts/text-v1"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1, "a": 2}', b"[" * 100_000, b"1e999"])
def test_json_that_is_none_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"'.*x.json' is damaged: ") as error:
        read_json(file)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize(
    "change", [{"env_steps": None}, {"env_steps": "5"}, {"time_total_s": []}, {"module_returns": 1}]
)
def test_a_dashboard_of_a_damaged_run_is_one_line(change: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    lines = [ROW | change, ROW]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(
        DashboardError, match=f"line 1 is damaged: {next(iter(change))}: .* is not valid: .*; take that line out"
    ):
        build_page(tmp_path)


def test_a_dashboard_of_an_episode_without_its_columns_is_one_line(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("users", "providers", "experts"):
        parquet.write_table(pyarrow.table({"slot": [1, 2]}), tmp_path / f"{name}.parquet")
    with pytest.raises(DashboardError, match="users.parquet' lacks the columns ended, placed, quality, reward: record"):
        build_page(tmp_path)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(TableError, match="pipe.csv"):
        QualityTable.load(tmp_path / "pipe.csv")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ScenarioError, match="there is no file '.*pipe.yaml'"):
        load_scenario(tmp_path / "pipe.yaml")


def test_a_dashboard_of_a_damaged_recording_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "judges.json").write_text("[]")
    with pytest.raises(DashboardError, match="judges.json' is damaged"):
        build_page(tmp_path)
    (tmp_path / "judges.json").write_text('{"alpha": null, "flags": [], "judges": {}}')
    (tmp_path / "table.yaml").write_text("{rows: 3}")
    with pytest.raises(DashboardError, match="table.yaml' is damaged: smoke: is required"):
        build_page(tmp_path)


def test_a_page_is_for_this_machine_by_its_own_names_only() -> None:
    with serve("<p>mine</p>") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        for host, status in (
            (f"127.0.0.1:{port}", 200),
            (f"localhost:{port}", 200),
            (f"evil.example:{port}", 403),
            ("", 403),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.putrequest("GET", "/", skip_host=True)
            connection.putheader("Host", host)
            connection.endheaders()
            answer = connection.getresponse()
            assert answer.status == status and (b"mine" in answer.read()) == (status == 200), host
            connection.close()
        server.shutdown()
