"""Columns as numpy arrays and back agree with what pyarrow itself does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drpflow.data.arrow_arrays import from_arrow, to_arrow

KINDS = ["bool", "uint8", "int16", "int32", "int64", "float32", "float64"]
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@given(st.sampled_from(KINDS).flatmap(lambda k: hnp.arrays(k, st.integers(0, 40))))
def test_numbers_are_what_pyarrow_makes_of_them(array):
    ours = to_arrow(array)
    ours.validate(full=True)
    assert ours.equals(pa.array(array)) or array.dtype.kind == "f"
    back = from_arrow(pa.chunked_array([ours]))
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype


@given(st.lists(texts, max_size=6), st.lists(st.binary(max_size=6), min_size=1, max_size=6))
def test_texts_and_bytes(words, blobs):
    ours = to_arrow(np.array(words, object))
    ours.validate(full=True)
    assert ours.to_pylist() == words
    assert from_arrow(pa.chunked_array([ours])).tolist() == words
    cells = np.empty(len(blobs), object)
    cells[:] = blobs
    ours = to_arrow(cells)
    ours.validate(full=True)
    assert from_arrow(pa.chunked_array([ours])).tolist() == blobs


@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4),
)
def test_slices_and_chunks(kind, pieces):
    """Arrow arrays may begin within a buffer, booleans within a byte."""
    whole = np.arange(20).astype(kind)
    whole[::3] = 0
    chunks = [to_arrow(whole).slice(start, length) for start, length in pieces]
    expected = np.concatenate([whole[start : start + length] for start, length in pieces])
    np.testing.assert_array_equal(from_arrow(pa.chunked_array(chunks)), expected)


def test_lists_of_fixed_length():
    array = np.arange(12.0).reshape(4, 3)
    ours = to_arrow(array)
    np.testing.assert_array_equal(from_arrow(pa.chunked_array([ours])), array)
    sliced = pa.chunked_array([ours.slice(1, 2), ours.slice(0, 1)])
    np.testing.assert_array_equal(from_arrow(sliced), array[[1, 2, 0]])


def test_numbers_are_not_copied():
    array = np.arange(5.0)
    back = from_arrow(pa.chunked_array([to_arrow(array)]))
    assert np.shares_memory(back, array)


def test_nulls_of_others_become_nan():
    assert np.isnan(from_arrow(pa.chunked_array([[1, None]]))[1])


@pytest.mark.parametrize(
    "array", [np.zeros(2, "datetime64[s]"), np.zeros(2, complex), np.array([1, "a"], object)]
)
def test_what_no_column_holds_is_refused(array):
    with pytest.raises(TypeError, match="column"):
        to_arrow(array)
