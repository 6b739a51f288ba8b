"""What comes from outside is refused in one line: JSON, YAML, targets of output, and how commands end."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import pytest

from edge_experts.baselines.cli import main
from edge_experts.envs.io.answer import CLOSED, LONGEST, WRONG, answer, say
from edge_experts.envs.io.atomic import write_text
from edge_experts.envs.io.command_line import at_least, json_object, new_file
from edge_experts.envs.io.strict_json import parse_json
from edge_experts.envs.io.strict_yaml import MOST_ALIASES, MOST_BYTES, parse_yaml, read_yaml, shortened

JSON = {
    '{"lr": NaN}': "NaN is not a finite number",
    '{"lr": -Infinity}': "-Infinity is not a finite number",
    '{"lr": [1, 1e999]}': "1e999 is not a finite number",
    '{"lr": 1, "lr": 2}': "the key 'lr' comes twice",
    '{"a": {"b": 1, "b": 1}}': "the key 'b' comes twice",
    '{"lr": 1': "is not valid JSON",
    "[" * 100_000: "nested too deeply",
}
YAML = {
    "a: 1\na: 2\n": "the key 'a' comes twice: leave one out",
    "a: {b: 1, b: 1}\n": "the key 'b' comes twice",
    "a: &x [1]\nb: [" + ", ".join(["*x"] * (MOST_ALIASES + 1)) + "]\n": "more than 100 aliases",
    "[" * 5000: "nested too deeply",
    "a: !!python/object/apply:os.system [true]\n": "could not determine a constructor",
}


@pytest.mark.parametrize("text", JSON)
def test_json_that_says_what_no_setting_can_mean(text: str) -> None:
    with pytest.raises(ValueError, match=JSON[text]):
        parse_json(text)


def test_json_is_read_otherwise_and_options_name_the_fault() -> None:
    assert parse_json('{"a": [1, 2.5, null, true, "x"]}') == {"a": [1, 2.5, None, True, "x"]}
    with pytest.raises(Exception, match="NaN is not a finite number in '{\"lr\": NaN}'"):
        json_object('{"lr": NaN}')
    with pytest.raises(Exception, match="is not valid JSON"):
        json_object("{lr: 1}")


@pytest.mark.parametrize("text", ["1" + "0" * 30, "-1", "1.5", "True", "nan", ""])
def test_counts_that_are_none(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="must be|is not a whole number"):
        at_least(0)(text)
    assert at_least(0)(str(2**53)) == 2**53


@pytest.mark.parametrize("text", YAML)
def test_yaml_that_is_ambiguous_or_made_to_harm(text: str) -> None:
    with pytest.raises(ValueError, match=YAML[text]) as caught:
        parse_yaml(text, "mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ") and "\n" not in str(caught.value)


def test_yaml_is_read_otherwise(tmp_path: Path) -> None:
    merged = parse_yaml("base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}\n", "mine.yaml")
    assert merged["mine"] == {"x": 1, "y": 3}
    large = tmp_path / "large.yaml"
    large.write_text("a: " + "x" * MOST_BYTES)
    with pytest.raises(ValueError, match="has more than 4,000,000 bytes"):
        read_yaml(large)


def test_values_are_shortened_in_messages() -> None:
    assert shortened("x" * 10) == "'" + "x" * 10 + "'"
    assert len(shortened("x" * 10**7)) < 200 and len(shortened([["y" * 99] * 99] * 99)) < 400


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="is not a regular file, and is left alone; take another name"):
        write_text(pipe, "x")
    with pytest.raises(Exception, match=r"pipe.json' is not a regular file"):
        (tmp_path / "pipe.json").symlink_to(pipe)
        new_file(".json")(str(tmp_path / "pipe.json"))
    assert pipe.is_fifo() and sorted(p.name for p in tmp_path.iterdir()) == ["pipe", "pipe.json"]


def test_a_device_is_refused_before_any_work(capsys: Any) -> None:
    line = ["evaluate", "myopic", "--env", "netmoe-v1", "--episodes", "1", "--json", "/dev/full"]
    assert main(line) == WRONG
    assert "'/dev/full' is not a regular file" in capsys.readouterr().err and Path("/dev/full").is_char_device()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b.json"), "tool: 'a/b.json': No space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied", "c"), "tool: 'c': Permission denied\n"),
        (ValueError("two\nlines"), "tool: two lines\n"),
    ],
)
def test_failures_are_one_line(error: Exception, said: str, capsys: Any) -> None:
    def work() -> int:
        raise error

    assert answer("tool", work, (ValueError,)) == WRONG
    assert capsys.readouterr().err == said


def test_long_messages_are_cut_in_the_middle(capsys: Any) -> None:
    say("tool", "begin " + "x" * 10**6 + " end")
    line = capsys.readouterr().err
    assert len(line) <= LONGEST + 10 and line.startswith("tool: begin") and line.endswith(" end\n")


def test_a_reader_that_goes_away_is_no_fault() -> None:
    code = "import sys; from edge_experts.baselines.cli import main; sys.exit(main(['bench', '--list']))"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert isinstance(child.stdout, io.BufferedReader) and child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b"" and child.wait(60) == CLOSED


BROKEN = """
import sys
import numpy as np

def act(observations, masks):
    {fault}
"""
FAULTS = {
    "raise KeyError('mine')": "KeyError: 'mine'",
    "raise ValueError('mine')": "ValueError: mine",
    "sys.exit(0)": r"SystemExit: ended with sys.exit\(0\)",
    "return np.zeros(3) + np.zeros(4)": "ValueError: operands could not be broadcast",
    "open('nowhere/at/all')": "FileNotFoundError: ",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_code_that_the_user_brought_are_called_theirs(fault: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "their.py").write_text(BROKEN.format(fault=fault))
    line = ["evaluate", f"{tmp_path}/their.py:act", "--env", "netmoe-v1", "--episodes", "1"]
    assert main(line) == WRONG
    assert re.search(rf"their.py, line 6: {FAULTS[fault]}.*; this is code of yours", capsys.readouterr().err)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_while_their_code_is_imported(fault: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "their.py").write_text(f"import sys\nimport numpy as np\nact = 1\n{fault.removeprefix('return ')}\n")
    assert main(["evaluate", f"{tmp_path}/their.py:act", "--env", "netmoe-v1", "--episodes", "1"]) == WRONG
    assert re.search(r"their.py.* cannot be imported: \w+: ", capsys.readouterr().err)


def test_faults_of_ours_keep_their_traceback() -> None:
    with pytest.raises(KeyError):
        answer("tool", lambda: {}["ours"], (ValueError,))
