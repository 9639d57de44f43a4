"""A last night tied to the solution of the visits before it: tables taken, made and held."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from drpflow.algorithms.astrometric_fit.result import StarFlag
from drpflow.algorithms.photometric_products import parameter_columns
from drpflow.algorithms.solved_reference import held_maps, held_parameters
from drpflow.data.astrometric_tables import ReferenceAstrometry

if TYPE_CHECKING:
    from drpflow.algorithms.astrometric_fit import AstrometrySolution
    from drpflow.algorithms.fgcm import FgcmResult
    from drpflow.data.astrometric_tables import Stars
    from drpflow.data.photometric_tables import Stars as PhotometricStars
    from drpflow.data.solved_instrument import HeldMap, HeldParameter

Rows = NDArray[np.intp]
Table = TypeVar("Table")

# Not columns, and what is made from the others.
_WHOLE = ("bands", "physical_filters", "x_axis")
_UNFIT = int(StarFlag.VARIABLE | StarFlag.NO_OBSERVATION)


def taken(table: Table, rows: Rows) -> Table:
    """Return the visits (or detections) of some rows."""
    columns: dict[str, Any] = {f.name: getattr(table, f.name) for f in fields(table)}  # type: ignore[arg-type]
    kept = {n: c if n in _WHOLE or c is None else np.asarray(c)[rows] for n, c in columns.items()}
    if "hour" in kept:
        kept["hour"] = None
    return type(table)(**kept)


def observed(observations: Table, visits: Rows) -> tuple[Table, NDArray[np.bool_]]:
    """Return the detections of some visits, which these count, and which of all they are."""
    visit = np.asarray(observations.visit)  # type: ignore[attr-defined]
    seen = np.isin(visit, visits)
    row = np.searchsorted(visits, visit[seen]).astype(np.int32)
    part = taken(observations, np.flatnonzero(seen))
    return replace(part, visit=row), seen  # type: ignore[type-var]


def split(time: NDArray[np.float64], band: NDArray[Any], per_band: int) -> tuple[Rows, Rows]:
    """Return the visits before the last night, and the first ones of it in each band.

    Parameters
    ----------
    time
        Of the visits, days; nights are apart by half a day and more.
    band
        Of the visits.
    per_band
        How many in each; 0 for the whole night.
    """
    last = time > time.max() - 0.5
    new = np.flatnonzero(last)
    if per_band:
        new = np.sort(np.concatenate([new[band[new] == b][:per_band] for b in np.unique(band)]))
    return np.flatnonzero(~last), new


def photometric_catalog(stars: PhotometricStars, solution: FgcmResult) -> PhotometricStars:
    """Return the stars with standard magnitudes as their reference, variable ones without."""
    mag, err = solution.standard_mag.copy(), solution.standard_err.copy()
    mag[solution.stars.variable] = err[solution.stars.variable] = np.nan
    return replace(stars, reference_mag=mag, reference_err=err)


def photometric_instrument(solution: FgcmResult) -> tuple[HeldParameter, ...]:
    """Return what a solution has found of the instrument."""
    return held_parameters(parameter_columns(solution))


def astrometric_catalog(stars: Stars, solution: AstrometrySolution) -> Stars:
    """Return the stars with places and motions of a solution as their reference."""
    found = solution.stars
    unfit = (found.flag & _UNFIT) > 0
    names = ("ra_deg", "dec_deg", "pm_ra", "pm_dec", "parallax")
    values = [np.where(unfit, np.nan, getattr(found, name)) for name in names]
    epoch = np.full(len(stars), found.epoch_mjd)
    return replace(stars, reference=ReferenceAstrometry(*values, found.covariance, epoch))


def astrometric_instrument(
    solution: AstrometrySolution, mjd: NDArray[np.float64]
) -> tuple[HeldMap, ...]:
    """Return the static maps of a solution, each from the visit whose WCS is known best."""
    images, best = solution.images, {}
    for row in np.argsort(-images.error_arcsec).tolist():
        best[int(images.detector[row])] = row
    return held_maps(
        (d, float(mjd[images.visit[r]]), float(images.error_arcsec[r]), solution.wcs[v, d])
        for d, r in sorted(best.items())
        for v in [int(images.visit[r])]
    )
