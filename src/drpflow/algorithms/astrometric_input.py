"""From camera, visits' metadata and a catalogue to the tables of the astrometric solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.sky_match import match_nearest
from drpflow.data.astrometric_tables import ReferenceAstrometry, Visits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.camera import Camera
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

    Floats: TypeAlias = NDArray[np.float64]

_MAX_ZENITH_DISTANCE_DEG = 85.0


@dataclass(frozen=True)
class VisitInput:
    """What is known of a visit.

    Parameters
    ----------
    info
        Its metadata.
    boresight_deg
        Right ascension, declination and rotation as its first WCSs tell; NaN where they do not.
    wcs
        First WCS of each detector that was read out; None where there is none.
    """

    info: VisitInfo
    boresight_deg: tuple[float, float, float]
    wcs: Mapping[int, SkyWcs | None]

    @property
    def pointing_deg(self) -> tuple[float, float, float]:
        """Right ascension, declination and rotation: as fitted, else as recorded; else NaN."""
        if np.isfinite(self.boresight_deg).all():
            return self.boresight_deg
        recorded = (self.info.ra_deg, self.info.dec_deg, self.info.rotation_deg)
        ra, dec, rotation = (float("nan") if v is None else float(v) for v in recorded)
        return ra, dec, rotation

    @property
    def lacks(self) -> str:
        """What is missing for an astrometric solution, or an empty text."""
        if self.info.mjd is None:
            return "its time is unknown"
        if not np.isfinite(self.pointing_deg).all():
            return "none of its detectors has a WCS, and its pointing or rotation is not recorded"
        return ""


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
    return _placed(theirs, pairs.first, ra_deg.size, unknown_error_mas), ids


def _placed(
    theirs: ReferenceStars, row: NDArray[np.intp], n_stars: int, unknown_error_mas: float
) -> ReferenceAstrometry:
    """Return reference stars at the rows of their stars."""

    def column(values: Floats) -> Floats:
        placed = np.full(n_stars, np.nan)
        placed[row] = values
        return placed

    errors = (theirs.ra_err, theirs.dec_err)
    position = [np.where(np.isfinite(error), error, unknown_error_mas) for error in errors]
    # Places as seen from the moving Earth hold their parallax already.
    barycentric = theirs.observer == "barycenter"
    parallax = theirs.parallax if barycentric else np.full(len(theirs), np.nan)
    covariance = np.full((n_stars, 5, 5), np.nan)
    covariance[row] = 0.0
    motion = [theirs.pm_ra_err, theirs.pm_dec_err, theirs.parallax_err]
    for k, error in enumerate([*position, *motion]):
        covariance[row, k, k] = error**2
    return ReferenceAstrometry(
        column(theirs.ra),
        column(theirs.dec),
        column(theirs.pm_ra),
        column(theirs.pm_dec),
        column(parallax),
        covariance,
        column(theirs.epoch),
    )
