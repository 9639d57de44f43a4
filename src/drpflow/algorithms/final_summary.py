"""What the final summary of a visit is made of: choice and guard of WCSs, passbands, statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.calibrate_image.frame import UNUSABLE
from drpflow.algorithms.depth import (
    depth_statistics,
    offset_statistics,
    sky_statistics,
    wcs_statistics,
)
from drpflow.algorithms.fgcm.nominal_passbands import nominal_passband
from drpflow.algorithms.psf_statistics import psf_statistics
from drpflow.algorithms.sky_match import match_nearest
from drpflow.data.healpix import pixel_centers_deg
from drpflow.data.recalibration import PixelCalibration
from drpflow.data.reference_stars import unit_vectors
from drpflow.data.summary_stats import SummaryStats
from drpflow.data.transmission import TransmissionCurve
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.config.photometry import DepthConfig
    from drpflow.config.update_visit_summary import WcsGuardConfig
    from drpflow.data.ap_corr import ApCorrMap
    from drpflow.data.background import Background
    from drpflow.data.camera import Filter
    from drpflow.data.exposure import Exposure
    from drpflow.data.geometry import Box
    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.psf import Psf
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

    Floats: TypeAlias = NDArray[np.float64]
    Curve: TypeAlias = tuple[Floats, Floats]
    Columns: TypeAlias = Mapping[str, NDArray[Any]]
    Statistics: TypeAlias = dict[str, float]

_ARCSEC_PER_RAD = 180 * 3600 / np.pi
_DETECTED = ("DETECTED", "DETECTED_NEGATIVE")
# The level of the sky is the median over every so many pixels of the background.
_SKY_STEP = 16


def nearest_piece(order: int, pieces: Sequence[int], ra_deg: float, dec_deg: float) -> int:
    """Return the piece of the sky whose centre is nearest to a place.

    Parameters
    ----------
    order
        HEALPix order of the pieces.
    pieces
        Pixels, nested, at least one; of equally near ones the first.
    ra_deg, dec_deg
        The place.
    """
    centers = unit_vectors(*pixel_centers_deg(order, np.array(pieces)))
    return pieces[int(np.argmax(centers @ unit_vectors(ra_deg, dec_deg)))]


def corner_displacement_arcsec(wcs: SkyWcs, preliminary: SkyWcs, box: Box) -> float:
    """Return the largest distance on the sky between two WCSs at the corners of an image."""
    one, two = (unit_vectors(*w.sky_corners(box).T) for w in (wcs, preliminary))
    chord = np.linalg.norm(one - two, axis=1)
    return float(2 * np.arcsin(np.minimum(chord / 2, 1)).max() * _ARCSEC_PER_RAD)


def why_not(displacement_arcsec: float, rescued_error_arcsec: float, config: WcsGuardConfig) -> str:
    """Return why a WCS is not believed, or an empty text.

    Parameters
    ----------
    displacement_arcsec
        Largest distance of a corner from the preliminary WCS; NaN if there is none to compare.
    rescued_error_arcsec
        Stated error of a preliminary WCS that is not the detector's own, else NaN.
    config
        The limits.
    """
    if not np.isfinite(displacement_arcsec):
        return "there is no preliminary WCS to check it against"
    limit = config.max_corner_arcsec
    if np.isfinite(rescued_error_arcsec):
        limit += config.rescued_sigma * rescued_error_arcsec
    if displacement_arcsec <= limit:
        return ""
    return (
        f"it moves a corner by {displacement_arcsec:.3g} arcsec from the preliminary WCS, "
        f"more than {limit:.3g}"
    )


def passband(atmosphere: TransmissionCurve, item: Filter, curve: Curve | None) -> TransmissionCurve:
    """Return what reaches a detector's pixels: atmosphere, telescope, filter and CCD.

    Parameters
    ----------
    atmosphere
        Of the visit.
    item
        The filter.
    curve
        Wavelengths [nm] and throughput of telescope, filter and CCD; None where the camera file
        tells none: then the nominal passband of the filter stands in, as it does in the
        photometric calibration.
    """
    if curve is None:
        curve, _ = nominal_passband(item.physical_filter, item.band, item.effective_wavelength_nm)
    return TransmissionCurve.from_table(*curve) * atmosphere


def final_sky(exposure: Exposure, background: Background, config: DepthConfig) -> Statistics:
    """Return level and noise of the sky under the final background.

    The recorded calibration and background of the pixels are undone and the final background is
    taken off; figures are in electrons, and depend on no zero point.

    Parameters
    ----------
    exposure
        ``initial_pvi``.
    background
        The final one.
    config
        Parameters.

    Raises
    ------
    AlgorithmError
        If the pixels are in nJy and what made them so is not recorded, or the background is not
        in electrons.
    """
    if background.unit != "electron":
        raise AlgorithmError(f"the background is in {background.unit}, not in electrons")
    calibration = exposure.photo_calib if exposure.unit == "nJy" else None
    if exposure.unit == "nJy" and calibration is None:
        raise AlgorithmError("the pixels are in nJy, and what made them so is not recorded")
    applied = PixelCalibration(calibration, exposure.background)
    wanted = PixelCalibration(None, background)
    image = wanted.apply(applied.undo(exposure.image, exposure.xy0), exposure.xy0)
    variance = applied.undo_on_variance(exposure.variance, exposure.xy0)
    mask = exposure.mask
    sources, unusable = (
        mask.any([name for name in names if name in mask.planes]) for names in (_DETECTED, UNUSABLE)
    )
    level = background.image(exposure.box)[::_SKY_STEP, ::_SKY_STEP]
    return sky_statistics(image, variance, sources, unusable, float(np.median(level)), config)


def psf_figures(psf: Psf, stars: Columns, box: Box, ap_corr: ApCorrMap | None) -> Statistics:
    """Return the statistics of the final PSF from the stars that were measured with it.

    Parameters
    ----------
    psf
        The final one.
    stars
        Columns of ``final_characterization_stars`` of the detector. Stars are compared with the
        model at their own colours.
    box
        The detector's pixels.
    ap_corr
        The final aperture corrections, None if there are none.
    """
    return psf_statistics(psf, stars, box, ap_corr, at_own_color=True)


def star_offsets(
    wcs: SkyWcs, stars: Columns, references: ReferenceStars | None, radius_arcsec: float
) -> Statistics:
    """Return how far good stars lie from their references by the final WCS.

    Parameters
    ----------
    wcs
        The final one.
    stars
        Columns of ``final_characterization_stars`` of the detector.
    references
        The catalogue at the epoch of the visit; None without.
    radius_arcsec
        Largest distance of a star to its reference.
    """
    if references is None or not len(references):
        return {}
    good = stars["calib_psf_candidate"] & ~stars["centroid_flag"]
    ra, dec = wcs.pixel_to_world_values(stars["x"][good], stars["y"][good])
    pairs = match_nearest(ra, dec, references.ra, references.dec, radius_arcsec)
    return offset_statistics(pairs.separation_arcsec)


def depth(
    known: Statistics,
    wcs: SkyWcs | None,
    photo_calib: PhotoCalib | None,
    visit_info: VisitInfo,
    config: DepthConfig,
) -> SummaryStats:
    """Return all statistics: those that are known, where the image lies, and how deep it goes.

    Parameters
    ----------
    known
        Statistics of PSF, sky and stars; what is missing is done without.
    wcs, photo_calib
        The final ones, None where there are none.
    visit_info
        Time, place and band.
    config
        Parameters.
    """
    values = dict(known)
    if wcs is not None:
        values |= wcs_statistics(wcs, visit_info)
    zero_point = None if photo_calib is None else photo_calib.zero_point_mag
    values |= depth_statistics(SummaryStats(values), zero_point, visit_info, config)
    return SummaryStats(values)
