"""How much the residuals of neighbours have in common.

Turbulence is alike over minutes of arc, so that n stars tell less of a map than n independent ones
would. The variance of a visit's map grows by the factor by which that of the sum of weighted
residuals in a cell exceeds the sum of their variances: one without turbulence, the number of stars
within its length with it. Maps are smooth, so that the cells are as large as they may be: of the
sums in n² cells the K terms of the map have taken K, and less than half of them may be gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]

# Sums of cells that hold a visit to be like the others.
_LIKE_OTHERS = 40.0


def coherence(fit: Fit) -> Floats:
    """Return the factor of each visit, at least 1, (V,)."""
    found, rows, layout = fit.found, fit.rows, fit.layout
    n_visits, take = len(fit.tables.visits), fit.counted()
    visit, place, c = rows.visit[take], rows.f[take], rows.c[take]
    u, v = layout.visit_basis.domain.to_unit(place[:, 0], place[:, 1])
    weight = 1 / ((c[:, 0] + c[:, 2]) / 2 + fit.model.floor[visit])
    weighted = found.residual[take] * weight[:, None]
    alone = np.bincount(visit, (weighted.astype(np.float64) ** 2).sum(axis=1), minlength=n_visits)
    n = int(np.sqrt(2 * layout.visit_basis.n_terms)) + 1
    together, filled = _sums(visit, (u, v), weighted, n, n_visits)
    free = np.maximum(filled - layout.visit_terms, 0)
    known = (free > 0) & (alone > 0)
    if not known.any():
        return np.ones(n_visits)
    ratio = np.zeros(n_visits)
    ratio[known] = together[known] / alone[known] * (filled / np.maximum(free, 1))[known]
    like = float((ratio * free).sum() / free[known].sum())
    factor = (2 * free * ratio + _LIKE_OTHERS * like) / (2 * free + _LIKE_OTHERS)
    return np.asarray(np.maximum(factor, 1.0))


def _sums(
    visit: Ints, unit: tuple[Floats, Floats], values: Floats, n: int, n_visits: int
) -> tuple[Floats, Ints]:
    """Return of each visit the squared sums of values in cells, n each way, and how many have any.

    Parameters
    ----------
    visit
        Of each row, (N,).
    unit
        Places in the field, -1 to 1.
    values
        To be summed, (N, 2).
    n, n_visits
        Cells along a side, and visits.
    """
    column, row = (np.clip((n * (t + 1) / 2).astype(np.int64), 0, n - 1) for t in unit)
    cell = (visit.astype(np.int64) * n + row) * n + column
    size = n_visits * n * n
    square = sum(np.bincount(cell, values[:, b], minlength=size) ** 2 for b in range(2))
    filled = np.bincount(cell, minlength=size).reshape(n_visits, -1) > 0
    return np.asarray(square).reshape(n_visits, -1).sum(axis=1), filled.sum(axis=1)
