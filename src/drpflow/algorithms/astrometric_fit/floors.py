"""The scatter of each visit beside the errors of its centroids: what turbulence does.

Restricted maximum likelihood: with W = (C + τ² 1)⁻¹ and P = W less what the fit takes up, the
residuals r of a visit satisfy Σ rᵀ W² r = Σ tr P on average. The share of the stars in P is exact
(their leverages), that of the maps is spread evenly over their observations. A Newton step in τ²
has the derivative Σ tr P². Far from the solution, a median does better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.variables import count_rows
from drpflow.kernels.astrometric_rows import count_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit

    Floats: TypeAlias = NDArray[np.float64]

# Steps below this share of their own error are none.
_SETTLED = 0.2
# Nor are steps below this share of τ²: weights hardly change.
_SMALL = 0.03
_FAR = 1.5
_MEDIAN_RAYLEIGH = 1.17741
_MOST_ROWS = 1000
# Of its residuals that a star of few rows leaves over.
_LEAST_SHARE = 0.25
_PRIOR_OBSERVATIONS = 20.0


def update_floors(fit: Fit, *, medians: bool = False, damped: bool = False) -> bool:
    """Return whether the floors of a fit, its stars solved for, are right; change them if not.

    With `medians`, outliers are still among the rows, and floors are those of medians; steps that
    are `damped` go half the way, and medians do not come into it, lest maps and floors of few stars
    take turns.
    """
    noise = fit.config.noise
    sums, old = fit.found.sums, fit.model.floor
    n = sums[:, 0]
    solved = n > 0
    step = np.zeros(n.size)
    share = 1 - np.clip(_map_share(fit), 0.0, 0.9)
    expected = sums[:, 3] * share
    step[solved] = (sums[solved, 2] - expected[solved]) / np.maximum(
        sums[solved, 4] * share[solved], 1e-300
    )
    new = np.clip(old + step, old / 9, old * 9)
    typical = float(np.median(new[solved])) if solved.any() else noise.floor_mas**2
    # A visit of few stars is like the others.
    new = np.exp(
        (n * np.log(np.maximum(new, 1e-6)) + _PRIOR_OBSERVATIONS * np.log(max(typical, 1e-6)))
        / (n + _PRIOR_OBSERVATIONS)
    )
    if damped:
        new = np.sqrt(old * new)
    else:
        far = _far(fit, everywhere=medians)
        new = np.where(np.isfinite(far), far, new)
    new = np.clip(new, noise.min_floor_mas**2, noise.max_floor_mas**2)
    error = np.sqrt(2 / np.maximum(sums[solved, 4] * share[solved], 1e-300))
    small = np.maximum(_SETTLED * error, _SMALL * old[solved])
    settled = bool((np.abs(new - old)[solved] < small).all())
    if not settled:
        fit.model = fit.model._replace(floor=new)
    return settled


def _map_share(fit: Fit) -> Floats:
    """Return the part of each visit's residuals that the maps take up."""
    shape = len(fit.tables.visits), fit.layout.n_maps
    rows = count_pairs(fit.rows.visit, fit.rows.map, fit.counted(), shape)
    common = rows @ (fit.model.map_terms / np.maximum(rows.sum(axis=0), 1))
    terms = fit.model.visit_terms + 1 + common
    return np.asarray(terms / np.maximum(rows.sum(axis=1), 1))


def _far(fit: Fit, *, everywhere: bool) -> Floats:
    """Return floors from medians where the present ones are far off, or everywhere; else NaN."""
    found, rows, star = fit.found, fit.rows, fit.sorted_rows.star
    used, _, dof = count_rows(fit)
    # What the star itself has not taken up.
    share = dof / np.maximum(2 * used, 1)
    take, (order, ends) = fit.counted() & (share > _LEAST_SHARE)[star], fit.sorted_rows.by_visit
    out = np.full(len(fit.tables.visits), np.nan)
    for v in range(out.size):
        own = order[ends[v] : ends[v + 1]]
        own = own[:: max(1, own.size // _MOST_ROWS)]
        own = own[take[own]]
        if own.size < 10:
            continue
        r2 = (found.residual[own].astype(np.float64) ** 2).sum(axis=1) / share[star[own]]
        known = (rows.c[own, 0] + rows.c[own, 2]) / 2.0
        scale = np.sqrt(np.median(r2 / (known + fit.model.floor[v]))) / _MEDIAN_RAYLEIGH
        if everywhere or not 1 / _FAR < scale < _FAR:
            out[v] = _median_floor(r2, known)
    return out


def _median_floor(r2: Floats, known: Floats) -> float:
    """Return τ² with which the median of r²/(known + τ²) is that of two degrees of freedom."""
    low, high = 0.0, float(r2.max()) + 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if np.median(r2 / (known + middle)) > _MEDIAN_RAYLEIGH**2:
            low = middle
        else:
            high = middle
    return high
