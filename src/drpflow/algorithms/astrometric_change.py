"""By how much a second astrometric solution differs from the first, before and after it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_statistics import (
    AM1_ARCMIN,
    ResidualVectors,
    separation_repeatability,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.astrometric_tables import Observations
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = Mapping[str, NDArray[Any]]

_SIDE = 5
_MIN_STARS = 6
_CLIP_SIGMA = 4.0
_ROUNDS = 3
_MAS_PER_ARCSEC = 1000.0
_MAS_PER_RAD = 180 * 3.6e6 / np.pi
# Bright stars are those of the better half of the centroids.
_BRIGHT_QUANTILE = 0.5


def expected_change_mas(before: Observations, after: Observations, scale_arcsec: float) -> Floats:
    """Return by how much the WCS of each image should change with the centroids of its stars.

    A WCS takes pixels to the sky: to first order it changes by the displacement of the centroids,
    as smooth as it is. An affine map of each image's displacements, clipped, stands for that; what
    their errors have to do with it is left out.

    Parameters
    ----------
    before, after
        The same detections, row by row, with both centroids.
    scale_arcsec
        Side of a pixel.

    Returns
    -------
    ndarray
        Root mean square over the stars of each image, mas; images of fewer than six stars have
        none.
    """
    n_detectors = int(before.detector.max(initial=0)) + 1
    key = before.visit.astype(np.int64) * n_detectors + before.detector
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    shifts = np.stack([after.x - before.x, after.y - before.y], axis=1)
    places = np.stack([before.x, before.y], axis=1)
    known = np.isfinite(shifts[:, 0]) & np.isfinite(shifts[:, 1])
    found = []
    for rows in np.split(order, starts[1:]) if key.size else []:
        good = rows[known[rows]]
        if good.size >= _MIN_STARS:
            found.append(_smooth_rms(places[good], shifts[good]))
    return scale_arcsec * _MAS_PER_ARCSEC * np.array(found, np.float64)


def _smooth_rms(places: Floats, shifts: Floats) -> float:
    """Return the rms over stars of the affine map that fits their shifts."""
    spread = np.maximum(np.ptp(places, axis=0), 1.0)
    design = np.column_stack([np.ones(len(places)), (places - places.mean(axis=0)) / spread])
    kept = np.ones(len(places), np.bool_)
    model = np.zeros_like(shifts)
    for _ in range(_ROUNDS):
        terms = np.linalg.lstsq(design[kept], shifts[kept], rcond=None)[0]
        model = design @ terms
        off = np.hypot(*(shifts - model).T)
        sigma = 1.2 * float(np.median(off[kept]))
        new = off <= _CLIP_SIGMA * sigma
        if new.sum() < _MIN_STARS or (new == kept).all():
            break
        kept = new
    return float(np.sqrt((model[kept] ** 2).sum(axis=1).mean()))


def wcs_change_mas(before: SkyWcs | None, after: SkyWcs | None) -> float:
    """Return the median distance between two WCSs of a detector, mas; NaN if one is missing.

    On a grid of 5 × 5 pixels up to the edges.
    """
    if before is None or after is None or after.pixel_shape is None:
        return float("nan")
    nx, ny = after.pixel_shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, _SIDE), np.linspace(0, ny - 1, _SIDE))
    (ra0, dec0), (ra1, dec1) = (w.pixel_to_world_values(x, y) for w in (before, after))
    return float(np.median(distance_mas(ra0, dec0, ra1, dec1)))


def distance_mas(ra0: Floats, dec0: Floats, ra1: Floats, dec1: Floats) -> Floats:
    """Return distances between near places, given in degrees, in mas."""
    east = np.radians((ra1 - ra0 + 180.0) % 360.0 - 180.0) * np.cos(np.radians(dec0))
    return np.asarray(np.hypot(east, np.radians(dec1 - dec0)) * _MAS_PER_RAD)


@dataclass(frozen=True)
class Am1Change:
    """Scatter over visits of the separations of bright stars 5 arcmin apart, mas.

    Parameters
    ----------
    before, after
        By the first solution, and by the second; NaN without pairs.
    """

    before: float
    after: float


def am1_change(before: Columns, after: Columns, *, reserved: bool) -> Am1Change:
    """Return AM1 of the same stars by two solutions.

    Parameters
    ----------
    before, after
        Columns of ``solved_astrometry_residuals`` and ``final_astrometry_residuals``.
    reserved
        Whether of the reserved stars, or of those that made the fit.
    """
    one, two = _common(before, after)
    if not one.size:
        return Am1Change(float("nan"), float("nan"))
    counts = before["used"][one] & after["used"][two]
    counts = counts & (np.asarray(before["reserved"][one], bool) == reserved)
    error = np.hypot(before["xx"][one], before["yy"][one])
    if counts.any():
        counts &= error <= np.quantile(error[counts], _BRIGHT_QUANTILE)
    values = [
        separation_repeatability(_vectors(columns, rows[counts]), AM1_ARCMIN).median_mas
        for columns, rows in ((before, one), (after, two))
    ]
    return Am1Change(*values)


def _common(before: Columns, after: Columns) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of the detections that both have, in the same order."""
    if not before or not after:
        none = np.zeros(0, np.intp)
        return none, none
    number = len(before["visit"])
    key = np.zeros(number + len(after["visit"]), np.int64)
    for name in ("isolated_star_id", "visit", "detector"):
        both = np.concatenate([before[name], after[name]]).astype(np.int64)
        values, row = np.unique(both, return_inverse=True)
        key = key * values.size + row
    _, one, two = np.intersect1d(key[:number], key[number:], return_indices=True)
    return one, two


def _vectors(columns: Columns, rows: NDArray[np.intp]) -> ResidualVectors:
    return ResidualVectors(
        columns["isolated_star_id"][rows],
        columns["visit"][rows],
        columns["field_x"][rows],
        columns["field_y"][rows],
        columns["dx"][rows],
        columns["dy"][rows],
    )
