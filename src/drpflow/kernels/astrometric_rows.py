"""Loops that prepare the observations of a global astrometric solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from drpflow.kernels.disjoint_sets import find_root, join_sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float64 = NDArray[np.float64]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]

_DEG = 180.0 / np.pi


@njit(cache=True, nogil=True)
def project(
    first: Int64, visit: Int32, direction: Float64, planes: Float64, place: Float64
) -> None:
    """Fill the places of stars in the tangent planes of visits.

    Parameters
    ----------
    first, visit
        Rows sorted by star, (S + 1) and (N).
    direction
        Unit vectors to the stars, (S, 3).
    planes
        Tangent point, +x and +y of each visit, (V, 3, 3).
    place
        Filled with degrees of the plane, (N, 2); NaN beyond 90° from the tangent point.
    """
    for s in range(first.size - 1):
        n = direction[s]
        for i in range(first[s], first[s + 1]):
            plane = planes[visit[i]]
            w = plane[0, 0] * n[0] + plane[0, 1] * n[1] + plane[0, 2] * n[2]
            if w < 1e-6:
                place[i] = np.nan
                continue
            for b in range(2):
                x = plane[b + 1]
                place[i, b] = (x[0] * n[0] + x[1] * n[1] + x[2] * n[2]) / w * _DEG


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


@njit(cache=True, nogil=True)
def count_states(first: Int64, state: NDArray[np.int8], wanted: int) -> Int32:
    """Count the rows of each star that are in one state, (S)."""
    count = np.zeros(first.size - 1, np.int32)
    for s in range(first.size - 1):
        for i in range(first[s], first[s + 1]):
            count[s] += state[i] == wanted
    return count


@njit(cache=True, nogil=True)
def count_pairs(
    left: Int32, right: Int32, take: NDArray[np.bool_], shape: tuple[int, int]
) -> Int64:
    """Count the rows that are taken by two group numbers at once, an array of that shape."""
    count = np.zeros(shape, np.int64)
    for i in range(left.size):
        count[left[i], right[i]] += take[i]
    return count


@njit(cache=True, nogil=True)
def count_shared(
    first: Int64, visit: Int32, take: NDArray[np.bool_], anchor: NDArray[np.bool_], n_visits: int
) -> Int64:
    """Count the rows of each visit of stars with other rows or in the catalogue, (V)."""
    count = np.zeros(n_visits, np.int64)
    for s in range(first.size - 1):
        rows = 0
        for i in range(first[s], first[s + 1]):
            rows += take[i]
        if rows > 1 or anchor[s]:
            for i in range(first[s], first[s + 1]):
                count[visit[i]] += take[i]
    return count


@njit(cache=True, nogil=True)
def link_visits(
    first: Int64, visit: Int32, take: NDArray[np.bool_], anchor: NDArray[np.bool_], n_visits: int
) -> Int64:
    """Return the same number for visits that share stars or the catalogue, (V).

    The catalogue is a member of the sets beyond the last visit.
    """
    parent = np.arange(n_visits + 1)
    for s in range(first.size - 1):
        before = n_visits if anchor[s] else -1
        for i in range(first[s], first[s + 1]):
            if take[i]:
                if before >= 0:
                    join_sets(parent, before, visit[i])
                before = visit[i]
    for k in range(n_visits):
        parent[k] = find_root(parent, k)
    return parent[:n_visits]
