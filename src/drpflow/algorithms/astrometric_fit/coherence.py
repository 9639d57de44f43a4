"""How much the residuals of neighbours have in common.

Turbulence is alike over minutes of arc, so that n stars tell less of a map than n independent ones
would. The variance of the maps grows by the factor by which that of the sum of weighted residuals
in a cell exceeds the sum of their variances: one without turbulence, the number of stars within its
length with it. Cells of several sizes are tried, as small ones cut the correlation and of large
ones the maps have taken the mean; the largest factor stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.kernels.astrometric_model import USED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit

    Floats: TypeAlias = NDArray[np.float64]

_CELLS = (6, 8, 12, 16, 24, 32, 48)


def coherence(fit: Fit) -> float:
    """Return the factor, mean of all visits, at least 1."""
    found, rows, basis = fit.found, fit.rows, fit.layout.visit_basis
    take = (found.state == USED) & (fit.sky.fit[fit.sorted_rows.star] == 1)
    if not take.any():
        return 1.0
    visit, place = rows.visit[take], rows.f[take]
    u, v = basis.domain.to_unit(place[:, 0], place[:, 1])
    c = rows.c[take]
    weight = 1 / ((c[:, 0] + c[:, 2]) / 2 + fit.model.floor[visit])
    weighted = found.residual[take] * weight[:, None]
    alone = float((weighted.astype(np.float64) ** 2).sum())
    factors = [
        _sums(visit, u, v, weighted, n) / alone / (1 - basis.n_terms / n**2)
        for n in _CELLS
        if n**2 > 2 * basis.n_terms
    ]
    return max(1.0, *factors)


def _sums(visit: NDArray[np.int32], u: Floats, v: Floats, values: Floats, n: int) -> float:
    """Return the sum over cells, n each way in every visit, of the squared sums of values."""
    column, row = (np.clip((n * (t + 1) / 2).astype(np.int64), 0, n - 1) for t in (u, v))
    cell = (visit.astype(np.int64) * n + row) * n + column
    return float(sum((np.bincount(cell, values[:, b]) ** 2).sum() for b in range(2)))
