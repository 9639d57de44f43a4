"""Pixels that stand out more sharply than the point spread function allows."""

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

# Steps (rows, columns) to one of each pair of opposite neighbours.
PAIR_ROWS = (0, 1, 1, 1)
PAIR_COLUMNS = (1, 0, 1, -1)


@njit(cache=True, nogil=True)
def is_sharp(
    image: Float32,
    variance: Float32,
    bad: Bool,
    y: int,
    x: int,
    ratio: Float64,
    limits: Float64,
) -> bool:
    """Return whether a pixel exceeds a pair of its neighbours by more than any source may.

    A source of light has m ≥ r I with I the pixel, m the mean of two opposite neighbours and r
    the least such ratio of a point source. The pixel is sharp if for one of the four pairs

        (1 - tolerance) r I - m > t √(r² var I + var m)

    and I exceeds its own noise enough.

    Parameters
    ----------
    image, variance : ndarray, shape (ny, nx), float32
    bad : ndarray, shape (ny, nx), bool
        Pixels that tell nothing; a pair with one of them does not count.
    y, x : int
        The pixel.
    ratio : ndarray, shape (4,), float64
        r of the pairs along rows, along columns and along both diagonals.
    limits : ndarray, shape (3,), float64
        Least significance of the pixel, of its excess (t), and the tolerance.
    """
    value = np.float64(image[y, x])
    noise = np.float64(variance[y, x])
    if bad[y, x] or not (value > 0 and value * value > limits[0] * limits[0] * noise):
        return False
    ny, nx = image.shape
    for k in range(4):
        y1, x1 = y - PAIR_ROWS[k], x - PAIR_COLUMNS[k]
        y2, x2 = y + PAIR_ROWS[k], x + PAIR_COLUMNS[k]
        if min(y1, x1, x2) < 0 or max(x1, x2) >= nx or y2 >= ny or bad[y1, x1] or bad[y2, x2]:
            continue
        excess = (1 - limits[2]) * ratio[k] * value - 0.5 * (image[y1, x1] + image[y2, x2])
        # Where a neighbour was hit too its variance holds charge that its value has lost.
        pair = 0.25 * (min(variance[y1, x1], noise) + min(variance[y2, x2], noise))
        if excess > 0 and excess * excess > limits[1] * limits[1] * (
            ratio[k] * ratio[k] * noise + pair
        ):
            return True
    return False


