"""Which visits hang together, and which hang on nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.rows import SortedRows

    Ints: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]


def shared_stars(rows: SortedRows, counts: Bools, anchor: Bools, kept: Bools) -> Ints:
    """Return how many stars each visit shares with other visits or with the catalogue, (V,).

    Parameters
    ----------
    rows
        Sorted observations.
    counts
        Which of them count, (N,).
    anchor
        Which stars are in the catalogue, (S,).
    kept
        Which visits count, (V,).
    """
    take = counts & kept[rows.visit]
    count = np.bincount(rows.star[take], minlength=anchor.size)
    tied = take & ((count > 1) | anchor)[rows.star]
    return np.bincount(rows.visit[tied], minlength=kept.size).astype(np.int32)


def isolated_visits(
    rows: SortedRows, counts: Bools, anchor: Bools, kept: Bools, min_stars: int
) -> dict[int, int]:
    """Return the visits that share fewer stars than that, with how many they share.

    A visit that drops out may leave others alone: repeated until none does. Parameters are those of
    :func:`shared_stars`.
    """
    kept = kept.copy()
    lost: dict[int, int] = {}
    while True:
        shared = shared_stars(rows, counts, anchor, kept)
        new = np.flatnonzero(kept & (shared < min_stars))
        if not new.size:
            return lost
        lost |= {int(v): int(shared[v]) for v in new}
        kept[new] = False


def visit_groups(rows: SortedRows, counts: Bools, anchor: Bools, kept: Bools) -> Ints:
    """Return a number for each visit, the same for visits that hang together, (V,).

    Visits that share stars of the catalogue hang together by the catalogue. Parameters are those of
    :func:`shared_stars`.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    take = counts & kept[rows.visit]
    n_visits, n_stars = kept.size, anchor.size
    stars = np.flatnonzero(anchor)
    node_a = np.concatenate([rows.visit[take], np.full(stars.size, n_visits + n_stars)])
    node_b = np.concatenate([rows.star[take], stars]) + n_visits
    size = n_visits + n_stars + 1
    graph = coo_matrix((np.ones(node_a.size, np.int8), (node_a, node_b)), (size, size))
    label = connected_components(graph, directed=False)[1][:n_visits]
    _, number = np.unique(label[kept], return_inverse=True)
    groups = np.full(n_visits, -1, np.int32)
    groups[kept] = number
    return groups
