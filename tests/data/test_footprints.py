"""Runs of pixels and the label image say the same; offsets, peaks and boxes fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from drpflow.data.footprints import Footprints
from drpflow.data.mask import Mask

LABELS = hnp.arrays(
    np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 4)
)


@given(LABELS)
def test_labels_round_trip(labels: NDArray[np.int32]) -> None:
    footprints = Footprints.from_labels(labels)
    assert len(footprints) == labels.max()
    np.testing.assert_array_equal(footprints.labels(labels.shape), labels)


@given(LABELS)
def test_areas_and_boxes_are_those_of_the_pixels(labels: NDArray[np.int32]) -> None:
    footprints = Footprints.from_labels(labels)
    areas, boxes = footprints.areas(), footprints.boxes()
    for row in range(len(footprints)):
        y, x = np.nonzero(labels == row + 1)
        assert areas[row] == y.size
        want = (x.min(), x.max() + 1, y.min(), y.max() + 1) if y.size else (0, 0, 0, 0)
        assert tuple(boxes[row]) == want


@given(LABELS, st.data())
def test_selected_footprints_are_the_same_pixels(
    labels: NDArray[np.int32], data: st.DataObject
) -> None:
    footprints = Footprints.from_labels(labels)
    rows = data.draw(st.permutations(range(len(footprints))))
    chosen = footprints.select(rows)
    again = chosen.labels(labels.shape)
    for new, old in enumerate(rows):
        np.testing.assert_array_equal(again == new + 1, labels == old + 1)


def test_peaks_are_sorted_into_footprints_brightest_first() -> None:
    labels = np.zeros((6, 8), np.int32)
    labels[1:3, 1:4] = 1
    labels[4, 5:8] = 2
    x = [1.2, 6.4, 3.4, 0.0, 40.0]
    y = [0.6, 4.0, 2.4, 5.0, 1.0]
    footprints = Footprints.from_labels(labels, x, y, [5.0, 9.0, 7.0, 99.0, 99.0])
    assert footprints.first_peak.tolist() == [0, 2, 3]
    assert footprints.peak_x.tolist() == [3.4, 1.2, 6.4]
    assert footprints.peak_significance.tolist() == [7.0, 5.0, 9.0]
    second = footprints.select(np.array([False, True]))
    assert second.n_peaks().tolist() == [1]
    assert second.peak_x.tolist() == [6.4]


def test_mark_sets_the_plane_at_the_pixels_alone() -> None:
    labels = np.zeros((5, 5), np.int32)
    labels[2, 1:4] = 1
    mask = Mask.zeros((5, 5))
    mask.set("SAT", labels > 0)
    Footprints.from_labels(labels).mark(mask, "DETECTED")
    np.testing.assert_array_equal(mask.any("DETECTED"), labels > 0)
    np.testing.assert_array_equal(mask.any("SAT"), labels > 0)


def test_values_of_the_pixels_follow_the_runs() -> None:
    labels = np.array([[1, 0, 2], [1, 1, 2]], np.int32)
    image = np.arange(6.0).reshape(2, 3)
    footprints = Footprints.from_labels(labels)
    assert image[footprints.pixels()].tolist() == [0, 3, 4, 2, 5]
    assert footprints.first_value().tolist() == [0, 3, 5]


def test_empty() -> None:
    none = Footprints.empty()
    assert len(none) == 0
    assert none.boxes().shape == (0, 4)
    assert not none.labels((3, 3)).any()
    assert len(none.select([])) == 0


def test_arrays_that_do_not_fit_are_refused() -> None:
    good = Footprints.from_labels(np.ones((2, 2), np.int32), [0.0], [0.0])
    parts = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(ValueError, match="first_span must rise"):
        Footprints(**{**parts, "first_span": np.array([0, 1])})
    with pytest.raises(ValueError, match="have lengths"):
        Footprints(**{**parts, "span_x0": parts["span_x0"][:1]})
    with pytest.raises(ValueError, match="1 footprints have runs, 0 peaks"):
        Footprints(
            **{
                **parts,
                "first_peak": np.array([0]),
                "peak_x": [],
                "peak_y": [],
                "peak_significance": [],
            }
        )