@njit(cache=True, nogil=True)
def find_sharp(
    image: Float32, variance: Float32, bad: Bool, ratios: Float64, block: int, limits: Float64
) -> tuple[Int64, Int64]:
    """Return rows and columns of all sharp pixels of an image.

    Parameters
    ----------
    image, variance, bad
        See :func:`is_sharp`.
    ratios : ndarray, shape (n_block_rows, n_block_columns, 4), float64
        Ratios of the PSF in square blocks of pixels.
    block : int
        Side of a block, pixels.
    limits : ndarray, shape (3,), float64
    """
    ny, nx = image.shape
    rows = np.empty(1024, np.int64)
    columns = np.empty(1024, np.int64)
    count = 0
    least = np.float32(limits[0] * limits[0])
    for y in range(ny):
        for x in range(nx):
            # Most pixels end here, so that a pixel costs a nanosecond.
            if not image[y, x] * image[y, x] > least * variance[y, x]:
                continue
            if not is_sharp(image, variance, bad, y, x, ratios[y // block, x // block], limits):
                continue
            if count == rows.size:
                rows = np.concatenate((rows, np.empty(count, np.int64)))
                columns = np.concatenate((columns, np.empty(count, np.int64)))
            rows[count] = y
            columns[count] = x
            count += 1
    return rows[:count].copy(), columns[:count].copy()


@njit(cache=True, nogil=True)
def erase(image: Float32, bad: Bool, hit: Bool, rows: Int64, columns: Int64) -> None:
    """Replace pixels by what their neighbours say that the light below them is, in place.

    The least of the means of opposite pairs that were not hit; without such a pair, the least
    neighbour; without any, zero.

    Parameters
    ----------
    image : ndarray, shape (ny, nx), float32
    bad, hit : ndarray, shape (ny, nx), bool
        Pixels not to be used.
    rows, columns : ndarray, shape (N,), int64
        The pixels to be replaced, all of them in `hit`.
    """
    ny, nx = image.shape
    for i in range(rows.size):
        pair = np.inf
        single = np.inf
        for k in range(4):
            total = 0.0
            good = 0
            for sign in (-1, 1):
                v = rows[i] + sign * PAIR_ROWS[k]
                u = columns[i] + sign * PAIR_COLUMNS[k]
                if 0 <= v < ny and 0 <= u < nx and not bad[v, u] and not hit[v, u]:
                    total += image[v, u]
                    good += 1
                    single = min(single, image[v, u])
            if good == 2:
                pair = min(pair, 0.5 * total)
        value = pair if pair < np.inf else single
        image[rows[i], columns[i]] = np.float32(value) if value < np.inf else np.float32(0)


@njit(cache=True, nogil=True)
def find_sharp_beside(
    image: Float32,
    variance: Float32,
    bad: Bool,
    hit: Bool,
    rows: Int64,
    columns: Int64,
    ratios: Float64,
    block: int,
    limits: Float64,
) -> tuple[Int64, Int64]:
    """Mark and return the sharp pixels among the eight neighbours of the given ones.

    Parameters
    ----------
    image, variance, bad, ratios, block, limits
        See :func:`find_sharp`; `image` is without what was hit already.
    hit : ndarray, shape (ny, nx), bool
        Pixels hit already; those found are added.
    rows, columns : ndarray, shape (N,), int64
        The pixels whose neighbours are looked at.
    """
    ny, nx = image.shape
    new_rows = np.empty(8 * rows.size, np.int64)
    new_columns = np.empty(8 * rows.size, np.int64)
    count = 0
    for i in range(rows.size):
        for y in range(max(rows[i] - 1, 0), min(rows[i] + 2, ny)):
            for x in range(max(columns[i] - 1, 0), min(columns[i] + 2, nx)):
                if hit[y, x]:
                    continue
                ratio = ratios[y // block, x // block]
                if is_sharp(image, variance, bad, y, x, ratio, limits):
                    hit[y, x] = True
                    new_rows[count] = y
                    new_columns[count] = x
                    count += 1
    return new_rows[:count].copy(), new_columns[:count].copy()


@njit(cache=True, nogil=True)
def _is_highest(image: Float32, bad: Bool, y: int, x: int, step: int) -> bool:
    """Return whether a pixel exceeds all others within a step, and all of them are good."""
    value = image[y, x]
    for v in range(y - step, y + step + 1):
        for u in range(x - step, x + step + 1):
            if bad[v, u] or not image[v, u] <= value:
                return False
            if image[v, u] == value and (v < y or (v == y and u < x)):
                return False
    return True


@njit(cache=True, nogil=True)
def peak_widths(
    image: Float32,
    variance: Float32,
    bad: Bool,
    min_significance: float,
    step: int,
    widths: Float64,
) -> int:
    """Measure how wide bright peaks are, from the curvature of their logarithm.

    A Gaussian has 2 ln I(0) - ln I(-s) - ln I(s) = s²/σ² along a row, wherever in the pixel its
    centre lies; the width is that of the mean curvature along both axes.

    Parameters
    ----------
    image, variance : ndarray, shape (ny, nx), float32
    bad : ndarray, shape (ny, nx), bool
    min_significance : float
        Least significance of the peak's pixel; that of the four others is a fifth of it.
    step : int
        The distance s, pixels; a peak is the highest pixel within it.
    widths : ndarray, float64
        Written to: σ in pixels, as many as fit.

    Returns
    -------
    int
        Number of widths.
    """
    ny, nx = image.shape
    count = 0
    least = np.float32(min_significance**2)
    for y in range(step, ny - step):
        for x in range(step, nx - step):
            value = image[y, x]
            if not (value > 0 and value * value > least * variance[y, x]):
                continue
            if not _is_highest(image, bad, y, x, step):
                continue
            curvature = 0.0
            lowest = value
            for i, j in ((-step, 0), (step, 0), (0, -step), (0, step)):
                beside = image[y + i, x + j]
                lowest = min(lowest, beside)
                curvature += 0.5 * np.log(value / max(beside, np.float32(1e-30)))
            bright = lowest > 0 and 25 * lowest * lowest > least * variance[y, x]
            if bright and curvature > 0 and count < widths.size:
                widths[count] = step / np.sqrt(curvature)
                count += 1
    return count
