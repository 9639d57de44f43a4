"""What the stars of a fit tell of the turbulence of each visit.

The residual of a star that took part is too small: the star has followed its own observation. With
V the variance of a row in the fit and h its share in the star's place at the time of the visit,
what the star's other rows (and the catalogue) expect is missed by r / (1 - h), and is itself
uncertain by h V / (1 - h). A star that nothing else fixes (h near 1) tells nothing. The shares of
all rows of a star add up to its parameters that the observations have fixed, which is what its χ²
is short of its rows; errors of the maps are no part of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.result import StarFlag
from drpflow.algorithms.turbulence.process import ResidualSet
from drpflow.data.tan_projection import unit_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.result import AstrometrySolution
    from drpflow.data.astrometric_tables import Observations, Stars, Visits

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

_DAYS_PER_YEAR = 365.25
_MIN_NOISE_MAS = 0.3
"""Errors of centroids below this are taken for this."""
_MOST_OWN = 0.75
"""Share of a row in its star's place from which it is left out."""


def fitted_residuals(
    observations: Observations,
    visits: Visits,
    stars: Stars,
    solution: AstrometrySolution,
    before: tuple[Floats, Floats],
) -> dict[int, tuple[Ints, ResidualSet]]:
    """Return for each visit the rows of the fit, and their residuals without what is the row's own.

    Parameters
    ----------
    observations, visits, stars
        The tables.
    solution
        A solution of them.
    before
        Where its coordinate systems have the observations in the field, deg, and what had been
        taken from them along the axes of the field before they were solved, mas; shapes (2, N).
    """
    parts = _rows_by_visit(observations, stars, solution)
    shares = _own_shares(parts, observations, visits, stars, solution)
    r, found = solution.residuals, {}
    for visit, rows in parts.items():
        own = shares[visit]
        good = own < _MOST_OWN
        left = 1 - np.where(good, own, 0.0)
        star = own * _variance(solution, visit, rows) / left + _MIN_NOISE_MAS**2
        xx, xy, yy = (np.asarray(w[rows], np.float64) for w in (r.xx, r.xy, r.yy))
        (x, y), (dx, dy) = (values[:, rows] for values in before)
        dx, dy = r.dx_mas[rows] / left + dx, r.dy_mas[rows] / left + dy
        if good.any():
            whole = ResidualSet(x, y, dx, dy, xx + star, xy, yy + star)
            found[visit] = rows[good], whole.take(good)
    return found


def _variance(solution: AstrometrySolution, visit: int, rows: Ints) -> Floats:
    """Return the variances of a coordinate that rows had in the fit."""
    r, floor = solution.residuals, float(solution.visits.floor_mas[visit])
    return (r.xx[rows].astype(np.float64) + r.yy[rows]) / 2 + floor**2


def _own_shares(
    parts: dict[int, Ints],
    observations: Observations,
    visits: Visits,
    stars: Stars,
    solution: AstrometrySolution,
) -> dict[int, Floats]:
    """Return the share h of rows in the places of their stars, by visit."""
    raw, total = {}, np.zeros(len(stars))
    for visit, rows in parts.items():
        star = observations.star[rows]
        place = _star_variance(star, visit, visits, stars, solution)
        raw[visit] = place / _variance(solution, visit, rows)
        np.add.at(total, star, raw[visit])
    solved = solution.stars
    fixed = np.clip(solved.n_observations - solved.dof / 2, 0.0, None)
    factor = fixed / np.maximum(total, 1e-30)
    return {
        visit: np.minimum(raw[visit] * factor[observations.star[rows]], 1.0)
        for visit, rows in parts.items()
    }


def _rows_by_visit(
    observations: Observations, stars: Stars, solution: AstrometrySolution
) -> dict[int, Ints]:
    """Return for each visit its observations of the fit."""
    r = solution.residuals
    wrong = StarFlag.VARIABLE | StarFlag.NO_OBSERVATION
    good = ~stars.reserved & ((solution.stars.flag & int(wrong)) == 0)
    good &= np.isfinite(solution.stars.covariance[:, :2, :2]).all(axis=(1, 2))
    kept = r.used & ~r.rejected & good[observations.star]
    kept &= np.isfinite(r.x_deg) & np.isfinite(r.dx_mas) & np.isfinite(r.dy_mas)
    rows = np.flatnonzero(kept)
    # By the stars' numbers, so that folds do not depend on the order of the input.
    rows = rows[np.lexsort((stars.id[observations.star[rows]], observations.visit[rows]))]
    visit = observations.visit[rows]
    starts = np.flatnonzero(np.diff(visit, prepend=-1) != 0)
    parts = np.split(rows, starts[1:]) if rows.size else []
    return {int(observations.visit[part[0]]): part for part in parts}


def _star_variance(
    star: NDArray[np.int32], visit: int, visits: Visits, stars: Stars, solution: AstrometrySolution
) -> Floats:
    """Return the variances of a coordinate of stars at the time of a visit, mas²."""
    solved = solution.stars
    years = (visits.mjd[visit] - solved.epoch_mjd) / _DAYS_PER_YEAR
    ra = np.radians(stars.ra_deg[star])
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=1)
    north = np.cross(unit_vectors(stars.ra_deg[star], stars.dec_deg[star]).T, east)
    covariance = np.nan_to_num(solved.covariance[star])
    total = np.zeros(star.size)
    for k, axis in enumerate((east, north)):
        step = np.zeros((star.size, 5))
        step[:, k], step[:, 2 + k] = 1.0, years
        step[:, 4] = -(axis @ visits.earth_au[visit])
        total += np.einsum("si,sij,sj->s", step, covariance, step)
    return np.clip(total / 2, 0.0, 1e6)
