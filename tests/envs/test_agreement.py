"""The default gate and the coherence of video follow from recorded figures."""

from __future__ import annotations

import numpy as np
import pytest

from edge_experts.envs import load_scenario
from edge_experts.envs.physics.quality import gate_reading
from edge_experts.envs.schema import Gate
from edge_experts.envs.tables import QualityTable
from edge_experts.envs.tables.agreement import agreement, coherence_of_change, main


def test_the_default_gate_is_derived_from_the_second_judge() -> None:
    found = agreement(QualityTable.load("text"), "second_judge")
    assert (found.prompts, found.experts) == (1013, 6)
    assert found.within == pytest.approx(0.817, abs=0.001)
    assert (round(found.skill, 2), round(found.noise, 2)) == (Gate().skill, Gate().noise)


def test_modelled_readings_agree_as_well_as_the_second_judge(rng: np.random.Generator) -> None:
    table = QualityTable.load("text")
    judged = ~np.isnan(table.dimensions["second_judge"]).all(axis=0)
    recorded, prior = table.quality[:, judged], table.prior(table.quality, "all")[table.category][:, judged]
    noise = Gate().noise * rng.standard_normal(recorded.shape)
    readings = np.vectorize(gate_reading)(prior, recorded, Gate().skill, noise)
    within = [values - values.mean(axis=1, keepdims=True) for values in (recorded, readings)]
    assert np.corrcoef(within[0].ravel(), within[1].ravel())[0, 1] == pytest.approx(0.817, abs=0.02)


def test_the_coherence_of_video_is_that_of_the_recorded_consistency() -> None:
    coherence = round(coherence_of_change(QualityTable.load("video"), "temporal_consistency"), 2)
    assert load_scenario("video-v1").requests.coherence == coherence
    assert {load_scenario(name).kinds["video"].coherence for name in ("mixed-v1", "vehicles-v1")} == {coherence}


def test_the_command_prints_them(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["agreement"])
    main()
    printed = capsys.readouterr().out
    assert "skill 0.78, noise 0.10" in printed and "factor of 0.94" in printed
