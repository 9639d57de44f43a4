"""Numbers by which the report judges the astrometric solution."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_statistics import (
    AM1_ARCMIN,
    AM2_ARCMIN,
    Repeatability,
    ResidualVectors,
    TwoPointFunction,
    absolute_accuracy,
    separation_repeatability,
    two_point_function,
)
from drpflow.qa.solution_data import ELSEWHERE, TIED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.qa.solution_data import Columns, Solution

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

BRIGHT_MAS = 5.0
"""Stars whose centroid is known so well are bright in any case."""
MOTIONS = ("pm_ra", "pm_dec", "parallax")

_PER_CELL, _MOST_CELLS = 30, 8
_BINS = 14
_BEST_PERCENT = 15
_LEAST_ARCMIN = 0.2
_FEWEST = 8
# Residuals that are so many median pulls from the others are left out of means.
_FARTHEST = 5.0
# A catalogue that tells a motion as well as the fit afterwards tells nothing of the fit.
_LEAST_GAIN = 0.1
_DAYS_PER_YEAR, _MAS_PER_DEG = 365.25, 3.6e6
_EARLIER, _LATER = ("initial_dx", "initial_dy"), ("dx", "dy")


def centroid_error(residuals: Columns) -> Floats:
    """Return the error of each centroid in one coordinate, mas."""
    xx, yy = (np.asarray(residuals[name], np.float64) for name in ("xx", "yy"))
    return np.asarray(np.sqrt((xx + yy) / 2))


def bright_limit_mas(solution: Solution) -> float:
    """Return the error of the centroid up to which stars are bright: some of them always are."""
    error = centroid_error(solution.residuals)[solution.residuals["used"]]
    error = error[np.isfinite(error)]
    best = float(np.percentile(error, _BEST_PERCENT)) if error.size else 0.0
    return max(BRIGHT_MAS, best)


def vectors(residuals: Columns, rows: Bools, *, before: bool = False) -> ResidualVectors:
    """Return residuals of some rows, by the solution or by the first WCSs of the visits."""
    r = residuals
    dx, dy = (r[name][rows].astype(float) for name in (_EARLIER if before else _LATER))
    return ResidualVectors(
        r["isolated_star_id"][rows],
        r["visit"][rows],
        r["field_x"][rows].astype(float),
        r["field_y"][rows].astype(float),
        dx,
        dy,
    )


@dataclass(frozen=True, eq=False)
class MeanVectors:
    """Mean residuals over all visits in cells of the field; arrays have an entry a cell.

    Parameters
    ----------
    detector
        Its id.
    x_deg, y_deg
        Mean place in the field.
    dx_mas, dy_mas
        Mean residual.
    error_mas
        Of each coordinate, from the scatter in the cell.
    number
        Observations.
    """

    detector: NDArray[np.int64]
    x_deg: Floats
    y_deg: Floats
    dx_mas: Floats
    dy_mas: Floats
    error_mas: Floats
    number: NDArray[np.int64]

    @property
    def length_mas(self) -> Floats:
        """Lengths of the vectors."""
        return np.hypot(self.dx_mas, self.dy_mas)

    def structure(self, rows: Bools | None = None) -> float:
        """Return the rms in each coordinate beyond the errors of the means, mas."""
        rows = np.ones(self.number.size, bool) if rows is None else rows
        if not rows.any():
            return float("nan")
        square = float(np.mean(self.length_mas[rows] ** 2 / 2 - self.error_mas[rows] ** 2))
        return float(np.sqrt(max(square, 0.0)))


def mean_vectors(solution: Solution, rows: Bools, *, before: bool = False) -> MeanVectors:
    """Return weighted mean residuals in cells of each detector that hold enough observations.

    Parameters
    ----------
    solution
        The solution; its outlines say where detectors are.
    rows
        Which residuals count.
    before
        Residuals by the first WCSs instead of those by the solution.
    """
    r = solution.residuals
    v = vectors(r, rows, before=before)
    detector = r["detector"][rows]
    weight = 1 / (centroid_error(r) ** 2 + _floors(solution.visits, r) ** 2 + 1e-6)[rows]
    known = np.isfinite(v.dx_mas) & np.isfinite(v.dy_mas) & np.isfinite(weight)
    counts = np.bincount(detector[known]) if known.any() else np.zeros(1)
    usual = float(np.median(counts[counts > 0])) if (counts > 0).any() else 0.0
    cells = int(np.clip(np.sqrt(usual / _PER_CELL), 1, _MOST_CELLS))
    found = []
    for key in np.unique(detector[known]).tolist():
        mine = np.flatnonzero(known & (detector == key))
        x, y = v.x_deg[mine], v.y_deg[mine]
        corners = solution.outlines.get(key, np.column_stack([x, y]))
        cell = _cell(x, corners[:, 0], cells) * cells + _cell(y, corners[:, 1], cells)
        for k in np.unique(cell).tolist():
            inside = mine[cell == k]
            if inside.size >= _FEWEST:
                found.append((key, *_mean(v.take(inside), weight[inside]), inside.size))
    key, x, y, dx, dy, error, number = np.array(found, float).reshape(-1, 7).T
    return MeanVectors(key.astype(int), x, y, dx, dy, error, number.astype(int))


def _cell(values: Floats, corners: Floats, cells: int) -> NDArray[np.intp]:
    low, high = float(corners.min()), float(corners.max())
    scaled = (values - low) / max(high - low, 1e-12) * cells
    return np.clip(scaled.astype(int), 0, cells - 1)


def _mean(v: ResidualVectors, weight: Floats) -> tuple[float, float, float, float, float]:
    """Return mean place and residual, and the error of the latter from the scatter."""
    off = np.hypot(v.dx_mas - np.median(v.dx_mas), v.dy_mas - np.median(v.dy_mas))
    pull = off * np.sqrt(weight)
    near = pull <= _FARTHEST * max(float(np.median(pull)), 1e-9)
    share = weight * near / (weight * near).sum()
    dx, dy = float(share @ v.dx_mas), float(share @ v.dy_mas)
    square = ((v.dx_mas - dx) ** 2 + (v.dy_mas - dy) ** 2) / 2
    freedom = max(1 - float(share @ share), 1e-3)
    error = float(np.sqrt(share**2 @ square / freedom))
    return float(v.x_deg.mean()), float(v.y_deg.mean()), dx, dy, error


def two_points(solution: Solution) -> dict[str, TwoPointFunction]:
    """Return two-point functions of bright stars before and after, by whose they are."""
    r = solution.residuals
    bright = r["used"] & (centroid_error(r) <= bright_limit_mas(solution))
    fitted, reserved = bright & ~r["reserved"], bright & r["reserved"]
    chosen = {
        "before, both": (fitted | reserved, True),
        "after, stars of the fit": (fitted, False),
        "after, reserved stars": (reserved, False),
    }
    edges = separation_edges(solution)
    return {
        name: two_point_function(vectors(r, rows, before=before), edges)
        for name, (rows, before) in chosen.items()
        if rows.any()
    }


def separation_edges(solution: Solution) -> Floats:
    """Return edges of bins from the distances of neighbours to the size of the field, arcmin."""
    x, y = (solution.residuals[name] for name in ("field_x", "field_y"))
    known = np.isfinite(x) & np.isfinite(y)
    span = 60 * float(np.hypot(np.ptp(x[known]), np.ptp(y[known]))) if known.any() else 0.0
    return np.geomspace(_LEAST_ARCMIN, max(0.8 * span, 5 * _LEAST_ARCMIN), _BINS + 1)


@dataclass(frozen=True)
class Am:
    """Repeatability of separations, of bright stars.

    Parameters
    ----------
    separation_arcmin
        How far apart the stars are.
    which
        Whose, in words.
    before, after
        By the first WCSs, and by the solution.
    """

    separation_arcmin: float
    which: str
    before: Repeatability
    after: Repeatability


def repeatabilities(solution: Solution) -> list[Am]:
    """Return AM1 and AM2 of bright stars of the fit, and of reserved ones."""
    r = solution.residuals
    bright = r["used"] & (centroid_error(r) <= bright_limit_mas(solution))
    return [
        Am(
            separation,
            which,
            separation_repeatability(vectors(r, rows, before=True), separation),
            separation_repeatability(vectors(r, rows), separation),
        )
        for separation in (AM1_ARCMIN, AM2_ARCMIN)
        for which, rows in (
            ("stars of the fit", bright & ~r["reserved"]),
            ("reserved stars", bright & r["reserved"]),
        )
    ]


@dataclass(frozen=True)
class ErrorBin:
    """Residuals of stars whose centroids are about equally well known.

    Parameters
    ----------
    centroid_mas
        Error of the centroid in each coordinate, rms.
    expected_mas
        The same with the scatter of the visits (turbulence) in quadrature.
    fitted_mas, reserved_mas
        Residuals in each coordinate, rms; NaN of too few.
    number
        Observations.
    """

    centroid_mas: float
    expected_mas: float
    fitted_mas: float
    reserved_mas: float
    number: int


def error_bins(solution: Solution) -> list[ErrorBin]:
    """Return residuals against the errors of centroids, in bins of equal ratio."""
    r, v = solution.residuals, solution.visits
    error = centroid_error(r)
    good = r["used"] & np.isfinite(error) & np.isfinite(r["dx"]) & np.isfinite(r["dy"])
    if not good.any():
        return []
    floor = _floors(v, r)
    square = (r["dx"].astype(float) ** 2 + r["dy"].astype(float) ** 2) / 2
    low, high = (float(p) for p in np.percentile(error[good], [0.5, 99.5]))
    edges = np.geomspace(low, max(high, 1.01 * low), 9)
    found = []
    for low, high in pairwise(edges.tolist()):
        rows = good & (error >= low) & (error < high)
        if rows.sum() < _FEWEST:
            continue
        noise = error[rows] ** 2
        found.append(
            ErrorBin(
                float(np.sqrt(noise.mean())),
                float(np.sqrt(np.mean(noise + floor[rows] ** 2))),
                _rms(square[rows & ~r["reserved"]]),
                _rms(square[rows & r["reserved"]]),
                int(rows.sum()),
            )
        )
    return found


def _floors(visits: Columns, residuals: Columns) -> Floats:
    """Return the floor of each residual's visit in its piece of the sky, 0 where unknown."""
    keys = zip(visits["visit"].tolist(), visits["skypix"].tolist(), strict=True)
    floor = dict(zip(keys, np.nan_to_num(visits["floor"]).tolist(), strict=True))
    mine = zip(residuals["visit"].tolist(), residuals["skypix"].tolist(), strict=True)
    return np.array([floor.get(key, 0.0) for key in mine])


