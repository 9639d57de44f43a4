"""Convolution with a kernel that changes over the image: sums of pieces, growth of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]


@njit(cache=True, nogil=True, fastmath=True)
def add_weighted(
    pieces: Float32, along_y: Float32, along_x: Float32, y0: int, x0: int, out: Float32
) -> None:
    """Sum convolved images, each with a weight that is a polynomial of place.

        out(y, x) = Σ_r pieces_r(y0 + y, x0 + x) Σ_j along_y[r, j, y] along_x[j, x]

    Parameters
    ----------
    pieces : ndarray, shape (m, ly, lx), float32
    along_y : ndarray, shape (m, q, ny), float32
        Polynomials along y, with the coefficients in them.
    along_x : ndarray, shape (q, nx), float32
    y0, x0 : int
        First row and column of the pieces that counts.
    out : ndarray, shape (ny, nx), float32
        Written to.
    """
    m, q, ny = along_y.shape
    nx = along_x.shape[1]
    weight = np.empty(nx, np.float32)
    for y in range(ny):
        for x in range(nx):
            out[y, x] = np.float32(0.0)
        for r in range(m):
            for x in range(nx):
                weight[x] = along_y[r, 0, y] * along_x[0, x]
            for j in range(1, q):
                factor = along_y[r, j, y]
                for x in range(nx):
                    weight[x] += factor * along_x[j, x]
            for x in range(nx):
                out[y, x] += weight[x] * pieces[r, y0 + y, x0 + x]


@njit(cache=True, nogil=True)
def _paint(out: Int32, bits: np.int32, y: int, first: int, last: int, reach: Int64) -> None:
    """Set bits wherever a footprint reaches from the pixels `first` to `last` of row y."""
    ny, nx = out.shape
    half = reach.size // 2
    for dy in range(-half, half + 1):
        more = reach[half + dy]
        row = y + dy
        if more < 0 or row < 0 or row >= ny:
            continue
        for x in range(max(first - more, 0), min(last + more + 1, nx)):
            out[row, x] |= bits


@njit(cache=True, nogil=True)
def spread(mask: Int32, planes: np.int32, reach: Int64, out: Int32) -> None:
    """Set bits of a mask within a footprint about each pixel that has them.

    Runs of equal bits are painted as a whole: the cost is that of the area painted, times the
    rows of the footprint.

    Parameters
    ----------
    mask : ndarray, shape (ny, nx), int32
    planes : int32
        The bits that are spread.
    reach : ndarray, shape (2 k + 1,), int64
        How far the footprint reaches to both sides, in each of its rows from -k to k; -1 where
        not at all.
    out : ndarray, shape (ny, nx), int32
        Bits are set in it.
    """
    ny, nx = mask.shape
    for y in range(ny):
        first = 0
        bits = np.int32(0)
        for x in range(nx):
            here = mask[y, x] & planes
            if here == bits:
                continue
            if bits != 0:
                _paint(out, bits, y, first, x - 1, reach)
            bits = here
            first = x
        if bits != 0:
            _paint(out, bits, y, first, nx - 1, reach)


@njit(cache=True, nogil=True)
def reach_of(weights: NDArray[np.float64], threshold: float) -> Int64:
    """Return the footprint, symmetric to the left and right, where weights exceed a threshold.

    Parameters
    ----------
    weights : ndarray, shape (n, n), float64
        n odd.
    threshold : float

    Returns
    -------
    ndarray, shape (n,), int64
        See :func:`spread`.
    """
    n = weights.shape[0]
    half = n // 2
    reach = np.full(n, -1, np.int64)
    for row in range(n):
        for column in range(n):
            if weights[row, column] > threshold:
                reach[row] = max(reach[row], abs(column - half))
    return reach
