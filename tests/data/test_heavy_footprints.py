"""Sources with the light of their own."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.footprints import Footprints
from drpflow.data.heavy_footprints import HeavyFootprints


def two_sources() -> tuple[np.ndarray, HeavyFootprints]:
    labels = np.zeros((8, 9), np.int32)
    labels[1:4, 1:3] = 1
    labels[2, 3] = 1
    labels[5:7, 4:8] = 2
    image = np.arange(72, dtype=np.float32).reshape(8, 9)
    footprints = Footprints.from_labels(labels, [5, 1], [6, 2], [3.0, 9.0])
    return image, HeavyFootprints.from_image(footprints, image)


def test_values_are_those_of_the_pixels_in_the_order_of_the_runs() -> None:
    image, sources = two_sources()
    np.testing.assert_array_equal(sources.first_value, [0, 7, 15])
    np.testing.assert_array_equal(sources.values[:7], [10, 11, 19, 20, 21, 28, 29])
    np.testing.assert_array_equal(sources.sums(), [138, image[5:7, 4:8].sum()])
    np.testing.assert_array_equal(sources.peak_x, [1, 5])
    np.testing.assert_array_equal(sources.peak_y, [2, 6])


@pytest.mark.parametrize("rows", [[1], [1, 0], [], np.array([False, True])])
def test_select_takes_the_pixels_along(rows: object) -> None:
    image, sources = two_sources()
    chosen = sources.select(rows)
    assert len(chosen) == (1 if isinstance(rows, np.ndarray) else len(rows))  # type: ignore[arg-type]
    np.testing.assert_array_equal(chosen.values, image[chosen.footprints.pixels()])


def test_adding_one_source_to_an_image() -> None:
    image, sources = two_sources()
    blank = np.ones_like(image)
    sources.add_to(blank, 1)
    want = np.ones_like(image)
    want[5:7, 4:8] += image[5:7, 4:8]
    np.testing.assert_array_equal(blank, want)


def test_sources_without_a_peak_or_with_too_few_values_are_refused() -> None:
    _, sources = two_sources()
    with pytest.raises(ValueError, match="15 pixels"):
        HeavyFootprints(sources.footprints, sources.values[1:])
    labels = np.ones((2, 2), np.int32)
    with pytest.raises(ValueError, match="one peak"):
        HeavyFootprints(Footprints.from_labels(labels), np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="one peak"):
        HeavyFootprints(Footprints.from_labels(labels, [0, 1], [0, 1]), np.zeros(4, np.float32))
