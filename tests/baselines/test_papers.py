"""Papers beside ours: verdicts follow from the numbers, and what is missing is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_experts.baselines.cli import main
from edge_experts.baselines.commands.compare.reproduce import PAPERS
from edge_experts.baselines.papers import netmoe, object3d
from edge_experts.baselines.papers.comparison import AGREES, DIFFERS, OPEN, Comparison, Finding, gain, told
from edge_experts.baselines.papers.page import TITLES, papers_block

ROOT = Path(__file__).parents[2]


def test_published_rewards_are_put_between_random_and_the_bound() -> None:
    assert netmoe.published("drl", 1) == pytest.approx((42.6 - 40.5) / (43.4 - 40.5))
    assert netmoe.published("random", 0) == 0.0 and netmoe.published("bound", 1) == 1.0


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([0.9, 0.91, 0.92], [0.8, 0.81, 0.79], AGREES),
        ([0.8, 0.81, 0.79], [0.9, 0.91, 0.92], DIFFERS),
        ([0.8, 0.9], [0.8, 0.91], OPEN),
        ([0.8], [0.9], OPEN),
        ([], [], OPEN),
    ],
)
def test_a_gain_is_told_from_chance(first: list[float], second: list[float], verdict: str) -> None:
    assert gain(first, second)[1] == verdict


def test_runs_are_told_as_far_as_there_are_any() -> None:
    assert told([]) == "not measured" and told([0.5], " s") == "0.500 s (one run)"
    assert told([0.4, 0.6]).endswith("(2 runs)")


def _results(folder: Path, scores: dict[str, float]) -> Path:
    """Stored results of 3D generation, three seeds of each algorithm."""
    for name, score in scores.items():
        place = folder / "bench" / "object3d-v1" / name
        place.mkdir(parents=True)
        for seed in range(3):
            curve = [{"env_steps": 100 * k, "normalised_score": score * k / 4} for k in range(1, 5)]
            run = {"normalised_score": score + 0.001 * seed, "curve": curve}
            (place / f"seed_{seed}.json").write_text(json.dumps(run))
    return folder


def test_the_mixture_is_told_from_its_controls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object3d, "_paid", lambda providers, episodes: 10.0 * providers)
    scores = {"moe_ppo": 0.9, "ppo": 0.8, "dense_ppo": 0.95, "dense_work": 0.9}
    found = object3d.compare(_results(tmp_path, scores), 2)
    assert [f.verdict for f in found.findings[:3]] == [AGREES, "loses", OPEN]
    assert "less PPO +0.100 [" in found.findings[0].ours and "20.0, 40.0, 80.0" in found.findings[-1].ours
    assert "400 against 400" in found.findings[3].ours
    empty = object3d.compare(tmp_path / "none", 2)
    assert {f.verdict for f in empty.findings[:4]} == {OPEN} and "not measured" in empty.text()


def test_the_page_holds_every_paper(tmp_path: Path) -> None:
    assert set(PAPERS) == set(TITLES)
    stored = json.loads((ROOT / "results" / "papers.json").read_text("utf-8"))
    assert set(stored["papers"]) == set(PAPERS)
    page = papers_block(ROOT / "results" / "papers.json")
    assert all(f"## {title}" in page for title in TITLES.values())
    assert papers_block(tmp_path / "none.json") == ""
    row = Comparison("T", "S", "R.", [Finding("q", "p", "o", AGREES)], "Because.").text()
    assert row.startswith("*T*, S. R.\n\n|") and "| q | p | o | agrees |" in row and row.endswith("Because.")


def test_the_command_draws_them_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "papers.json"
    words = ["reproduce", "netmoe", "video", "networked", "--results", str(ROOT / "results"), "--episodes", "4"]
    assert main([*words, "--json", str(file)]) == 0
    found: dict[str, Any] = json.loads(file.read_text())["papers"]
    assert (
        list(found) == ["netmoe", "video", "networked"]
        and "| the DRL agent in the end | 0.72 |" in capsys.readouterr().out
    )
    verdicts = {f["question"]: f["verdict"] for f in found["networked"]["findings"]}
    assert verdicts["Dirichlet 0.1: FedGate less a FedAvg gate, personal accuracy"] == AGREES
    assert verdicts["Dirichlet 0.1: FedGate less a FedAvg gate, global accuracy"] == DIFFERS


def test_the_market_of_phones_is_played_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "compact", "--results", str(ROOT / "results"), "--episodes", "2"]) == 0
    assert "with all 8 variants" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["netmo"], "'netmo' is no paper of ours; did you mean 'netmoe'"),
        (["video", "--results", "{empty}"], "worth.json' is missing; give the folder of stored results"),
        (["video", "--results", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_reproduced_is_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", *(word.format(empty=tmp_path) for word in words)]) == 2
    err = capsys.readouterr().err.strip()
    assert said in err and "\n" not in err
