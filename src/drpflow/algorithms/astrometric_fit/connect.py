"""Which visits hang together, and which hang on nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.kernels import astrometric_rows

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
    shared = astrometric_rows.count_shared(rows.first, rows.visit, take, anchor, kept.size)
    return shared.astype(np.int32)


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
    take = counts & kept[rows.visit]
    label = astrometric_rows.link_visits(rows.first, rows.visit, take, anchor, kept.size)
    _, number = np.unique(label[kept], return_inverse=True)
    groups = np.full(kept.size, -1, np.int32)
    groups[kept] = number
    return groups
