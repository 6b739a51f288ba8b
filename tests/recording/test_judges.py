"""Judges that flip, obey, prefer their own or contradict one another are found; the composition rule is fitted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import Run
from scripted import Body, Script, between

from edge_experts.recording import expected_score, fit_coherence
from edge_experts.recording.calls.store import Reply
from edge_experts.recording.judges.report import INJECTION, agreement
from edge_experts.recording.prompts import Prompt
from edge_experts.recording.records import Answer, Fusion, Part, Record


def reply(text: str, logprobs: Any = None) -> Reply:
    return Reply(text, "stop", logprobs, 1, 1, 0.1, 0.0)


def tokens(*positions: dict[str, float]) -> dict[str, Any]:
    """Log-probabilities whose first token of each position is the one that was written."""
    content = []
    for position in positions:
        tops = [{"token": token, "logprob": float(np.log(p))} for token, p in position.items()]
        content.append({"token": next(iter(position)), "logprob": 0.0, "top_logprobs": tops})
    return {"content": content}


@pytest.mark.parametrize(
    ("text", "logprobs", "score"),
    [
        ("7", tokens({"7": 0.5, "8": 0.25, "9": 0.25}), 7.75),
        (" 7", tokens({" ": 1.0}, {"7": 0.8, " 8": 0.2}), 7.2),
        ("10", tokens({"10": 0.5, "9": 0.5}), 9.5),
        ("10", tokens({"1": 0.5, "9": 0.5}, {"0": 0.8, "\n": 0.2}), 0.5 * 9 + 0.5 * (0.8 * 10 + 0.2)),
        ("7", tokens({"7": 0.6, "The": 0.4}), 7.0),
        ("7", tokens({"7": 0.3, "The": 0.7}), None),
        ("7", tokens({"7": 0.9, "8": 0.9}), None),
        ("7", tokens({"8": 0.9}), None),
        ("7.5", tokens({"7": 1.0}), None),
        ("I say 7", tokens({"7": 1.0}), None),
        ("7", {"content": [{"token": "7", "top_logprobs": [{"token": "7", "logprob": float("nan")}]}]}, None),
        ("7", {"content": [{"token": "7", "top_logprobs": [{"token": "7", "logprob": "-1"}]}]}, None),
        ("7", {"content": []}, None),
        ("7", None, None),
    ],
)
def test_a_score_is_an_expectation_or_not_known(text: str, logprobs: Any, score: float | None) -> None:
    assert expected_score(reply(text, logprobs)) == (score if score is None else pytest.approx(score))


def judged(script: Script, record: Run, plan: Path, judge: Any) -> dict[str, Any]:
    script.judge, script.logprobs = judge, "none"
    plan.write_text(plan.read_text().replace("probes: 2", "probes: 8"))
    assert record() == 0
    return dict(json.loads((plan.parent / "out" / "judges.json").read_text()))


def test_bad_judges_are_found(record: Run, script: Script, plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first takes the first answer, obeys answers and counts words; the second thinks the opposite of its score."""

    def judge(body: Body) -> str:
        text = body["messages"][0]["content"]
        answer = between(text, "answer")[0]
        words = min(9, len(answer.split()) // 4)
        if body["model"] == "judge-2":
            return str(9 - words) if "Score the" in text else ("1" if "beta" in answer else "2")
        return "1" if "Score the" not in text else "10" if INJECTION in answer else str(words)

    report = judged(script, record, plan, judge)
    one, two = report["judges"]["one"], report["judges"]["two"]
    assert one["flips"] == {"mean": 1.0, "se": 0.0, "n": 8} and one["first_place"]["mean"] == 1.0
    assert two["flips"]["mean"] == 0.0 and two["first_place"]["mean"] == 0.5
    assert one["injection"]["mean"] > 2 > 0 > two["injection"]["mean"] and one["padding"]["mean"] > 0.5
    assert one["repeat_variance"]["mean"] == 0.0 and report["alpha"] < 0
    assert [re.sub(r"-?\d\.\d+", "X", flag) for flag in report["flags"]] == [
        "judge 'one' changes its mind in 100% of pairs when their order changes",
        "judges do not agree: Krippendorff's alpha is X",
    ]
    assert capsys.readouterr().out.count("beware: ") == 2


def test_a_judge_that_prefers_its_own_is_found(record: Run, script: Script, plan: Path) -> None:
    def judge(body: Body) -> str:
        text = body["messages"][0]["content"]
        own = body["model"] == "judge-1" and "alpha writes" in text and "beta writes" not in text
        return "1" if "Score the" not in text else "8" if own else "5"

    plan.write_text(plan.read_text().replace("model: judge-1", "family: alpha, model: judge-1"))
    report = judged(script, record, plan, judge)
    assert report["judges"]["one"]["own_family"] == {"mean": 3.0, "se": 0.0, "n": 8}
    assert report["judges"]["two"]["own_family"] is None


def test_judges_stand_beside_people(
    record: Run, script: Script, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.judge = lambda body: "4" if "alpha writes" in body["messages"][0]["content"] else "8"
    report = judged(script, record, plan, script.judge)
    assert report["judges"]["one"]["people"] is None
    asked, people = len(script.seen), plan.parent / "people.csv"
    plan.write_text(plan.read_text() + "anchors: people.csv\n")
    people.write_text("prompt,part,expert,score\n0,0,alpha,3\n0,0,beta,9\n1,1,alpha,2\n1,1,beta,6\n")
    assert record("--resume") == 0 and len(script.seen) == asked
    found = json.loads((plan.parent / "out" / "judges.json").read_text())["judges"]["two"]["people"]
    correlation = np.corrcoef([4, 8, 4, 8], [3, 9, 2, 6])[0, 1]
    assert found == {"mean": 1.0, "correlation": pytest.approx(correlation), "n": 4}
    for line, told in (("0,2,alpha,3", "line 2: part: '2' is not"), ("0,1,alpha,11", "line 2: score: 11 is outside")):
        people.write_text(f"prompt,part,expert,score\n{line}\n")
        capsys.readouterr()
        assert record("--resume") == 2 and told in capsys.readouterr().err


def test_agreement_is_krippendorffs() -> None:
    assert agreement([[1.0, 5.0, 9.0, None], [1.0, 5.0, 9.0, 4.0]]) == 1.0
    assert agreement([[1.0, 2.0, 3.0]]) is None and agreement([[5.0, 5.0], [5.0, 5.0]]) is None
    # by hand: D_o = mean of squared differences within units, D_e = that of all pairs of values
    scores = [[1.0, 2.0, 6.0], [2.0, 2.0, 5.0]]
    values = np.ravel(scores)
    expected = ((values[:, None] - values[None]) ** 2).sum() / (len(values) * (len(values) - 1))
    observed = np.mean([(a - b) ** 2 for a, b in zip(*scores, strict=True)])
    assert agreement(scores) == pytest.approx(1 - observed / expected)


def test_agreement_of_thousands_of_different_scores(rng: np.random.Generator) -> None:
    truth = rng.uniform(2, 8, 2000)
    scores = truth + rng.normal(0, 1.0, (2, 2000))
    values = np.ravel(scores)
    expected, observed = 2 * values.var(ddof=1), np.mean((scores[0] - scores[1]) ** 2)
    assert agreement(scores.tolist()) == pytest.approx(1 - observed / expected, abs=1e-3)


def recording_with(factor: float, rng: np.random.Generator, noise: float) -> list[Record]:
    """Prompts of three parts whose fusions are judged as the rule says with a factor, and some noise."""
    records = []
    for i in range(40):
        quality, words = rng.uniform(0.3, 0.9, (3, 2)), rng.integers(20, 200, (3, 2))
        parts = [Part(k, "text") for k in range(3)]
        for k, part in enumerate(parts):
            for e, name in enumerate("ab"):
                part.answers[name] = [Answer(reply("word " * int(words[k, e])), {"j": 10 * quality[k, e]}, 1)]
        record = Record(Prompt(str(i), "c", "text"), parts)
        for choice in ((0, 0, 0), (1, 1, 1), (0, 1, 1), (0, 1, 0)):
            at = np.arange(3), np.array(choice)
            changes = int(np.abs(np.diff(choice)).sum())
            worth = np.average(quality[at], weights=words[at]) * factor**changes + rng.normal(0, noise)
            fused = Answer(reply("x"), {"j": float(10 * worth)}, 1)
            record.fusions.append(Fusion(tuple("ab"[e] for e in choice), "random", fused))
        records.append(record)
    return records


def test_the_coherence_factor_of_fusions_is_found(rng: np.random.Generator) -> None:
    exact = fit_coherence(recording_with(0.83, rng, noise=0.0), seed=0)
    assert exact.factor == pytest.approx(0.83) and exact.r2 == pytest.approx(1.0) and exact.bias == pytest.approx(0.0)
    assert (exact.fusions, exact.changing) == (160, 80)
    noisy = fit_coherence(recording_with(0.83, rng, noise=0.1), seed=0)
    assert noisy.low is not None and noisy.high is not None and noisy.r2 is not None
    assert noisy.low < 0.83 < noisy.high and 0.01 < noisy.high - noisy.low < 0.1 and 0.3 < noisy.r2 < 0.9


def test_without_changes_of_expert_there_is_no_factor(rng: np.random.Generator) -> None:
    records = recording_with(0.83, rng, noise=0.0)
    for record in records:
        record.fusions = record.fusions[:2]
    fit = fit_coherence(records, seed=0)
    assert fit.factor is None and fit.low is None and fit.r2 == pytest.approx(1.0) and fit.changing == 0
    assert fit_coherence([], seed=0).fusions == 0
