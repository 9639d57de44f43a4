"""Overscan kernels against numpy twins."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.kernels import overscan as k


@pytest.fixture
def pixels() -> np.ndarray:
    rng = np.random.default_rng(1)
    values = rng.normal(1000, 3, (50, 17)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[7] = np.nan
    values[9, 3] += 500
    return values


def test_row_medians(pixels: np.ndarray) -> None:
    medians, deviations = np.empty(50), np.empty(50)
    k.row_medians(pixels, medians, deviations)
    rows = np.arange(50) != 7
    want = np.nanmedian(pixels[rows].astype(float), axis=1)
    np.testing.assert_allclose(medians[rows], want)
    off = np.abs(pixels[rows].astype(float) - want[:, None])
    np.testing.assert_allclose(deviations[rows], np.nanmedian(off, axis=1))
    assert np.isnan(medians[7])


def test_clipped_row_means(pixels: np.ndarray) -> None:
    centers = np.full(50, 1000.0)
    means, counts = np.empty(50), np.empty(50, np.int64)
    variance = k.clipped_row_means(pixels, centers, 8.0, means, counts)
    kept = np.where(np.abs(pixels.astype(float) - 1000) <= 8, pixels.astype(float), np.nan)
    rows = np.arange(50) != 7
    np.testing.assert_allclose(means[rows], np.nanmean(kept[rows], axis=1))
    np.testing.assert_array_equal(counts, np.isfinite(kept).sum(1))
    freedom = np.isfinite(kept[rows]).sum() - rows.sum()
    squares = np.nansum((kept[rows] - np.nanmean(kept[rows], axis=1)[:, None]) ** 2)
    assert variance == pytest.approx(squares / freedom)
    assert np.isnan(means[7])


def dense_likelihood(levels: np.ndarray, ratio: float, white: float) -> float:
    """Gaussian likelihood of the increments' covariance, with a flat prior on the first state."""
    n = len(levels)
    step = ratio * white * (np.eye(n - 1)) + white * (
        2 * np.eye(n - 1) - np.eye(n - 1, k=1) - np.eye(n - 1, k=-1)
    )
    d = np.diff(levels)
    return float(-0.5 * (d @ np.linalg.solve(step, d) + np.linalg.slogdet(step)[1]))


@pytest.mark.parametrize("ratio", [1e-3, 0.1, 3.0])
def test_likelihood_is_that_of_the_dense_covariance(ratio: float) -> None:
    rng = np.random.default_rng(2)
    levels = np.cumsum(rng.normal(0, 0.5, 60)) + rng.normal(0, 1, 60)
    used = np.ones(60, bool)
    white, value = k.local_level_likelihood(levels, used, ratio)
    # At its own white variance, and relative to another ratio at its own.
    other_white, other = k.local_level_likelihood(levels, used, 1.0)
    want = dense_likelihood(levels, ratio, white) - dense_likelihood(levels, 1.0, other_white)
    assert value - other == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("ratio", [1e-4, 0.1, 10.0])
def test_smoother_solves_the_dense_system(ratio: float) -> None:
    rng = np.random.default_rng(3)
    n = 40
    levels = rng.normal(0, 1, n)
    used = rng.random(n) > 0.2
    levels[~used] = np.nan
    smooth = np.empty(n)
    k.smooth_local_level(levels, used, ratio, smooth)
    difference = np.diff(np.eye(n), axis=0)
    matrix = np.diag(used.astype(float)) + difference.T @ difference / ratio
    want = np.linalg.solve(matrix, np.where(used, np.nan_to_num(levels), 0.0))
    np.testing.assert_allclose(smooth, want, atol=1e-8)
