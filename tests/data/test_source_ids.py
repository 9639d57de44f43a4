"""Identifiers of sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.data.source_ids import make_source_ids, unpack_source_ids
from drpflow.errors import InputError


@given(st.integers(0, 2**33 - 1), st.integers(0, 1023), st.integers(1, 50))
def test_round_trip(visit: int, detector: int, count: int) -> None:
    ids = make_source_ids(visit, detector, count)
    assert (ids > 0).all()
    visits, detectors, numbers = unpack_source_ids(ids)
    assert (visits == visit).all()
    assert (detectors == detector).all()
    np.testing.assert_array_equal(numbers, np.arange(1, count + 1))


def test_distinct_between_images() -> None:
    parts = [make_source_ids(v, d, 3) for v in (0, 1, 10**9) for d in (0, 1, 188)]
    assert np.unique(np.concatenate(parts)).size == 27


@pytest.mark.parametrize(
    ("visit", "detector", "count", "what"),
    [(2**33, 0, 1, "visit"), (1, 1024, 1, "detector"), (1, 1, 2**20, "number"), (-1, 0, 1, "-1")],
)
def test_what_does_not_fit_is_named(visit: int, detector: int, count: int, what: str) -> None:
    with pytest.raises(InputError, match=what):
        make_source_ids(visit, detector, count)
