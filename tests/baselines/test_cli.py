"""The `edge-experts` command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_experts.agents.cli import main as rllib
from edge_experts.baselines.cli import main
from edge_experts.envs.scenario import field_docs


def test_list_and_describe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "edge_experts/netmoe-v1" in shown and "coordinated" in shown and "fixed:EXPERT" in shown
    assert main(["describe", "text-v1", "--set", "devices.count=5"]) == 0
    page = capsys.readouterr().out
    assert "| backlog | 8 | 0 to 4 | queue_limit_s |" in page and "count: 5" in page and "## provider" in page
    assert all(f"{name.split('.')[-1]}:" in page for name, _ in field_docs())


def test_evaluate_several_policies(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    arguments = [
        "evaluate",
        "random",
        "myopic",
        "reference",
        "--env",
        "text-v1",
        "--episodes",
        "3",
        "--split",
        "heldout",
    ]
    assert main([*arguments, "--set", "episode.slots=20", "--json", str(file)]) == 0
    results = json.loads(file.read_text())
    assert [r["policy"] for r in results] == ["random", "myopic", "reference"]
    assert [r["normalised_score"]["mean"] for r in results][::2] == [0.0, 1.0]
    assert all(r["split"] == "heldout" and r["provenance"]["scenario"]["episode"]["slots"] == 20 for r in results)
    assert "| myopic " in capsys.readouterr().out and not list(tmp_path.glob(".*"))


def test_play_as_text_picture_and_film(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["play", "text-v1", "--policy", "myopic", "--slots", "2"]) == 0
    shown = capsys.readouterr().out
    assert "slot 1 of 100" in shown and "slot 2 of 100" in shown
    for name, magic in (("a.png", b"\x89PNG"), ("a.gif", b"GIF8")):
        assert main(["play", "text-v1", "--slots", "3", "--save", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes()[:4] == magic
    assert main(["play", "netmoe-v1"]) == 0
    capsys.readouterr()
    assert main(["play", "CartPole-v1", "--slots", "2"]) == 0  # no market: plays randomly if not told otherwise
    assert "step 2: " in capsys.readouterr().out


def test_calibrate_stores_references(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "references.json"
    assert main(["calibrate", "netmoe-v1", "--episodes", "4", "--references", str(file)]) == 0
    (entry,) = json.loads(file.read_text()).values()
    assert entry["env"] == "edge_experts/netmoe-v1" and entry["reference"] > entry["random"]
    assert "fixed:local" in capsys.readouterr().out


BAD = {
    "policy": (["evaluate", "myopc", "--env", "text-v1"], "policy: 'myopc' is not known; did you mean 'myopic'"),
    "fixed": (["evaluate", "fixed:gpt-9", "--env", "text-v1"], "'gpt-9' is not an expert"),
    "env": (["evaluate", "myopic", "--env", "txt-v0"], "did you mean 'edge_experts/text-v1'"),
    "set": (["evaluate", "myopic", "--env", "text-v1", "--set", "x"], "--set: 'x' must be FIELD=VALUE"),
    "field": (["describe", "text-v1", "--set", "devices.cuont=3"], "did you mean 'devices.count'"),
    "episodes": (["evaluate", "myopic", "--env", "text-v1", "--episodes", "0"], "--episodes: 0 must be 1 or more"),
    "folder": (
        ["evaluate", "random", "--env", "netmoe-v1", "--episodes", "1", "--json", "no/such/r.json"],
        "there is no folder 'no/such'",
    ),
    "checkpoint": (["evaluate", ".", "--env", "text-v1"], "is not a checkpoint of rllib train"),
    "ending": (["play", "text-v1", "--save", "a.mp3"], "--save: 'a.mp3' must end in .png, .gif or .mp4"),
    "file": (["play", "none.yaml"], "there is no file 'none.yaml'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD[case]
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown and shown.startswith("edge-experts: ") and "Traceback" not in shown
    assert not list(tmp_path.iterdir())


def test_unknown_options_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "myopic"]) == 2
    said = capsys.readouterr().err
    assert said == "edge-experts: the following arguments are required: --env\n"
    assert main(["evaluate", "--help"]) == 0 and "--episodes" in capsys.readouterr().out


@pytest.mark.parametrize("program", [main, rllib])
def test_shells_complete_commands(program: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert program(["--print-completion", "bash"]) == 0
    shown = capsys.readouterr().out
    assert "complete -o bashdefault -F" in shown and "evaluate" in shown and "--episodes" in shown


def test_completion_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert "needs shtab: pip install 'edge-experts[completion]'" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    import edge_experts

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edge-experts {edge_experts.__version__}\n"
    with pytest.raises(AttributeError, match="no attribute 'vers'"):
        edge_experts.vers  # noqa: B018


CORE_ONLY = """
import sys


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ray", "torch", "matplotlib", "pyarrow", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())
from edge_experts.agents.cli import main as rllib
from edge_experts.agents.cli import main as rllib
from edge_experts.baselines.cli import main
from edge_experts.envs import World

World("text-v1").reset()
assert main(["list"]) == 0 and main(["describe", "netmoe-v1"]) == 0 and main(["play", "text-v1", "--slots", "1"]) == 0
assert main(["evaluate", "myopic", "--env", "netmoe-v1", "--episodes", "2"]) == 0
assert main(["play", "text-v1", "--slots", "1", "--save", "no.png"]) == 2
assert main(["--version"]) == 0 and rllib(["--version"]) == 0
assert rllib(["list"]) == 2
"""


def test_without_the_extras_worlds_work_and_the_rest_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", CORE_ONLY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "edge-experts: drawing needs matplotlib: pip install 'edge-experts[plot]'" in done.stderr
    assert "netmoe-v1" in done.stdout and done.stdout.count("edge-experts 0.") == 2
    assert "No module named 'ray'; pip install 'edge-experts[rllib]'" in done.stderr and "Traceback" not in done.stderr
