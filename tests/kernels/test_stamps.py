"""Stamps against plain indexing."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.kernels import stamps as k


@pytest.fixture
def scene() -> k.Scene:
    """Two sources with overlapping footprints on a small image."""
    rng = np.random.default_rng(1)
    image = rng.normal(size=(12, 15)).astype(np.float32)
    image[4, 6] = np.nan
    span_y = np.array([3, 4, 4, 11], np.int32)
    span_x0 = np.array([5, 4, 2, 10], np.int32)
    span_x1 = np.array([8, 9, 6, 15], np.int32)
    first = np.array([0, 2, 4])
    lengths = span_x1 - span_x0
    first_value = np.concatenate([[0], np.cumsum(lengths)])[first]
    values = np.arange(100, 100 + lengths.sum()).astype(np.float32)
    excluded = np.zeros(image.shape, bool)
    variance = np.ones_like(image)
    return k.Scene(image, variance, excluded, span_y, span_x0, span_x1, first, values, first_value)


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("corner", [(0, 0), (-3, -4), (5, 3), (9, 7), (40, 2), (-30, -30)])
def test_stamp_is_the_image_with_one_source(
    scene: k.Scene, row: int, corner: tuple[int, int]
) -> None:
    full = scene.image.astype(float)
    at = scene.first_value[row]
    for s in range(scene.first_span[row], scene.first_span[row + 1]):
        for x in range(scene.span_x0[s], scene.span_x1[s]):
            if np.isfinite(full[scene.span_y[s], x]):
                full[scene.span_y[s], x] = scene.values[at]
            at += 1
    padded = np.pad(full, 60, constant_values=np.nan)
    x0, y0 = corner
    stamp = np.empty((7, 9))
    k.fill_stamp(scene, row, x0, y0, stamp)
    np.testing.assert_array_equal(stamp, padded[60 + y0 : 67 + y0, 60 + x0 : 69 + x0])


def test_spans_are_marked(scene: k.Scene) -> None:
    marked = np.zeros((12, 15), bool)
    k.mark_spans(scene.span_y, scene.span_x0, scene.span_x1, marked)
    want = np.zeros((12, 15), bool)
    want[3, 5:8] = want[4, 2:9] = want[11, 10:15] = True
    np.testing.assert_array_equal(marked, want)


def test_mask_bits_of_footprint_and_center(scene: k.Scene) -> None:
    mask = np.zeros((12, 15), np.int32)
    mask[3, 7], mask[4, 2], mask[11, 14], mask[0, 0] = 1, 2, 4, 8
    footprint, center = np.zeros(2, np.int32), np.zeros(2, np.int32)
    k.mask_bits(mask, scene, np.array([5.6, 0.9]), np.array([3.2, 0.8]), 1.5, footprint, center)
    np.testing.assert_array_equal(footprint, [1, 2 | 4])
    np.testing.assert_array_equal(center, [1, 8])
