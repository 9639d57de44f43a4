"""Which visits have stars in common, directly or through others."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.rows import Rows

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]


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


def fields(rows: Rows, n_visits: int, n_detectors: int) -> Ints:
    """Return the field of each visit, numbered from 0: a chain of stars joins its visits, (V,).

    Stars of any band do, the reference catalogue does not; a visit without stars is a field.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    observed = ~rows.is_reference
    visit = rows.group[observed] // n_detectors
    star = n_visits + rows.star[rows.pair[observed]].astype(np.int64)
    size = n_visits + int(rows.star.max(initial=-1)) + 1
    graph = coo_array((np.ones(visit.size, np.int8), (visit, star)), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    return np.unique(label[:n_visits], return_inverse=True)[1].astype(np.int32)


def tied(rows: Rows, group: Ints, weight: Floats, n_detectors: int) -> Bools:
    """Return which visits are in a group that has reference stars, (V,).

    Parameters
    ----------
    rows
        The observations of the fit.
    group
        Connected group of each visit, (V,).
    weight
        Of the rows in the fit: references without it tie nothing, (N,).
    n_detectors
        To tell visits.
    """
    has = np.zeros(rows.n_pairs, np.bool_)
    has[rows.pair[rows.is_reference & (weight > 0)]] = True
    visit = rows.group[~rows.is_reference & has[rows.pair]] // n_detectors
    return np.isin(group, group[np.unique(visit)])
