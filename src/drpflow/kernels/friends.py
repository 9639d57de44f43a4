"""Points that are near to each other, by a grid of cells sorted by number.

The cells are squares in a plane, numbered ``row · stride + column``; distances are those of the
points' vectors in space. What decides whether two points are near is therefore independent of
where the grid lies, which only limits the pairs that are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from drpflow.kernels.disjoint_sets import find_root

if TYPE_CHECKING:
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _near(
    points: NDArray[np.float64], first: int, end: int, other: int, other_end: int, limit2: float
) -> bool:
    """Return whether a point of one cell lies near a point of another."""
    for i in range(first, end):
        for j in range(other, other_end):
            dx = points[i, 0] - points[j, 0]
            dy = points[i, 1] - points[j, 1]
            dz = points[i, 2] - points[j, 2]
            if dx * dx + dy * dy + dz * dz <= limit2:
                return True
    return False


@njit(cache=True, nogil=True)
def link_cells(
    keys: NDArray[np.int64],
    starts: NDArray[np.int64],
    points: NDArray[np.float64],
    stride: int,
    limit2: float,
    parent: NDArray[np.int64],
) -> None:
    """Join cells that hold points near to each other, and all that are joined to them.

    Parameters
    ----------
    keys
        Numbers of the cells that hold points, ascending, shape (C,).
    starts
        Row of each cell's first point, and the number of points, shape (C + 1,).
    points
        Unit vectors, by cell, shape (N, 3).
    stride
        Cells in a row of the grid, with two free ones at each end.
    limit2
        Square of the chord up to which points are near. All points of a cell must be near to
        each other, and such of cells more than two rows or columns apart must not.
    parent
        Out: for each cell another of its group, or itself if it is the first; shape (C,).

    Notes
    -----
    The points of a cell are friends without being compared, and cells that are joined already
    are passed over: a star seen a thousand times costs no more than a thousand stars, 0.1 µs a
    point.
    """
    n = keys.size
    for c in range(n):
        parent[c] = c
    first = np.zeros(3, np.int64)
    for c in range(n):
        for row in range(3):
            middle = keys[c] + row * stride
            low = keys[c] + 1 if row == 0 else middle - 2
            while first[row] < n and keys[first[row]] < low:
                first[row] += 1
            k = first[row]
            while k < n and keys[k] <= middle + 2:
                a, b = find_root(parent, c), find_root(parent, k)
                if a != b and _near(
                    points, starts[c], starts[c + 1], starts[k], starts[k + 1], limit2
                ):
                    parent[max(a, b)] = min(a, b)
                k += 1
    for c in range(n):
        parent[c] = find_root(parent, c)


@njit(cache=True, nogil=True)
def pairs_within(
    keys: NDArray[np.int64],
    starts: NDArray[np.int64],
    points: NDArray[np.float64],
    stride: int,
    places: NDArray[np.float64],
    place_keys: NDArray[np.int64],
    reach: int,
    limit2: float,
    found: NDArray[np.int64],
) -> int:
    """Find the points near to places.

    Parameters
    ----------
    keys, starts, points, stride
        As for :func:`link_cells`.
    places
        Unit vectors, shape (M, 3).
    place_keys
        Number of the cell of each, shape (M,).
    reach
        Rows and columns around a place in which to look; cells of the grid's free margin too.
    limit2
        Square of the chord.
    found
        Out: rows (place, point) of the pairs, as far as they find room, shape (P, 2).

    Returns
    -------
    int
        Number of pairs.
    """
    n, count = keys.size, 0
    for m in range(places.shape[0]):
        for row in range(-reach, reach + 1):
            middle = place_keys[m] + row * stride
            k = np.searchsorted(keys, middle - reach)
            while k < n and keys[k] <= middle + reach:
                for j in range(starts[k], starts[k + 1]):
                    dx = places[m, 0] - points[j, 0]
                    dy = places[m, 1] - points[j, 1]
                    dz = places[m, 2] - points[j, 2]
                    if dx * dx + dy * dy + dz * dz <= limit2:
                        if count < found.shape[0]:
                            found[count, 0] = m
                            found[count, 1] = j
                        count += 1
                k += 1
    return count
