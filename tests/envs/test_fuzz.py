"""Whatever tables and actions hold: they are played, or refused in one line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, integer_dtypes

from edge_experts.envs import TableError, World, load_scenario, make
from edge_experts.envs.tables.quality_table import QualityTable

TABLE = Path(__file__).parents[2] / "envs" / "tables"
CELLS = st.one_of(
    st.text(max_size=20),
    st.floats().map(repr),
    st.integers().map(str),
    st.sampled_from(["", "nan", "inf", "-0", "1e999", "\x00", "a\nb", '"', "0x10", "\uff11", "true"]),
)
JUNK = st.none() | st.booleans() | st.floats() | st.text(max_size=5)
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    """A table small enough to be read a hundred times."""
    table = next(path for path in sorted(TABLE.glob("*.csv")) if path.stem.startswith("text"))
    return list(csv.reader(io.StringIO(table.read_text("utf-8"))))[:40]


@FUZZ
@given(data=st.data())
def test_a_table_with_changed_cells(data: st.DataObject, rows: list[list[str]], tmp_path_factory: Any) -> None:
    changed = [list(row) for row in rows]
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.integers(0, len(changed) - 1))
        changed[row][data.draw(st.integers(0, len(changed[row]) - 1))] = data.draw(CELLS)
    file = tmp_path_factory.mktemp("fuzz") / "mine.csv"
    with file.open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        csv.writer(stream).writerows(changed)
    _load(file)


@FUZZ
@given(content=st.binary(max_size=300))
def test_bytes_that_are_no_table(content: bytes, tmp_path_factory: Any) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "mine.csv"
    file.write_bytes(content)
    with pytest.raises(TableError) as error:
        QualityTable.load(file)
    assert "\n" not in str(error.value)


def _load(file: Path) -> None:
    try:
        table = QualityTable.load(file)
    except TableError as error:
        assert "mine.csv" in str(error) and "\n" not in str(error) and len(str(error)) < 1000
    else:
        assert np.isfinite(table.quality).all()


@FUZZ
@given(arrays(integer_dtypes(), array_shapes(max_dims=4, max_side=5)), st.integers(-(2**40), 2**40))
def test_actions_of_any_form(given_actions: np.ndarray, number: int) -> None:
    world = WORLD
    for actions in (given_actions, np.full((2, 16, 2), number)):
        try:
            world.step(actions)
        except ValueError as error:
            assert "user actions: " in str(error) and "\n" not in str(error)
        assert np.isfinite(world.state.users.reward).all()


@FUZZ
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_actions_of_agents_that_are_no_actions(action: Any) -> None:
    env = make("edge_experts/text-v1")
    env.reset(seed=1)
    with pytest.raises(ValueError, match="actions: ") as error:
        env.step(dict.fromkeys(env.agents, action))
    assert "\n" not in str(error.value)


WORLD = World(load_scenario("edge_experts/text-v1"), 2)