def _rms(square: Floats) -> float:
    return float(np.sqrt(square.mean())) if square.size >= _FEWEST else float("nan")


@dataclass(frozen=True, eq=False)
class Against:
    """Stars against the reference catalogue, propagated to their epoch.

    Parameters
    ----------
    aa1
        AA1 (east-west, north-south) in mas, by whose stars they are; with their number.
    aa1_before
        The same of their mean places by the first WCSs of the visits; empty if these are gone.
    pulls
        Of each motion, by whose stars they are.
    """

    aa1: dict[str, tuple[float, float, int]]
    aa1_before: dict[str, tuple[float, float, int]]
    pulls: dict[str, dict[str, Floats]]


def against_references(solution: Solution) -> Against | None:
    """Compare places, motions and parallaxes with the catalogue; None without one."""
    s, references = solution.stars, solution.references
    if references is None or not s["ra"].size:
        return None
    found, at = _rows_of(s["reference_id"], references.id)
    usable = found & (s["reference_id"] != 0) & (s["n_good"] > 0) & ((s["flag"] & ELSEWHERE) == 0)
    kinds = {"stars of the fit": usable & ~s["reserved"], "reserved stars": usable & s["reserved"]}
    before = _first_places(solution)
    return Against(
        {name: _aa1(s, rows, references, at) for name, rows in kinds.items()},
        {
            name: _aa1(before, rows & np.isfinite(before["ra"]), references, at)
            for name, rows in kinds.items()
            if solution.first
        },
        {
            name: {motion: _pulls(s, motion, rows, references, at) for motion in MOTIONS}
            for name, rows in kinds.items()
        },
    )


