"""Which visits have stars in common, directly or through others."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.rows import Rows

    Ints: TypeAlias = NDArray[np.int32]


def connect(rows: Rows, n_visits: int, n_detectors: int, n_bands: int) -> Ints:
    """Return the group of each visit, numbered from 0 by their first visits.

    Visits of one band are in one group if a chain of stars joins them; the reference catalogue
    joins all visits of a band that have any of its stars. Bands are never in one group: nothing
    ties their zero points but the catalogue.

    Parameters
    ----------
    rows
        The observations of the fit.
    n_visits, n_detectors, n_bands
        To tell visits and bands.

    Returns
    -------
    ndarray, shape (V,)
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    reference = rows.is_reference
    visit = np.where(reference, 0, rows.group // n_detectors)
    node = np.where(reference, n_visits + rows.band[rows.pair], visit)
    size = n_visits + n_bands + rows.n_pairs
    pair = n_visits + n_bands + rows.pair.astype(np.int64)
    graph = coo_array((np.ones(len(rows), np.int8), (node, pair)), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    _, first, group = np.unique(label[:n_visits], return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.int32)
    rank[np.argsort(first)] = np.arange(first.size)
    return rank[group]
