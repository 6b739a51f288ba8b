"""Quality tables: figures, splits, and every fault a table can have."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from edge_experts.envs import ExpertTable, QualityTable, TableError, TableWarning, World

SIZES = {"text": (1014, 8), "video": (419, 7), "object3d": (160, 8)}
HEADER = "prompt,category,expert,quality,output_bits,work_units,n_ratings"


def small(tmp_path: Path, *rows: str, header: str = HEADER, name: str = "mine.csv") -> Path:
    good = [f"{p},prose,{e},0.5,800,100,1" for p in range(10) for e in ("gemma-2b-it", "reka-core")]
    file = tmp_path / name
    file.write_text("\n".join([header, *(rows or good)]) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("name", SIZES)
def test_shipped_tables_are_complete(name: str) -> None:
    table = QualityTable.load(name)
    assert table.quality.shape == SIZES[name]
    assert table.modality == name
    assert set(table.status.values()) <= {"recorded", "modelled", "unstated"} and table.status["quality"] == "recorded"
    for values in (table.quality, *table.dimensions.values()):
        known = values[~np.isnan(values)]
        assert known.min() >= 0 and known.max() <= 1
    assert np.isfinite(table.quality).all()


def test_text_quality_is_the_recorded_score_rescaled() -> None:
    # WildBench scores 1..10: every rescaled value is one of the ten
    quality = QualityTable.load("text").quality
    assert np.allclose(np.round(quality * 9), quality * 9, atol=1e-4)


@pytest.mark.parametrize("name", SIZES)
def test_split_is_stratified_disjoint_and_stable(name: str) -> None:
    table = QualityTable.load(name)
    train, heldout = table.split("train"), table.split("heldout")
    assert set(train) | set(heldout) == set(range(len(table.prompts))) and not set(train) & set(heldout)
    for category in range(len(table.categories)):
        members = (table.category == category).sum()
        assert (table.category[heldout] == category).sum() == round(0.2 * members)
    shuffled = table.prompts[::-1]
    assert len(shuffled) == len(table.prompts)


def test_split_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    rows = [f"{p},prose,{e},0.5,800,100,1" for p in range(50) for e in ("gemma-2b-it", "reka-core")]
    first = QualityTable.load(small(tmp_path, *rows))
    second = QualityTable.load(small(tmp_path, *rows[::-1]))
    assert [first.prompts[i] for i in first.split("heldout")] == [second.prompts[i] for i in second.split("heldout")]
    assert len(first.split("heldout")) == 10


def test_prior_uses_training_prompts_only() -> None:
    table = QualityTable.load("text")
    rows = table.split("train")
    expected = table.quality[rows[table.category[rows] == 2]].mean(axis=0)
    assert np.allclose(table.prior(table.quality)[2], expected)
    assert not np.allclose(table.prior(table.quality), table.prior(table.quality, "all"))


def test_every_figure_of_an_expert_has_a_source() -> None:
    table = ExpertTable.load()
    assert len(table.experts) == 33
    for expert in table.experts.values():
        assert all(len(source) > 5 for source in expert.sources.values())
        assert expert.is_cloud == (expert.memory_gb == 0)
        assert len(expert.sources) >= (6 if expert.base else 5)
    variant, base = table["phi-3-mini-128k-Q4_K_M"], table["phi-3-mini-128k"]
    assert variant.recorded_as == "phi-3-mini-128k" == base.recorded_as and base.quality_factor == 1.0
    assert variant.memory_gb == pytest.approx(base.memory_gb * 39.60 / 131.43, rel=1e-4)
    assert variant.quality_factor == pytest.approx(2.8308 / 2.9674, rel=1e-4)
    assert variant.seconds_per_unit == pytest.approx(variant.memory_gb / 51.2, rel=1e-4)
    assert variant.hallucination_rate == pytest.approx(1 - (1 - 0.031) * variant.quality_factor, rel=1e-4)
    assert np.isnan(table["reka-core"].hallucination_rate)
    gemma = table["gemma-7b-it"]
    assert gemma.seconds_per_unit == pytest.approx(8.5e9 * 2 / 360e9, rel=1e-5)
    with pytest.raises(KeyError, match="did you mean 'gemma-7b-it'"):
        table["gemma-7b"]


FAULTS = {
    "duplicate": (["1,prose,reka-core,0.5,1,1,1"] * 2, "row 3.*'1'.*repeats row 2"),
    "missing row": (
        ["1,prose,reka-core,0.5,1,1,1", "1,prose,reka-edge,0.5,1,1,1", "2,prose,reka-core,0.5,1,1,1"],
        "prose/2.*no row for expert 'reka-edge'",
    ),
    "missing rows": (
        [f"{p},prose,{e},0.5,1,1,1" for p, e in ((1, "reka-core"), (2, "reka-edge"), (3, "reka-flash"))],
        "6 rows are missing, as every prompt needs every expert: add prose/1 of 'reka-edge', prose/1 of 'reka-flash', ",
    ),
    "missing cells": (
        ["1,prose,reka-core,,1,1,1", "1,prose,reka-edge,0.5,,1,"],
        "3 cells are empty: fill row 2 'quality', row 3 'output_bits', row 3 'n_ratings'$",
    ),
    "unknown experts": (
        ["1,prose,gpt-9,0.5,1,1,1", "1,prose,gpt-8,0.5,1,1,1", "2,prose,gpt-9,0.5,1,1,1"],
        r"2 experts are not in experts.csv: add them there or correct the names: 'gpt-9' \(row 2\), 'gpt-8' \(row 3\)",
    ),
    "missing cell": (["1,prose,reka-core,,1,1,1"], "row 2, column 'quality'.*empty"),
    "off scale": (["1,prose,reka-core,1.4,1,1,1"], r"row 2, column 'quality': value '1.4'.*outside \[0, 1\]"),
    "negative work": (["1,prose,reka-core,0.5,1,-3,1"], "column 'work_units': value '-3'"),
    "not a number": (["1,prose,reka-core,good,1,1,1"], "column 'quality': value 'good' is not a number"),
    "nan": (["1,prose,reka-core,nan,1,1,1"], "column 'quality': value 'nan'"),
    "unknown expert": (["1,prose,gpt-9,0.5,1,1,1"], "row 2, column 'expert': value 'gpt-9'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_row_column_and_value(tmp_path: Path, fault: str) -> None:
    rows, message = FAULTS[fault]
    with pytest.raises(TableError, match=message) as error:
        QualityTable.load(small(tmp_path, *rows))
    assert "mine.csv" in str(error.value)


def test_missing_column_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="column 'n_ratings'.*missing"):
        QualityTable.load(small(tmp_path, "1,prose,reka-core,0.5,1,1", header=HEADER.removesuffix(",n_ratings")))
    short = HEADER.removesuffix(",work_units,n_ratings")
    with pytest.raises(TableError, match="columns 'work_units', 'n_ratings': are missing: add them; the columns found"):
        QualityTable.load(small(tmp_path, "1,prose,reka-core,0.5,1", header=short))
    with pytest.raises(TableError, match="there is no such file.*text"):
        QualityTable.load(tmp_path / "none.csv")
    (tmp_path / "x.txt").write_text("a")
    with pytest.raises(TableError, match="unknown ending"):
        QualityTable.load(tmp_path / "x.txt")


def test_checksum_of_the_sidecar_is_enforced(tmp_path: Path) -> None:
    file = small(tmp_path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_suffix(".yaml").write_text(
        yaml.safe_dump({"sha256": digest, "modality": "text", "status": {"quality": "modelled"}})
    )
    table = QualityTable.load(file)
    assert table.sha256 == digest and table.status["quality"] == "modelled"
    file.write_text(file.read_text().replace("0.5", "0.6", 1))
    with pytest.raises(TableError, match="does not match the sha256"):
        QualityTable.load(file)


def test_optional_dimensions_may_be_blank_for_a_prompt_but_not_for_one_expert(tmp_path: Path) -> None:
    header = HEADER + ",style"
    rows = [
        "1,prose,reka-core,0.5,1,1,1,0.3",
        "1,prose,reka-edge,0.5,1,1,1,0.4",
        "2,prose,reka-core,0.5,1,1,1,",
        "2,prose,reka-edge,0.5,1,1,1,",
    ]
    table = QualityTable.load(small(tmp_path, *rows, header=header))
    assert np.isnan(table.dimensions["style"][1]).all() and table.dimensions["style"][0, 0] == 0.3
    rows[1] = rows[1].removesuffix("0.4")
    with pytest.raises(TableError, match="row 3, column 'style'"):
        QualityTable.load(small(tmp_path, *rows, header=header))


def test_parquet_loads_like_csv(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.csv
    import pyarrow.parquet

    file = small(tmp_path)
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(file), tmp_path / "mine.parquet")
    first, second = QualityTable.load(file), QualityTable.load(tmp_path / "mine.parquet")
    assert first.prompts == second.prompts and np.array_equal(first.quality, second.quality)


def test_a_table_of_ones_own_drives_a_world(tmp_path: Path) -> None:
    file = small(tmp_path)
    world = World(
        "text-v1",
        overrides={
            "tables.quality": str(file),
            "experts": ["gemma-2b-it", "reka-core"],
            "providers.count": 1,
            "tables.split": "all",
        },
    )
    assert np.all(world.params.scores.quality == 0.5)


def test_build_script_reproduces_the_shipped_tables(tmp_path: Path) -> None:
    from edge_experts.envs.tables import build, build_experts

    text = [
        {
            "prompt": "3",
            "category": "code",
            "expert": "gemma-2b-it",
            "score": "8",
            "output_words": "290",
            "output_bytes": "1790",
        }
    ]
    second = [{"prompt": "3", "expert": "gemma-2b-it", "score": "5.5"}]
    assert build.build_text(text, [])[0]["second_judge"] == ""
    row = build.build_text(text, second)[0]
    assert (
        row["second_judge"] == 0.5
        and row["quality"] == pytest.approx(7 / 9, abs=1e-6)
        and row["output_bits"] == 14320
        and row["work_units"] == pytest.approx(386.67)
    )
    rated = {"prompt": "1", "category": "action", "expert": "kling", "n_ratings": "12"}
    video = build.build_video(
        [
            {**rated, "dimension": "action", "mean_rating": "3", "scale_max": "3"},
            {**rated, "dimension": "motion_effects", "mean_rating": "3", "scale_max": "5"},
        ]
    )[0]
    assert (video["action"], video["motion_effects"], video["quality"], video["n_ratings"]) == (1.0, 0.5, 0.75, 24)
    build.write_table(tmp_path / "experts.csv", build_experts.all_rows())
    assert (tmp_path / "experts.csv").read_bytes() == ExpertTable.load().path.read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_many_missing_cells_are_counted(tmp_path: Path) -> None:
    rows = [f"{prompt},prose,reka-core,,1,1,1" for prompt in range(30)]
    with pytest.raises(TableError, match="30 cells are empty: fill row 2 'quality', .*row 9 'quality' and 22 more$"):
        QualityTable.load(small(tmp_path, *rows))


def test_experts_need_no_sources_but_are_warned_of(tmp_path: Path) -> None:
    figures = "parameters,memory_gb,seconds_per_unit,power_w,price_usd_per_unit"
    head = f"expert,modality,unit,host_class,reference_device,{figures}"
    file = tmp_path / "own.csv"
    file.write_text(f"{head}\nmine,text,token,edge,gpu,,8,0.01,200,1e-6\n")
    with pytest.warns(
        TableWarning, match="own.csv: does not say where its figures come from: parameters_source, memory_gb"
    ):
        table = ExpertTable.load(file)
    assert table["mine"].sources["power_w"] == "unstated" and np.isnan(table["mine"].parameters)
    file.write_text(f"{head.replace('power_w,', '').replace('memory_gb,', '')}\nmine,text,token,edge,gpu,,0.01,1e-6\n")
    with pytest.raises(TableError, match="own.csv: columns 'memory_gb', 'power_w': are missing"):
        ExpertTable.load(file)


@pytest.mark.parametrize("text", ["status: [quality]", "- a", "a: b: c"])
def test_a_broken_sidecar_is_named(tmp_path: Path, text: str) -> None:
    file = small(tmp_path)
    file.with_suffix(".yaml").write_text(text)
    with pytest.raises(TableError, match="mine.yaml: ((status )?must be a mapping|is not valid YAML)"):
        QualityTable.load(file)
