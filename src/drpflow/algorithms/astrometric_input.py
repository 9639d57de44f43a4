"""From camera, visits' metadata and a catalogue to the tables of the astrometric solution."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.sky_match import match_nearest
from drpflow.data.astrometric_tables import ANY_PARALLAX_MAS, ReferenceAstrometry, Visits
from drpflow.data.reference_stars import unit_vectors
from drpflow.data.sky_geometry import in_circle_deg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.data.astrometric_survey import VisitInput
    from drpflow.data.camera import Camera
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.visit_info import VisitInfo

    Floats: TypeAlias = NDArray[np.float64]

_MAX_ZENITH_DISTANCE_DEG = 85.0
_MAS_PER_RAD = 180 * 3.6e6 / np.pi


def visits_of(given: Sequence[VisitInput], camera: Camera) -> Visits:
    """Return the table of visits.

    Parameters
    ----------
    given
        Visits that lack nothing.
    camera
        Gives the order of bands and the sense of x.
    """
    infos = [item.info for item in given]
    used = {info.band for info in infos}
    bands = [f.band for f in camera.filters if f.band in used]
    bands = list(dict.fromkeys([*bands, *sorted(used)]))
    boresight = np.array([item.pointing_deg for item in given], float).reshape(-1, 3)
    return Visits(
        bands=tuple(bands),
        id=np.array([info.visit for info in infos], np.int64),
        mjd=np.array([info.mjd for info in infos], float),
        band=np.array([bands.index(info.band) for info in infos], np.int16),
        ra_deg=boresight[:, 0],
        dec_deg=boresight[:, 1],
        rotation_deg=boresight[:, 2],
        x_axis=camera.optics.x_axis,
        zenith=np.array([zenith_of(info) for info in infos], float).reshape(-1, 2),
    )


def zenith_of(info: VisitInfo) -> tuple[float, float]:
    """Return (east, north) towards the zenith times tan of its distance; NaN where unknown."""
    distance_deg, angle_deg = info.zenith_distance_deg, info.parallactic_angle_deg
    if distance_deg is None or angle_deg is None or distance_deg > _MAX_ZENITH_DISTANCE_DEG:
        return float("nan"), float("nan")
    tangent, angle = np.tan(np.radians(distance_deg)), np.radians(angle_deg)
    return float(tangent * np.sin(angle)), float(tangent * np.cos(angle))


def references_of(
    ra_deg: Floats,
    dec_deg: Floats,
    mjd: float,
    references: ReferenceStars | None,
    radius_arcsec: float,
    unknown_error_mas: float,
) -> tuple[ReferenceAstrometry | None, NDArray[np.int64]]:
    """Return what a catalogue says of stars, and the number of each one's reference star.

    Parameters
    ----------
    ra_deg, dec_deg
        The stars.
    mjd
        Time at which places are compared.
    references
        The catalogue, None without.
    radius_arcsec
        Largest distance of a star from its reference.
    unknown_error_mas
        Error of positions for which the catalogue gives none.

    Returns
    -------
    reference : ReferenceAstrometry or None
        Rows as the stars; None if no star has a reference.
    id : ndarray of int, shape (S,)
        0 for none.
    """
    ids = np.zeros(ra_deg.size, np.int64)
    if references is None or not len(references):
        return None, ids
    now = references.at_epoch(mjd)
    pairs = match_nearest(ra_deg, dec_deg, now.ra, now.dec, radius_arcsec)
    if not len(pairs):
        return None, ids
    theirs = references.select(pairs.second)
    ids[pairs.first] = theirs.id
    return reference_at(theirs, pairs.first, ra_deg.size, unknown_error_mas), ids


def reference_at(
    theirs: ReferenceStars, row: NDArray[np.intp], n_stars: int, unknown_error_mas: float
) -> ReferenceAstrometry:
    """Return reference stars at the rows of their stars, NaN for stars without.

    Parameters
    ----------
    theirs
        The reference stars.
    row
        Row of the star of each.
    n_stars
        Number of stars.
    unknown_error_mas
        Error of positions for which the catalogue gives none.
    """

    def column(values: Floats) -> Floats:
        placed = np.full(n_stars, np.nan)
        placed[row] = values
        return placed

    errors = {
        name: np.where(np.isfinite(error), error, unknown_error_mas)
        for name, error in (("ra_err", theirs.ra_err), ("dec_err", theirs.dec_err))
    }
    theirs = replace(theirs, **errors)  # type: ignore[arg-type]
    found = theirs.covariance()
    if theirs.observer == "earth":
        theirs, found = _from_barycenter(theirs, found)
    covariance = np.full((n_stars, 5, 5), np.nan)
    covariance[row] = found
    return ReferenceAstrometry(
        ra_deg=column(theirs.ra),
        dec_deg=column(theirs.dec),
        pm_ra=column(theirs.pm_ra),
        pm_dec=column(theirs.pm_dec),
        parallax=column(theirs.parallax),
        covariance=covariance,
        epoch_mjd=column(theirs.epoch),
    )


def _from_barycenter(theirs: ReferenceStars, covariance: Floats) -> tuple[ReferenceStars, Floats]:
    """Return stars that were seen from the Earth as the barycentre sees them.

    The places p - ϖE hold parallaxes: p is theirs plus ϖE, and its errors go with those of ϖ.
    A parallax that is not known may be anything: p lies on a line, not at the place.
    """
    unknown = ~np.isfinite(theirs.parallax) | ~np.isfinite(theirs.parallax_err)
    parallax = np.where(unknown, 0.0, theirs.parallax)
    error = np.where(unknown, ANY_PARALLAX_MAS, theirs.parallax_err)
    earth = theirs.seen_from_au()
    seen = unit_vectors(theirs.ra, theirs.dec)
    x, y, z = (seen + parallax[:, None] / _MAS_PER_RAD * earth).T
    ra = np.radians(theirs.ra)
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=1)
    factor = np.stack([(earth * axis).sum(axis=1) for axis in (east, np.cross(seen, east))], axis=1)
    grown = covariance.copy()
    grown[unknown, 4, :] = grown[unknown, :, 4] = 0.0
    grown[:, 4, 4] = error**2
    grown[:, :2, :] += factor[:, :, None] * grown[:, 4, None, :]
    grown[:, :, :2] += grown[:, :, 4, None] * factor[:, None, :]
    places = in_circle_deg(np.degrees(np.arctan2(y, x))), np.degrees(np.arctan2(z, np.hypot(x, y)))
    moved = replace(theirs, ra=places[0], dec=places[1], parallax=parallax, parallax_err=error)
    return moved, grown
