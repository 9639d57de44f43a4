"""Zero point of a detector: which stars are compared with which reference stars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.sky_match import match_nearest
from drpflow.algorithms.zero_point import ZeroPoint, fit_zero_point
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.config.photometry import PhotometryConfig
    from drpflow.data.geometry import Box
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

_REJECTED_FLAGS = (
    "centroid_flag",
    "sky_source",
    "deblend_skipped",
    "pixelFlags_badCenter",
    "pixelFlags_saturated",
    "pixelFlags_suspectCenter",
    "pixelFlags_interpolatedCenter",
    "pixelFlags_crCenter",
    "pixelFlags_edge",
    "pixelFlags_nodata",
)


@dataclass(frozen=True, eq=False)
class Photometry:
    """Zero point and the pairs of stars behind it.

    Parameters
    ----------
    zero_point
        Of the pairs, in their order.
    source_rows, reference_rows
        Rows of the source and of its reference star, shape (N,).
    separation_arcsec
        Distance between them.
    """

    zero_point: ZeroPoint
    source_rows: NDArray[np.intp]
    reference_rows: NDArray[np.intp]
    separation_arcsec: Floats


def calibrate_photometry(
    columns: Mapping[str, NDArray[Any]],
    wcs: SkyWcs,
    reference: ReferenceStars,
    band: str,
    box: Box,
    config: PhotometryConfig,
) -> Photometry:
    """Match stars to references and fit their zero point.

    Parameters
    ----------
    columns
        Sources, with the names of ``initial_stars_detector``: x, y, the flux that `config` names
        in electrons, corrected for aperture, and flags (those that are there count).
    wcs
        Of the detector.
    reference
        Stars at the epoch of the exposure.
    band
        Band of the exposure.
    box
        The detector's pixels.
    config
        Parameters.

    Raises
    ------
    AlgorithmError
        If the catalogue lacks the band, too few stars match, or they do not agree.
    """
    if band not in reference.flux_njy:
        known = ", ".join(reference.bands) or "none"
        raise AlgorithmError(
            f"the reference catalogue has no fluxes in band {band!r} (it has: {known})",
            {"reference_stars": len(reference)},
            "Name the band in the camera file as the catalogue does, or convert it again",
        )
    rows = np.flatnonzero(photometry_candidates(columns, config))
    ra, dec = wcs.pixel_to_world_values(columns["x"][rows], columns["y"][rows])
    pairs = match_nearest(ra, dec, reference.ra, reference.dec, config.match_radius_arcsec)
    rows, stars = rows[pairs.first], reference.select(pairs.second)
    color, _ = reference_colors(reference, config)
    zero_point = fit_zero_point(
        columns[f"{config.flux}_instFlux"][rows],
        columns[f"{config.flux}_instFluxErr"][rows],
        stars.flux_njy[band],
        stars.flux_err_njy[band],
        color[pairs.second],
        config,
        x=columns["x"][rows],
        y=columns["y"][rows],
        box=box,
        expected_color_term=config.color_term.get(band, 0.0),
    )
    return Photometry(zero_point, rows, pairs.second, pairs.separation_arcsec)


def photometry_candidates(columns: Mapping[str, NDArray[Any]], config: PhotometryConfig) -> Bools:
    """Return which sources are clean point sources; flags that are not there are passed over.

    Sources are taken from 0.7 times the smallest signal to noise on; the fit cuts by that of the
    flux that it expects, so that noise does not choose the stars.
    """
    flux, error = columns[f"{config.flux}_instFlux"], columns[f"{config.flux}_instFluxErr"]
    with np.errstate(invalid="ignore"):
        good = np.isfinite(flux) & (error > 0) & (flux >= 0.7 * config.min_snr * error)
        for name, limit in (
            ("extendedness", config.max_extendedness),
            ("blendedness", config.max_blendedness),
        ):
            if name in columns:
                good &= ~(columns[name] > limit)
    for name in (*_REJECTED_FLAGS, f"{config.flux}_flag"):
        if name in columns:
            good &= ~columns[name]
    if "detect_isPrimary" in columns:
        good &= columns["detect_isPrimary"]
    return good & np.isfinite(columns["x"]) & np.isfinite(columns["y"])


def reference_colors(
    reference: ReferenceStars, config: PhotometryConfig
) -> tuple[Floats, tuple[str, str] | None]:
    """Return colours less their pivot, and the bands; NaN and None if there is no such colour."""
    for item in config.colors:
        if {item.blue, item.red} <= set(reference.bands):
            return reference.color(item.blue, item.red) - item.pivot, (item.blue, item.red)
    return np.full(len(reference), np.nan), None
