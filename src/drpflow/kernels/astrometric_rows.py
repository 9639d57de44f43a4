"""Loops that prepare the observations of a global astrometric solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]

_DEG = 180.0 / np.pi


@njit(cache=True, nogil=True)
def project(
    first: Int64,
    visit: Int32,
    direction: Float64,
    axes: Float64,
    planes: Float64,
    place: Float64,
    turn: Float32,
) -> None:
    """Fill the places of stars in the tangent planes of visits, and their derivatives.

    Parameters
    ----------
    first, visit
        Rows sorted by star, (S + 1) and (N).
    direction, axes
        Unit vectors to the stars, (S, 3), and to their east and north, (S, 2, 3).
    planes
        Tangent point, +x and +y of each visit, (V, 3, 3).
    place
        Filled with degrees of the plane, (N, 2); NaN beyond 90° from the tangent point.
    turn
        Filled with d(place)/d(east, north), by rows, (N, 4).

    Notes
    -----
    With w = t·n, the coordinate X·n/w has the derivative (X·e - (X·n/w) t·e)/w along e.
    """
    for s in range(first.size - 1):
        n, e = direction[s], axes[s]
        for i in range(first[s], first[s + 1]):
            plane = planes[visit[i]]
            w = plane[0, 0] * n[0] + plane[0, 1] * n[1] + plane[0, 2] * n[2]
            if w < 1e-6:
                place[i] = np.nan
                continue
            for b in range(2):
                x = plane[b + 1]
                at = (x[0] * n[0] + x[1] * n[1] + x[2] * n[2]) / w
                place[i, b] = at * _DEG
                for c in range(2):
                    along = x[0] * e[c, 0] + x[1] * e[c, 1] + x[2] * e[c, 2]
                    depth = plane[0, 0] * e[c, 0] + plane[0, 1] * e[c, 1] + plane[0, 2] * e[c, 2]
                    turn[i, 2 * b + c] = (along - at * depth) / w


@njit(cache=True, nogil=True)
def count_stars(first: Int64, group: Int32, take: NDArray[np.bool_], n_groups: int) -> Int64:
    """Count the distinct stars in each group of rows, of the rows that are taken."""
    count = np.zeros(n_groups, np.int64)
    last = np.full(n_groups, -1, np.int64)
    for s in range(first.size - 1):
        for i in range(first[s], first[s + 1]):
            g = group[i]
            if take[i] and last[g] != s:
                last[g] = s
                count[g] += 1
    return count
