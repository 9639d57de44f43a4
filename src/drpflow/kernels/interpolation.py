"""Filling of masked pixels from their neighbours along rows and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Int64 = NDArray[np.int64]
    Bool = NDArray[np.bool_]


@njit(cache=True, nogil=True)
def neighbour_gap(bad: Bool, y: int, x: int, dy: int, dx: int, max_gap: int) -> int:
    """Distance from a bad pixel to the next good one in a direction.

    -1 if the image ends before there is one, 0 if there is none within `max_gap`.
    """
    ny, nx = bad.shape
    for step in range(1, max_gap + 1):
        v = y + step * dy
        u = x + step * dx
        if v < 0 or u < 0 or v >= ny or u >= nx:
            return -1
        if not bad[v, u]:
            return step
    return 0


@njit(cache=True, nogil=True)
def _good(bad: Bool, y: int, x: int) -> bool:
    """Return whether a pixel exists and is good."""
    return 0 <= y < bad.shape[0] and 0 <= x < bad.shape[1] and not bad[y, x]


@njit(cache=True, nogil=True)
def _along(
    image: Float32, variance: Float32, bad: Bool, y: int, x: int, dy: int, dx: int, max_gap: int
) -> tuple[float, float, int]:
    """Estimate a bad pixel from its neighbours along one axis.

    With two good pixels on each side the value is that of the cubic through them, which
    keeps the peak of a star; else that of the straight line. Where the image ends on one side
    it is the value of the pixel on the other, and the gap counts twice.

    Returns
    -------
    value, variance : float
    gap : int
        Length of the gap, 0 if there is no estimate.
    """
    after = neighbour_gap(bad, y, x, dy, dx, max_gap)
    before = neighbour_gap(bad, y, x, -dy, -dx, max_gap)
    if after == 0 or before == 0 or (after < 0 and before < 0):
        return 0.0, 0.0, 0
    if after < 0 or before < 0:
        step = -before if after < 0 else after
        if abs(step) * 2 > max_gap:
            return 0.0, 0.0, 0
        v, u = y + step * dy, x + step * dx
        return image[v, u], variance[v, u], 2 * abs(step)
    gap = after + before - 1
    if gap > max_gap:
        return 0.0, 0.0, 0
    y1, x1 = y - before * dy, x - before * dx
    y2, x2 = y + after * dy, x + after * dx
    w1 = after / (after + before)
    w2 = 1.0 - w1
    noise = w1 * variance[y1, x1] + w2 * variance[y2, x2]
    if gap <= 3 and _good(bad, y1 - dy, x1 - dx) and _good(bad, y2 + dy, x2 + dx):
        t0, t1, t2, t3 = -before - 1.0, -np.float64(before), np.float64(after), after + 1.0
        value = (
            image[y1 - dy, x1 - dx] * t1 * t2 * t3 / ((t1 - t0) * (t2 - t0) * (t3 - t0))
            - image[y1, x1] * t0 * t2 * t3 / ((t1 - t0) * (t2 - t1) * (t3 - t1))
            + image[y2, x2] * t0 * t1 * t3 / ((t2 - t0) * (t2 - t1) * (t3 - t2))
            - image[y2 + dy, x2 + dx] * t0 * t1 * t2 / ((t3 - t0) * (t3 - t1) * (t3 - t2))
        )
        return value, noise, gap
    return w1 * image[y1, x1] + w2 * image[y2, x2], noise, gap


@njit(cache=True, nogil=True)
def fill(
    image: Float32,
    variance: Float32,
    bad: Bool,
    rows: Int64,
    columns: Int64,
    max_gap: int,
    filled: Bool,
) -> None:
    """Replace bad pixels by estimates along row and column, the shorter gap counting more.

    The two estimates have weights 1/gap²: across a bad column only its row counts, in the
    round core of a saturated star both do alike.

    Parameters
    ----------
    image, variance : ndarray, shape (ny, nx), float32
        Changed in place at the pixels that are filled.
    bad : ndarray, shape (ny, nx), bool
        Pixels to be filled, and not to be used.
    rows, columns : ndarray, shape (N,), int64
        Where `bad` is True.
    max_gap : int
        Longest gap that is bridged, pixels.
    filled : ndarray, shape (N,), bool
        Written to: whether an estimate was possible.
    """
    for i in range(rows.size):
        y = rows[i]
        x = columns[i]
        h, h_var, h_gap = _along(image, variance, bad, y, x, 0, 1, max_gap)
        v, v_var, v_gap = _along(image, variance, bad, y, x, 1, 0, max_gap)
        filled[i] = h_gap > 0 or v_gap > 0
        if not filled[i]:
            continue
        wh = 1.0 / h_gap**2 if h_gap > 0 else 0.0
        wv = 1.0 / v_gap**2 if v_gap > 0 else 0.0
        image[y, x] = np.float32((wh * h + wv * v) / (wh + wv))
        variance[y, x] = np.float32((wh * h_var + wv * v_var) / (wh + wv))


@njit(cache=True, nogil=True)
def grow(mask: NDArray[np.int32], rows: Int64, columns: Int64, radius: int, bit: np.int32) -> None:
    """Set a bit within a square of half width `radius` about each of the given pixels.

    Parameters
    ----------
    mask : ndarray, shape (ny, nx), int32
    rows, columns : ndarray, shape (N,), int64
    radius : int
    bit : int32
    """
    ny, nx = mask.shape
    for i in range(rows.size):
        for y in range(max(rows[i] - radius, 0), min(rows[i] + radius + 1, ny)):
            for x in range(max(columns[i] - radius, 0), min(columns[i] + radius + 1, nx)):
                mask[y, x] |= bit
