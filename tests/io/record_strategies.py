"""Hypothesis strategies for records with any content that is stored."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drpflow.data.record import Record
from drpflow.io.records import NUMERIC_TYPES

# Text of any characters that UTF-8 can write, and numpy's fixed-width texts can hold.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
meta = st.dictionaries(
    texts.filter(lambda key: key != "$float"),
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(texts.filter(lambda key: key != "$float"), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=4,
)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
names = st.text("abcXYZ_", min_size=1, max_size=3)


def arrays(types: tuple[str, ...] = NUMERIC_TYPES) -> st.SearchStrategy[np.ndarray]:
    numeric = st.sampled_from(types).flatmap(lambda kind: hnp.arrays(kind, shapes))
    textual = hnp.arrays(object, shapes, elements=texts).map(lambda a: a.astype(np.str_))
    return numeric | textual


def records(types: tuple[str, ...] = NUMERIC_TYPES) -> st.SearchStrategy[Record]:
    return st.builds(
        Record,
        st.just("sky_wcs"),
        st.integers(1, 9),
        meta,
        st.dictionaries(names, arrays(types), max_size=4),
    )


def plain(value: object) -> object:
    """A copy in which NaN, which equals nothing, is a text."""
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def assert_same(a: Record, b: Record) -> None:
    """Two records agree exactly: types, shapes, bits (but for sign and payload of NaN)."""
    assert (a.kind, a.version, plain(a.meta)) == (b.kind, b.version, plain(b.meta))
    assert list(a.arrays) == list(b.arrays)
    for name, array in a.arrays.items():
        other = b.arrays[name]
        assert array.shape == other.shape
        assert array.dtype == other.dtype or array.dtype.kind == other.dtype.kind == "U"
        np.testing.assert_array_equal(array, other)
        if array.dtype.kind == "f":
            real = ~np.isnan(array)
            np.testing.assert_array_equal(np.signbit(array[real]), np.signbit(other[real]))
