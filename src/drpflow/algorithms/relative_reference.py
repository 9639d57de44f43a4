"""A reference catalogue from the survey's own best visit, where no other exists.

Positions follow from one WCS and fluxes from one exposure. Both are consistent from visit to visit,
which is what matching, repeatability and differences need, and no more right than that visit is:
position and zero point may be off for all stars alike.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.photometry import photometry_candidates
from drpflow.algorithms.sky_match import match_nearest
from drpflow.config.photometry import PhotometryConfig
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.reference_stars import ReferenceStars
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

# What one exposure's positions are off by beyond their noise: turbulence, the WCS, pixels.
_FLOOR_MAS = 10.0
# A catalogue in another band belongs to the same stars if this share of the shorter one matches.
_SAME_STARS = 0.2
# Everything that has a peak of its own helps to match, stars or not.
_CLEAN = PhotometryConfig(max_extendedness=1.0, max_blendedness=0.5)


def count_clean(columns: Mapping[str, NDArray[Any]]) -> int:
    """Return how many clean sources of signal to noise 10 a detector has: the mark of a visit."""
    return int(photometry_candidates(columns, _CLEAN).sum())


def relative_reference(
    columns: Mapping[str, NDArray[Any]], wcs: SkyWcs, visit_info: VisitInfo, zero_point_mag: float
) -> ReferenceStars:
    """Return the clean sources of one detector as reference stars.

    Parameters
    ----------
    columns
        ``initial_stars_detector``.
    wcs
        Fitted, or the first guess.
    visit_info
        Time, exposure time and band.
    zero_point_mag
        AB magnitude that 1 electron a second is taken for.

    Raises
    ------
    AlgorithmError
        If the time or the band of the visit is unknown.
    """
    if visit_info.mjd is None or not visit_info.band:
        what = "time" if visit_info.mjd is None else "band"
        raise AlgorithmError(f"the {what} of visit {visit_info.visit} is unknown")
    rows = np.flatnonzero(photometry_candidates(columns, _CLEAN))
    x, y = columns["x"][rows], columns["y"][rows]
    ra, dec = wcs.pixel_to_world_values(x, y)
    scale_mas = 1e3 * np.asarray(wcs.pixel_scale_arcsec(x, y))
    to_njy = PhotoCalib.from_zero_point(
        zero_point_mag + 2.5 * np.log10(visit_info.exposure_time_s or 1.0)
    ).mean
    band = visit_info.band
    return ReferenceStars.from_columns(
        {
            "id": columns["sourceId"][rows],
            "ra": ra,
            "dec": dec,
            "epoch": np.full(rows.size, visit_info.mjd),
            "ra_err": np.hypot(scale_mas * columns["xErr"][rows], _FLOOR_MAS),
            "dec_err": np.hypot(scale_mas * columns["yErr"][rows], _FLOOR_MAS),
            f"flux_{band}": to_njy * columns["psfFlux_instFlux"][rows],
            f"flux_{band}_err": to_njy * columns["psfFlux_instFluxErr"][rows],
        }
    )


def with_bands_of(
    stars: ReferenceStars, other: ReferenceStars, radius_arcsec: float
) -> ReferenceStars | None:
    """Return a catalogue with the fluxes of another one added, NaN where no star matches.

    Returns
    -------
    ReferenceStars or None
        None if too few match: the WCSs of the two do not agree.
    """
    pairs = match_nearest(stars.ra, stars.dec, other.ra, other.dec, radius_arcsec)
    if len(pairs) < max(3, _SAME_STARS * min(len(stars), len(other))):
        return None
    fluxes, errors = dict(stars.flux_njy), dict(stars.flux_err_njy)
    for band in other.bands:
        for columns, values in ((fluxes, other.flux_njy), (errors, other.flux_err_njy)):
            column = np.full(len(stars), np.nan)
            column[pairs.first] = values[band][pairs.second]
            columns[band] = column
    return replace(stars, flux_njy=fluxes, flux_err_njy=errors)
