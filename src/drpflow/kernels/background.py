"""Clipped statistics of the pixels in the bins of a mesh."""

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

MEAN, MEDIAN, MODE = 0, 1, 2


@njit(cache=True, nogil=True)
def bin_statistics(
    image: Float32,
    excluded: Bool,
    edges_y: Int64,
    edges_x: Int64,
    clip_sigma: float,
    statistic: int,
) -> tuple[Float64, Float64, Int64]:
    """Return level, scatter and number of the pixels of each bin.

    The first limits are `clip_sigma` times the scatter below the median, which sources do not
    widen, on both sides of the median; then mean and scatter are those of the pixels within the
    limits that the last ones set, until no pixel changes sides.

    Parameters
    ----------
    image
        Pixels, shape (ny, nx).
    excluded
        Pixels that do not count (their values may be NaN), same shape.
    edges_y, edges_x
        First rows and columns of the bins and the end of the last, shapes (my + 1,), (mx + 1,).
    clip_sigma
        Half width of the limits.
    statistic
        ``MEAN`` or ``MEDIAN`` of the pixels within the limits, or ``MODE``, 2.5 median - 1.5 mean
        (Bertin and Arnouts 1996), where sources are not excluded.

    Returns
    -------
    level, scatter : float64, shape (my, mx)
        NaN for a bin without pixels.
    count : int64, shape (my, mx)
        Pixels within the limits.
    """
    my, mx = edges_y.size - 1, edges_x.size - 1
    level = np.full((my, mx), np.nan)
    scatter = np.full((my, mx), np.nan)
    count = np.zeros((my, mx), np.int64)
    most = np.max(edges_y[1:] - edges_y[:-1]) * np.max(edges_x[1:] - edges_x[:-1])
    values = np.empty(most, np.float32)
    for j in range(my):
        for i in range(mx):
            n = 0
            for y in range(edges_y[j], edges_y[j + 1]):
                for x in range(edges_x[i], edges_x[i + 1]):
                    if not excluded[y, x]:
                        values[n] = image[y, x]
                        n += 1
            if n > 0:
                result = clipped(values[:n], clip_sigma, statistic)
                level[j, i], scatter[j, i], count[j, i] = result
    return level, scatter, count


@njit(cache=True, nogil=True)
def clipped(values: Float32, clip_sigma: float, statistic: int) -> tuple[float, float, int]:
    """Return level, scatter and number of values within limits; see :func:`bin_statistics`."""
    n = values.size
    # The 16 % quantile lies one sigma below the median of a normal distribution.
    low_rank, half = int(0.1587 * n), n // 2
    ranked = np.partition(values, half)
    center = float(ranked[half])
    lower = np.partition(ranked[: half + 1], low_rank)
    scatter = center - float(lower[low_rank])
    used = 0
    for _ in range(20):
        low, high = center - clip_sigma * scatter, center + clip_sigma * scatter
        total, squares, inside = 0.0, 0.0, 0
        for value in values:
            if low <= value <= high:
                # Differences from the centre keep the sum of squares from cancelling.
                total += value - center
                squares += (value - center) ** 2
                inside += 1
        if inside == used or inside == 0:
            break
        used = inside
        shift = total / inside
        scatter = np.sqrt(max(0.0, squares / inside - shift * shift))
        center += shift
    if statistic == MEAN or used == 0:
        return center, scatter, used
    kept = values[(values >= low) & (values <= high)]
    median = float(np.median(kept))
    if statistic == MEDIAN:
        return median, scatter, used
    return 2.5 * median - 1.5 * center, scatter, used


@njit(cache=True, nogil=True)
def bin_sums(
    image: Float32, variance: Float32, bad: Bool, step: int
) -> tuple[Float32, Float32, Bool]:
    """Return sums of the good pixels of square bins, of their variances, and empty bins.

    Bins at the upper edges may be incomplete.
    """
    ny, nx = image.shape
    my, mx = (ny + step - 1) // step, (nx + step - 1) // step
    signal = np.zeros((my, mx), np.float32)
    noise = np.zeros((my, mx), np.float32)
    empty = np.ones((my, mx), np.bool_)
    for y in range(ny):
        j = y // step
        for x in range(nx):
            if not bad[y, x]:
                i = x // step
                signal[j, i] += image[y, x]
                noise[j, i] += variance[y, x]
                empty[j, i] = False
    return signal, noise, empty
