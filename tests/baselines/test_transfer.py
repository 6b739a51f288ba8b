"""Every policy on every market: scores as evaluations have them, and a table that says where a policy was trained."""

from __future__ import annotations

from typing import Any

import pytest

from edge_experts.baselines.cli import main
from edge_experts.baselines.evaluation.evaluate import evaluate
from edge_experts.baselines.evaluation.transfer import transfer, transfer_table
from edge_experts.baselines.heuristics.policy_spec import find_policies
from edge_experts.envs import load_scenario
from edge_experts.envs.seeds import REPORTED

NETMOE = "edge_experts/netmoe-v1"


def test_scores_are_those_of_an_evaluation() -> None:
    specs = find_policies(["myopic", "best=coordinated"], load_scenario(NETMOE))
    noted: list[str] = []
    result = transfer(specs, [NETMOE], episodes=12, note=noted.append)
    assert noted == [f"myopic on {NETMOE}", f"best on {NETMOE}"]
    by_hand = evaluate({"myopic": "myopic", "best": "coordinated"}, NETMOE, 12, REPORTED)
    for measured in by_hand:
        found = result["policies"][measured["policy"]]
        assert found["scores"][NETMOE] == pytest.approx(measured["normalised_score"]["mean"], abs=1e-9)
        assert found["trained_on"] == [] and found["twins"] == {}


def test_the_table_says_where_a_policy_was_trained() -> None:
    envs = ["edge_experts/text-v1", "edge_experts/video-v1"]
    result: dict[str, Any] = {
        "envs": envs,
        "policies": {
            "text": {"trained_on": envs[:1], "scores": {envs[0]: 0.8, envs[1]: 0.5}, "twins": {envs[0]: 0.7}},
            "both": {"trained_on": envs, "scores": {envs[0]: 0.75, envs[1]: 0.85}, "twins": {}},
            "none": {"trained_on": envs[:1], "scores": {envs[0]: 0.7, envs[1]: None}, "twins": {}},
        },
        "heuristics": {envs[0]: {"coordinated": 0.81}, envs[1]: {}},
    }
    lines = transfer_table(result).splitlines()
    assert lines[2] == "| text | **0.80** | 0.50 | 0.50 | 0.70 |"
    assert lines[3] == "| both | **0.75** | **0.85** | - | - |"
    assert lines[4] == "| none | **0.70** | - | - | - |", "no policy for a role that acts there"
    assert lines[5] == "| *coordinated* | 0.81 | - |  |  |"


def test_bad_input_is_one_line(capsys: Any) -> None:
    assert main(["transfer", "miopic"]) == 2
    assert "policy: 'miopic' is not known; did you mean 'myopic'" in capsys.readouterr().err
