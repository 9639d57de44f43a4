"""Kernels that look for artifacts, against numpy and against lines that were drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve, uniform_filter

from drpflow.kernels.coadd_artifacts import (
    bin_clipped,
    box_counts,
    box_means,
    box_sums,
    compact_sums,
    differing,
    grow_from,
    spare_blended,
    spare_variables,
    spread_marks,
    static_peaks,
)


def test_growth_keeps_the_side_of_zero() -> None:
    values = np.zeros((21, 21), np.float32)
    values[10, 10], values[10, 12], values[10, 8], values[10, 17] = 6.0, 3.5, -3.5, 3.5
    out = np.zeros(values.shape, bool)
    grow_from(values, 5.0, 3.0, 6, (0.0, 0), out)
    assert sorted(map(tuple, np.argwhere(out))) == [(10, 10), (10, 12)]


def test_light_that_convolution_has_spread_is_left() -> None:
    x = np.arange(61.0) - 30
    values = np.outer(np.exp(-0.5 * (x / 5) ** 2), np.exp(-0.5 * (x / 5) ** 2)) * 1000
    out = np.zeros(values.shape, bool)
    grow_from(values.astype(np.float32), 5.0, 3.0, 6, (0.04, 14), out)
    radius = np.sqrt(out.sum() / np.pi)
    assert radius == pytest.approx(5 * np.sqrt(2 * np.log(25)), abs=0.5)


def test_box_counts_and_sums() -> None:
    rng = np.random.default_rng(2)
    where = rng.uniform(0, 1, (40, 50)) < 0.2
    expected = np.rint(49 * uniform_filter(where.astype(float), 7, mode="constant"))
    np.testing.assert_array_equal(box_counts(where, 3), expected)
    values = rng.normal(0, 1, (20, 20)).astype(np.float32)
    line = np.array([1, 2, 1])
    total = convolve(values, np.outer(line, line) / 6.0)
    out = np.empty_like(values)
    compact_sums(values, out)
    inner = np.s_[1:-1, 1:-1]
    expected = np.where(np.abs(total) > np.abs(values), total, values)
    np.testing.assert_allclose(out[inner], expected[inner], rtol=1e-5)


def test_bins_lie_on_the_tract() -> None:
    values = np.arange(60, dtype=np.float32).reshape(6, 10)
    there = np.ones(values.shape, bool)
    bins = bin_clipped(values, there, 4, 2, 3, 30.0)
    assert bins.shape == (2, 4)
    assert bins[1, 1] == pytest.approx(np.minimum(values[2:6, 1:5], 30).mean())
    assert np.isnan(bins[0, 0])  # a quarter of this bin is on the array
    means = box_means(bins, 1)
    assert means[0, 0] == pytest.approx(np.nanmean(bins[:2, :2]))
    pixels = np.zeros(values.shape, bool)
    spread_marks(np.isfinite(bins) & (bins > 29), 4, 2, 3, pixels)
    assert pixels[2:6, 5:9].all()


def test_a_visit_differs_beside_a_pixel_that_does() -> None:
    significance, direct = np.zeros((5, 9), np.float32), np.zeros((5, 9), np.float32)
    significance[2, 2:4], direct[2, 7] = 4.0, -7.0
    where = differing(significance, direct, 3.0, 6.0)
    assert where[1:4, 1:5].all()
    assert where.sum() == 12 + 9


def test_sums_of_squares_do_not_know_what_is_far_away() -> None:
    values = np.random.default_rng(2).lognormal(0, 3, (30, 40)).astype(np.float32)
    sums = box_sums(values, 3)
    assert sums[10, 20] == pytest.approx(values[7:14, 17:24].sum(dtype=float), rel=1e-5)
    np.testing.assert_array_equal(box_sums(values[5:], 3)[6:], sums[11:])


def test_variable_sources_are_spared_where_they_are() -> None:
    y, x = np.mgrid[:80, :80]

    def source(u: float, v: float, height: float) -> np.ndarray:
        return (height * np.exp(-0.5 * ((x - u) ** 2 + (y - v) ** 2) / 9)).astype(np.float32)

    model = source(20, 20, 100) + source(60, 60, 100)
    rows, columns = static_peaks(model, np.full(model.shape, 5, np.float32), 3)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(20, 20), (60, 60)]
    difference = source(20, 20, 30) + source(64, 60, 30)  # one varies, something passes the other
    out = np.zeros(model.shape, bool)
    spare_variables(
        difference, difference / 10, rows, columns, (5.0, 0.2), (3.0, 0.1, 2.5), (6, 1.5, 24.0), out
    )
    assert out[20, 20]
    assert out[(difference > 3) & (x < 40)].all()
    assert not out[:, 40:].any()


def test_sources_that_may_vary_in_the_light_of_others_are_spared() -> None:
    """Where the difference is no more than the static light beneath it, of either sign."""
    y, x = np.mgrid[:120, :120]

    def source(u: float, v: float, height: float) -> np.ndarray:
        return (height * np.exp(-0.5 * ((x - u) ** 2 + (y - v) ** 2) / 9)).astype(np.float32)

    blends = ((25, 25, 20), (28, 25, 10), (80, 25, 20), (83, 25, 10), (25, 85, 30))
    static = sum(source(u, v, height) for u, v, height in blends)
    brighter, fainter = source(28, 25, 8), source(83, 25, -8)
    passing = source(33, 85, 8) + source(80, 85, 8)  # beside a source, and alone
    level = brighter + fainter + passing
    out = np.zeros(level.shape, bool)
    spare_blended(10 * level, level, static, 1.0, (5.0, 0.2), (3.0, 0.0, 2.5), (3, 24.0), out)
    for light in (brighter, fainter):
        assert out[np.abs(light) > 0.2].all()
    assert not out[70:].any()
    none = np.zeros(level.shape, bool)
    spare_blended(10 * level, level, static, 0.1, (5.0, 0.2), (3.0, 0.0, 2.5), (3, 24.0), none)
    assert not none.any()
