"""Filling and growing of masked pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.kernels import interpolation as k


def fill(image: np.ndarray, bad: np.ndarray, max_gap: int = 64) -> tuple[np.ndarray, np.ndarray]:
    image = image.astype(np.float32)
    image[bad] = np.nan
    variance = np.ones_like(image)
    variance[bad] = np.nan
    rows, columns = np.nonzero(bad)
    filled = np.zeros(rows.size, bool)
    k.fill(image, variance, bad, rows, columns, max_gap, filled)
    return image, filled


@settings(deadline=None, max_examples=30)
@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-100, 100))
def test_a_plane_is_restored(a: float, b: float, c: float) -> None:
    y, x = np.mgrid[:30, :30]
    plane = a * x + b * y + c
    bad = np.zeros(plane.shape, bool)
    bad[:, 10] = True  # column
    bad[20, :4] = True  # at the border only the column has both neighbours
    bad[3:5, :2] = True
    bad[3:8, 15:21] = True  # blob
    bad[25, 25] = True
    image, filled = fill(plane, bad)
    assert filled.all()
    np.testing.assert_allclose(image[:, 8:], plane[:, 8:], atol=1e-3)


def test_a_cubic_is_restored_across_a_column() -> None:
    y, x = np.mgrid[:9, :21]
    cubic = 1e-2 * (x - 10) ** 3 - 0.2 * x**2 + 3 * x + y
    bad = np.zeros(cubic.shape, bool)
    bad[:, 7] = True
    np.testing.assert_allclose(fill(cubic, bad)[0], cubic, atol=1e-4)


def test_a_star_on_a_bad_column_keeps_its_peak() -> None:
    y, x = np.mgrid[:41, :41]
    star = 1000 * np.exp(-((x - 20.3) ** 2 + (y - 20.0) ** 2) / 2 / 1.8**2)
    bad = np.zeros(star.shape, bool)
    bad[:, 20] = True
    image, _ = fill(star, bad)
    linear = 0.5 * (star[20, 19] + star[20, 21])
    assert abs(image[20, 20] - star[20, 20]) < 0.3 * abs(linear - star[20, 20])


def test_gaps_that_are_too_long_stay() -> None:
    bad = np.zeros((60, 60), bool)
    bad[10:50, 10:50] = True
    image, filled = fill(np.ones((60, 60)), bad, max_gap=20)
    assert not filled[(np.nonzero(bad)[0] == 30) & (np.nonzero(bad)[1] == 30)][0]
    assert np.isnan(image[30, 30])


@pytest.mark.parametrize("radius", [1, 3])
def test_grow(radius: int) -> None:
    mask = np.zeros((20, 30), np.int32)
    mask[0, 0] = mask[10, 15] = 2
    mask[5, 5] = 4
    rows, columns = np.nonzero(mask & 2)
    k.grow(mask, rows, columns, radius, np.int32(2))
    y, x = np.mgrid[:20, :30]
    want = (np.maximum(y, x) <= radius) | (np.maximum(abs(y - 10), abs(x - 15)) <= radius)
    np.testing.assert_array_equal((mask & 2) != 0, want)
    assert mask[5, 5] & 4
