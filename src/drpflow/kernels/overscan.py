"""Robust levels of overscan rows, and the smoothing of a level that wanders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int64 = NDArray[np.int64]
    Bool = NDArray[np.bool_]


@njit(cache=True, nogil=True)
def row_medians(pixels: Float32, medians: Float64, deviations: Float64) -> None:
    """Median and median absolute deviation of each row.

    Parameters
    ----------
    pixels : ndarray, shape (n_row, n_col), float32
        NaN where there is no pixel.
    medians, deviations : ndarray, shape (n_row,), float64
        Written to; NaN for a row without pixels.
    """
    n_row, n_col = pixels.shape
    values = np.empty(n_col, np.float64)
    for y in range(n_row):
        n = 0
        for x in range(n_col):
            if not np.isnan(pixels[y, x]):
                values[n] = pixels[y, x]
                n += 1
        medians[y] = _median(values, n)
        for i in range(n):
            values[i] = abs(values[i] - medians[y])
        deviations[y] = _median(values, n)


@njit(cache=True, nogil=True)
def _median(values: Float64, n: int) -> float:
    """Median of the first n values, which are sorted in place; insertion sort suits n < 100."""
    if n == 0:
        return np.nan
    for i in range(1, n):
        v = values[i]
        j = i - 1
        while j >= 0 and values[j] > v:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = v
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])


@njit(cache=True, nogil=True)
def clipped_row_means(
    pixels: Float32, centers: Float64, limit: float, means: Float64, counts: Int64
) -> float:
    """Mean of each row's pixels within `limit` of its center, and their pooled variance.

    Parameters
    ----------
    pixels : ndarray, shape (n_row, n_col), float32
        NaN where there is no pixel.
    centers : ndarray, shape (n_row,), float64
        Center of the clipping.
    limit : float
        Half width of the clipping.
    means : ndarray, shape (n_row,), float64
        Written to; NaN for a row without pixels.
    counts : ndarray, shape (n_row,), int64
        Written to: pixels that were used.

    Returns
    -------
    float
        Variance of a pixel about its row's mean, unbiased; NaN without any degree of freedom.
    """
    n_row, n_col = pixels.shape
    squares = 0.0
    freedom = 0
    for y in range(n_row):
        total = 0.0
        total_squares = 0.0
        n = 0
        for x in range(n_col):
            d = pixels[y, x] - centers[y]
            if abs(d) <= limit:
                total += d
                total_squares += d * d
                n += 1
        counts[y] = n
        means[y] = np.nan
        if n > 0:
            means[y] = centers[y] + total / n
            squares += total_squares - total * total / n
            freedom += n - 1
    return squares / freedom if freedom > 0 else np.nan


@njit(cache=True, nogil=True)
def local_level_likelihood(levels: Float64, used: Bool, ratio: float) -> tuple[float, float]:
    """Likelihood of a random walk seen through white scatter, by a Kalman filter.

    ``level[y] = walk[y] + white``, ``walk[y+1] = walk[y] + step``, with
    ``var(step) = ratio · var(white)``. The variance of the white part is concentrated out
    (Durbin & Koopman 2012, section 2.10).

    Parameters
    ----------
    levels : ndarray, shape (n,), float64
    used : ndarray, shape (n,), bool
        False where a level is not to be believed.
    ratio : float
        var(step) / var(white).

    Returns
    -------
    white : float
        Variance of the white part at which the likelihood is largest.
    likelihood : float
        Logarithm of that likelihood, but for a constant.
    """
    state = 0.0
    uncertainty = -1.0  # unknown until the first level
    squares = 0.0
    log_sum = 0.0
    n = 0
    for y in range(levels.size):
        if uncertainty >= 0.0:
            uncertainty += ratio
        if not used[y]:
            continue
        if uncertainty < 0.0:
            state = levels[y]
            uncertainty = 1.0
            continue
        innovation = levels[y] - state
        spread = uncertainty + 1.0
        squares += innovation * innovation / spread
        log_sum += np.log(spread)
        n += 1
        gain = uncertainty / spread
        state += gain * innovation
        uncertainty = gain
    if n == 0:
        return 0.0, 0.0
    white = squares / n
    if white == 0.0:
        return 0.0, np.inf
    return white, -0.5 * (n * np.log(white) + log_sum)


@njit(cache=True, nogil=True)
def smooth_local_level(levels: Float64, used: Bool, ratio: float, smooth: Float64) -> None:
    """Most probable random walk under the model of :func:`local_level_likelihood`.

    Minimises ``Σ_used (level - walk)² + Σ (walk[y+1] - walk[y])² / ratio``: a tridiagonal
    system, solved by elimination (Thomas). Levels that are not used are bridged.

    Parameters
    ----------
    levels : ndarray, shape (n,), float64
    used : ndarray, shape (n,), bool
        At least one must be True.
    ratio : float
        var(step) / var(white), positive.
    smooth : ndarray, shape (n,), float64
        Written to.
    """
    n = levels.size
    link = 1.0 / ratio
    upper = np.empty(n, np.float64)
    for y in range(n):
        weight = 1.0 if used[y] else 0.0
        diagonal = weight + link * ((y > 0) + (y < n - 1))
        value = levels[y] if used[y] else 0.0
        if y > 0:
            diagonal += link * upper[y - 1]
            value += link * smooth[y - 1]
        upper[y] = -link / diagonal
        smooth[y] = value / diagonal
    for y in range(n - 2, -1, -1):
        smooth[y] -= upper[y] * smooth[y + 1]
