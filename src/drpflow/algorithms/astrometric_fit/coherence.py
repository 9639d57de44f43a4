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
    Int32: TypeAlias = NDArray[np.int32]

# Sums of cells that hold a visit to be like the others.
_LIKE_OTHERS = 40.0


def coherence(fit: Fit) -> Floats:
    """Return the factor of each visit, at least 1, (V,)."""
    layout, n_visits = fit.layout, len(fit.tables.visits)
    n = int(np.sqrt(2 * layout.visit_basis.n_terms)) + 1
    together, alone = np.zeros(n_visits), np.zeros(n_visits)
    filled = np.zeros(n_visits, np.int64)
    by_visit, begin = fit.sorted_rows.by_visit
    counted = fit.counted()
    # Visit by visit: arrays of all rows would be the largest that the fit makes.
    for k in range(n_visits):
        own = by_visit[begin[k] : begin[k + 1]]
        together[k], alone[k], filled[k] = _sums(fit, own[counted[own]], k, n)
    free = np.maximum(filled - layout.visit_terms, 0)
    known = (free > 0) & (alone > 0)
    if not known.any():
        return np.ones(n_visits)
    ratio = np.zeros(n_visits)
    ratio[known] = together[known] / alone[known] * (filled / np.maximum(free, 1))[known]
    like = float((ratio * free).sum() / free[known].sum())
    factor = (2 * free * ratio + _LIKE_OTHERS * like) / (2 * free + _LIKE_OTHERS)
    return np.asarray(np.maximum(factor, 1.0))


def _sums(fit: Fit, own: Int32, visit: int, n: int) -> tuple[float, float, int]:
    """Return what the weighted residuals of a visit amount to.

    Parameters
    ----------
    fit
        The fit.
    own
        Rows of the visit that count.
    visit
        Its row.
    n
        Cells along a side.

    Returns
    -------
    together, alone, filled
        Sum of the squares of the sums in cells; of all rows; and how many cells have any.
    """
    place, c = fit.rows.f[own], fit.rows.c[own]
    unit = fit.layout.visit_basis.domain.to_unit(place[:, 0], place[:, 1])
    weight = 1 / ((c[:, 0] + c[:, 2]) / 2 + fit.model.floor[visit])
    weighted = (fit.found.residual[own] * weight[:, None]).astype(np.float64)
    column, row = (np.clip((n * (t + 1) / 2).astype(np.int64), 0, n - 1) for t in unit)
    cell = row * n + column
    sums = [np.bincount(cell, weighted[:, b], minlength=n * n) for b in range(2)]
    filled = int((np.bincount(cell, minlength=n * n) > 0).sum())
    return float(np.square(sums).sum()), float(np.square(weighted).sum()), filled
