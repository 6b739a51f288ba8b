"""Whatever the descriptions in a checkpoint say: it is played, or refused in one line, and no code is run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_experts.agents.checkpoints.manifest import MANIFEST, verify, write_manifest
from edge_experts.agents.checkpoints.metadata import DESCRIPTION
from edge_experts.agents.checkpoints.modules import MODULES
from edge_experts.agents.checkpoints.policy import CheckpointPolicy
from edge_experts.agents.checkpoints.weights import zoo
from edge_experts.agents.errors import CheckpointError
from edge_experts.envs import World

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    copy = tmp_path_factory.mktemp("fuzz") / "netmoe"
    shutil.copytree(zoo()["netmoe"], copy)
    return copy


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all entries, but those of long lists of numbers."""
    inner = data.items() if isinstance(data, dict) else enumerate(data[:3]) if isinstance(data, list) else ()
    return [path] * bool(path) + [place for key, value in inner for place in _places(value, (*path, key))]


@FUZZ
@given(data=st.data())
def test_descriptions_that_were_changed(data: st.DataObject, folder: Path) -> None:
    file = folder / data.draw(st.sampled_from([DESCRIPTION, MODULES]))
    original = file.read_text()
    content = json.loads(original)
    *parents, last = data.draw(st.sampled_from(_places(content)))
    place = content
    for key in parents:
        place = place[key]
    place[last] = data.draw(JSON)
    try:
        file.write_text(json.dumps(content))
        write_manifest(folder)
        try:
            world = World("edge_experts/netmoe-v1")
            world.step(*CheckpointPolicy(folder).act(world))
        except CheckpointError as error:
            assert "\n" not in str(error) and str(folder.name) in str(error)
    finally:
        file.write_text(original)
        write_manifest(folder)


@FUZZ
@given(content=JSON)
def test_manifests_of_any_kind(content: Any, folder: Path) -> None:
    original = (folder / MANIFEST).read_text()
    try:
        (folder / MANIFEST).write_text(json.dumps(content))
        with pytest.raises(CheckpointError) as error:
            verify(folder)
        assert "\n" not in str(error.value)
    finally:
        (folder / MANIFEST).write_text(original)
    verify(folder)
