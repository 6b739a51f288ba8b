"""Streams of random numbers that are set apart do not meet."""

from __future__ import annotations

from itertools import pairwise

import pytest

from edge_experts.envs import seeds
from edge_experts.envs.seeds import SEEDS, STREAMS, Stream, generic_test_seed


def test_streams_are_disjoint_and_all_are_listed() -> None:
    assert {value for value in vars(seeds).values() if isinstance(value, Stream)} == set(STREAMS)
    firsts = sorted(stream.first for stream in STREAMS)
    assert all(after - before >= SEEDS for before, after in pairwise(firsts))
    assert firsts[-1] + SEEDS <= 2**63, "keys of worlds end there"
    assert len({stream.name for stream in STREAMS}) == len(STREAMS)


def test_seeds_of_one_stream_are_different() -> None:
    assert len({seeds.REPORTED, seeds.CHOICE, seeds.VALIDATION}) == 3
    assert seeds.TEST.key(7) == seeds.TEST.key(0) + 7


@pytest.mark.parametrize("seed", [-1, SEEDS])
def test_a_seed_that_would_run_into_another_stream_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=f"seed: {seed} of evaluation must be 0 or more and below {SEEDS}"):
        seeds.TEST.key(seed)


def test_seeds_of_other_environments_fit_into_32_bits() -> None:
    assert generic_test_seed(0, 0) == 2**31
    assert 0 <= generic_test_seed(2**31 - 1, 200) < 2**31
