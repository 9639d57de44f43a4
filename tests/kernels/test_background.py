"""Statistics of bins against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from drpflow.kernels.background import MEAN, MEDIAN, MODE, bin_statistics, bin_sums, clipped


def numpy_clipped(values: NDArray[np.float32], clip: float) -> tuple[float, float, int]:
    ranked = np.sort(values.astype(np.float64))
    center = ranked[values.size // 2]
    scatter = center - ranked[int(0.1587 * values.size)]
    used = -1
    while True:
        kept = values[np.abs(values.astype(np.float64) - center) <= clip * scatter]
        if kept.size == used:
            return center, scatter, used
        used = kept.size
        center, scatter = float(kept.mean(dtype=np.float64)), float(kept.std(dtype=np.float64))


@pytest.mark.parametrize("clip", [2.0, 3.0, 4.0])
def test_clipped_mean_is_that_of_numpy(clip: float) -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(1000, 10, 3000), rng.normal(1200, 100, 200)])
    got = clipped(values.astype(np.float32), clip, MEAN)
    np.testing.assert_allclose(got, numpy_clipped(values.astype(np.float32), clip), rtol=1e-7)


def test_median_and_mode_follow_from_the_pixels_that_are_kept() -> None:
    values = np.random.default_rng(4).gamma(2.0, 1.0, 2001).astype(np.float32)
    mean, scatter, n = clipped(values, 3.0, MEAN)
    kept = values[np.abs(values - mean) <= 3.0 * scatter]
    assert kept.size == n
    assert clipped(values, 3.0, MEDIAN)[0] == pytest.approx(np.median(kept))
    assert clipped(values, 3.0, MODE)[0] == pytest.approx(2.5 * np.median(kept) - 1.5 * mean)


@pytest.mark.parametrize("values", [[7.0], [7.0, 7.0, 7.0, 7.0], [1.0, 2.0]])
def test_few_or_equal_values(values: list[float]) -> None:
    level, scatter, n = clipped(np.array(values, np.float32), 3.0, MEAN)
    assert min(values) <= level <= max(values)
    assert scatter >= 0
    assert n >= 1


def test_bins_are_those_of_the_edges_and_leave_out_what_is_excluded() -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(50, 3, (37, 53)).astype(np.float32)
    excluded = rng.random(image.shape) < 0.3
    image[excluded] = np.nan
    excluded[:18, :20] = True
    edges_y, edges_x = np.array([0, 18, 37]), np.array([0, 20, 36, 53])
    level, scatter, count = bin_statistics(image, excluded, edges_y, edges_x, 4.0, MEAN)
    assert np.isnan(level[0, 0])
    assert count[0, 0] == 0
    for j, i in [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]:
        window = np.s_[edges_y[j] : edges_y[j + 1], edges_x[i] : edges_x[i + 1]]
        want = numpy_clipped(image[window][~excluded[window]], 4.0)
        np.testing.assert_allclose((level[j, i], scatter[j, i], count[j, i]), want, rtol=1e-6)


def test_sums_of_bins_with_incomplete_ones_at_the_edges() -> None:
    rng = np.random.default_rng(6)
    image = rng.normal(0, 1, (10, 7)).astype(np.float32)
    bad = rng.random(image.shape) < 0.3
    bad[:4, 4:] = True
    signal, noise, empty = bin_sums(image, np.full_like(image, 2.0), bad, 4)
    assert signal.shape == (3, 2)
    assert empty.tolist() == [[False, True], [False, False], [False, False]]
    for j in range(3):
        for i in range(2):
            window = np.s_[4 * j : 4 * j + 4, 4 * i : 4 * i + 4]
            good = ~bad[window]
            assert signal[j, i] == pytest.approx(image[window][good].sum(), abs=1e-5)
            assert noise[j, i] == pytest.approx(2.0 * good.sum())