def _rows_of(wanted: NDArray[Any], ids: NDArray[Any]) -> tuple[Bools, NDArray[np.intp]]:
    """Return which of some numbers are there, and in which row (any row if they are not)."""
    if not ids.size:
        return np.zeros(wanted.size, bool), np.zeros(wanted.size, np.intp)
    order = np.argsort(ids)
    at = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), order.size - 1)]
    return ids[at] == wanted, at


def _first_places(solution: Solution) -> Columns:
    """Return the mean places of the solution's stars by the first WCSs, NaN where unknown."""
    if not solution.first:
        return {}
    found, at = _rows_of(solution.stars["isolated_star_id"], solution.first["isolated_star_id"])
    if not solution.first["ra"].size:
        return {name: np.full(found.size, np.nan) for name in ("ra", "dec", "epoch")}
    return {n: np.where(found, solution.first[n][at], np.nan) for n in ("ra", "dec", "epoch")}


def _aa1(
    places: Columns, rows: Bools, references: ReferenceStars, at: NDArray[np.intp]
) -> tuple[float, float, int]:
    """Return AA1 of some stars: the catalogue at their epochs, unknown motions counting as none."""
    r = references.select(at[rows])
    years = (places["epoch"][rows] - r.epoch) / _DAYS_PER_YEAR
    east, north = (np.nan_to_num(m) * years / _MAS_PER_DEG for m in (r.pm_ra, r.pm_dec))
    ra, dec = r.ra + east / np.cos(np.radians(r.dec)), r.dec + north
    return *absolute_accuracy(places["ra"][rows], places["dec"][rows], ra, dec), int(rows.sum())


def _pulls(
    stars: Columns, name: str, rows: Bools, references: ReferenceStars, at: NDArray[np.intp]
) -> Floats:
    """Return (fit - catalogue) over its error.

    Where the catalogue was the prior of the fit, the variance of the difference is that of the
    catalogue *less* that of the fit (Cov(posterior mean - prior mean) = P_prior - P_posterior);
    where it was not, their sum.
    """
    known, known_err = getattr(references, name)[at], getattr(references, f"{name}_err")[at]
    error = stars[f"{name}_err"]
    tied = (stars["flag"] & TIED) > 0
    variance = known_err**2 + np.where(tied, -1, 1) * error**2
    good = rows & np.isfinite(known) & np.isfinite(stars[name])
    good &= variance > _LEAST_GAIN * known_err**2
    return np.asarray((stars[name] - known)[good] / np.sqrt(variance[good]))


def pull_width(pulls: Floats) -> float:
    """Return 1.4826 times the median absolute pull, NaN of too few."""
    return 1.4826 * float(np.median(np.abs(pulls))) if pulls.size >= _FEWEST else float("nan")
