"""calibrateImage: first PSF, WCS, zero point and source catalogue of a detector.

    detrended image -> background -> cosmic rays -> stars, PSF -> background again
    -> detection, deblending, measurement -> aperture corrections -> extendedness
    -> astrometry -> photometry -> statistics, pixels in nJy

What fails leaves its component missing, and what does not depend on it goes on.
``docs/tasks/calibrateImage.md`` has the steps, their parameters, costs and references.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.background import fit_background, remodel_background
from drpflow.algorithms.binning import bin_exposure
from drpflow.algorithms.calibrate_image.catalog import make_catalog
from drpflow.algorithms.calibrate_image.frame import EMPTY, UNUSABLE, Frame
from drpflow.algorithms.calibrate_image.psf_stars import find_psf
from drpflow.algorithms.calibrate_image.solution import solution_columns, solve
from drpflow.algorithms.depth import (
    depth_statistics,
    offset_statistics,
    sky_statistics,
    wcs_statistics,
)
from drpflow.algorithms.measurement.psf_fit import typical_sigma
from drpflow.algorithms.psf_statistics import psf_statistics
from drpflow.algorithms.source_calibration import calibrate_fluxes, calibrate_positions
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import ValidPolygon
from drpflow.data.lost_exposure import lost_exposure
from drpflow.data.summary_stats import SummaryStats
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.calibrate_image.catalog import Catalog
    from drpflow.algorithms.calibrate_image.psf_stars import PsfStars
    from drpflow.algorithms.calibrate_image.solution import Solution
    from drpflow.config.calibrate_image import CalibrateImageConfig
    from drpflow.data.ap_corr import ApCorrMap
    from drpflow.data.background import Background
    from drpflow.data.camera import Detector
    from drpflow.data.footprints import Footprints
    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.psf import Psf
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

    Columns = dict[str, NDArray[Any]]

_THUMBNAIL_SIDE_PIX = 256
_MOST_UNUSABLE = 0.95
# The level of the sky is the median over every so many pixels of the background.
_SKY_STEP = 16
_FAILED_BEFORE = ("psf", "wcs", "photo_calib", "ap_corr", "background", "summary_stats")


@dataclass(frozen=True)
class CalibrateImageResult:
    """What calibrateImage makes of a detector.

    Parameters
    ----------
    images
        ``initial_pvi``, in nJy if there is a zero point, else in electrons; and its thumbnail.
    background
        What was subtracted, in electrons.
    tables
        Columns of ``initial_stars_detector`` and ``initial_stars_footprints_detector``; None for
        tables without rows.
    numbers
        Figures for the status file.
    failure
        The first cause of what is missing, or None.
    """

    images: tuple[Exposure, Exposure]
    background: Background
    tables: tuple[Columns | None, Columns | None]
    numbers: dict[str, float | int | str]
    failure: AlgorithmError | None


@dataclass(eq=False)
class _Found:
    """What is known of a detector so far."""

    psf: Psf | None = None
    ap_corr: ApCorrMap | None = None
    wcs: SkyWcs | None = None
    photo_calib: PhotoCalib | None = None
    statistics: dict[str, float] = field(default_factory=dict)
    missing: dict[str, AlgorithmError] = field(default_factory=dict)
    numbers: dict[str, float | int | str] = field(default_factory=dict)
    columns: Columns | None = None
    footprints: Columns | None = None


def calibrate_image(
    exposure: Exposure,
    visit_info: VisitInfo,
    reference: ReferenceStars | None,
    config: CalibrateImageConfig,
) -> CalibrateImageResult:
    """Calibrate one detector's detrended image.

    Parameters
    ----------
    exposure
        What isr made: electrons, with its first WCS.
    visit_info
        Time, band and zenith.
    reference
        Reference stars around the detector, at the epoch of their catalogue; None if there is no
        catalogue: then there is neither WCS nor zero point.
    config
        The section ``calibrateImage``.

    Raises
    ------
    AlgorithmError
        If the image has no sky to speak of.

    Notes
    -----
    A failure of PSF, aperture correction, WCS or zero point is in the result.
    """
    (detector,) = exposure.require("detector")
    frame = Frame.of_exposure(exposure, visit_info.visit, detector.id, config.seed)
    found = _Found()
    _check_light(frame)
    _first_background(frame, config)
    try:
        stars = find_psf(frame, config)
    except AlgorithmError as failure:
        _give_up(found, failure)
        _sky(frame, frame.mask.any("DETECTED"), found, config)
        return _result(frame, exposure, visit_info, found)
    found.psf = stars.fit.psf
    masked = _second_background(frame, stars.fit.psf, config)
    catalog = make_catalog(frame, masked, stars, config)
    _note_catalog(found, catalog, stars)
    solution = solve(
        catalog.columns,
        exposure.wcs,
        reference,
        visit_info,
        frame.box,
        config,
        corrected=catalog.ap_corr is not None,
    )
    _note_solution(found, solution, catalog, reference)
    _sky(frame, masked | frame.mask.any("DETECTED"), found, config)
    _statistics(frame, found, catalog, solution, visit_info, config)
    return _result(frame, exposure, visit_info, found)


def _check_light(frame: Frame) -> None:
    """Raise AlgorithmError if nearly all pixels are saturated or empty."""
    saturated = float(frame.mask.any("SAT").mean())
    unusable = float(frame.mask.any(UNUSABLE).mean())
    if unusable > _MOST_UNUSABLE:
        what = "saturated" if saturated > unusable / 2 else "unusable"
        raise AlgorithmError(
            f"{100 * max(saturated, unusable):.0f} % of the pixels are {what}",
            {"saturated_fraction": saturated, "unusable_fraction": unusable},
            "Look at the raw frame: exposure time, twilight, shutter",
        )


def _first_background(frame: Frame, config: CalibrateImageConfig) -> None:
    """Take off a level that is not yet free of sources."""
    ignored = frame.mask.any(UNUSABLE)
    frame.subtract(
        "mesh",
        fit_background(
            frame.image, ignored, config.background.box_pix, config.background, first=True
        ),
    )


def _second_background(frame: Frame, psf: Psf, config: CalibrateImageConfig) -> NDArray[np.bool_]:
    """Replace the background by one that sources do not enter; return their pixels."""
    frame.restore()
    model = remodel_background(
        frame.image,
        frame.variance,
        frame.mask,
        typical_sigma(psf, frame.image.shape),
        config.background,
    )
    for name, layer in model.background.layers:
        frame.subtract(name, layer)
    return model.masked


def _give_up(found: _Found, failure: AlgorithmError) -> None:
    """Note that without a PSF there is nothing else."""
    found.missing["psf"] = failure
    for name in ("ap_corr", "wcs", "photo_calib"):
        found.missing[name] = AlgorithmError(f"no PSF: {failure}")


def _note_catalog(found: _Found, catalog: Catalog, stars: PsfStars) -> None:
    found.columns = catalog.columns
    found.footprints = _footprint_columns(catalog.footprints, catalog.columns["sourceId"])
    found.ap_corr = catalog.ap_corr
    if catalog.failure is not None:
        found.missing["ap_corr"] = catalog.failure
    found.numbers |= catalog.numbers
    found.numbers |= {
        "psf_candidates": len(stars.x),
        "psf_stars": int(stars.fit.used.sum()),
        "psf_order": stars.fit.order,
        "psf_fwhm_pix": stars.fit.fwhm_pix,
        "bright_threshold": stars.threshold,
        "bright_sources": stars.n_sources,
    }


def _note_solution(
    found: _Found, solution: Solution, catalog: Catalog, reference: ReferenceStars | None
) -> None:
    found.missing |= solution.failures
    found.wcs = solution.wcs
    if solution.astrometry is not None:
        found.numbers |= solution.astrometry.numbers
    if solution.photometry is not None:
        found.photo_calib = solution.photometry.zero_point.photo_calib()
        found.numbers |= solution.photometry.zero_point.numbers()
    columns = catalog.columns
    columns |= calibrate_positions(columns, found.wcs)
    columns |= calibrate_fluxes(columns, found.photo_calib)
    columns |= solution_columns(solution, len(columns["x"]), reference)


def _sky(
    frame: Frame, sources: NDArray[np.bool_], found: _Found, config: CalibrateImageConfig
) -> None:
    """Note level and noise of the sky."""
    sample = frame.background.image(frame.box)[::_SKY_STEP, ::_SKY_STEP]
    found.statistics |= sky_statistics(
        frame.image,
        frame.variance,
        sources,
        frame.mask.any(UNUSABLE),
        float(np.median(sample)),
        config.depth,
    )


def _statistics(
    frame: Frame,
    found: _Found,
    catalog: Catalog,
    solution: Solution,
    visit_info: VisitInfo,
    config: CalibrateImageConfig,
) -> None:
    """Note all that summarises the detector."""
    numbers = found.statistics
    if found.psf is not None:
        numbers |= psf_statistics(found.psf, catalog.columns, frame.box, found.ap_corr)
    numbers["nBlendSkipped"] = catalog.numbers["blends_skipped"]
    if solution.astrometry is not None:
        fit = solution.astrometry
        numbers |= wcs_statistics(fit.wcs, visit_info)
        numbers |= offset_statistics(fit.separation_arcsec[fit.used])
        numbers["nAstromStar"] = int(fit.used.sum())
    if solution.photometry is not None:
        numbers["nPhotomStar"] = solution.photometry.zero_point.n_used
    zero_point = found.photo_calib.zero_point_mag if found.photo_calib else None
    numbers |= depth_statistics(SummaryStats(numbers), zero_point, visit_info, config.depth)


def _result(
    frame: Frame, exposure: Exposure, visit_info: VisitInfo, found: _Found
) -> CalibrateImageResult:
    """Return the products."""
    image, variance = frame.image, frame.variance
    if found.photo_calib is not None:
        image, scaled = found.photo_calib.calibrate_image(image, variance)
        assert scaled is not None
        variance = scaled
    components = {
        "wcs": found.wcs,
        "psf": found.psf,
        "photo_calib": found.photo_calib,
        "ap_corr": found.ap_corr,
        "background": frame.background,
        "valid_polygon": ValidPolygon.from_box(frame.box),
        "visit_info": visit_info,
        "detector": exposure.detector,
        "summary_stats": SummaryStats(found.statistics),
    }
    calibrated = Exposure(
        image,
        frame.mask,
        variance,
        unit="electron" if found.photo_calib is None else "nJy",
        components=components,
        missing={name: str(failure) for name, failure in found.missing.items()},
    )
    return CalibrateImageResult(
        (calibrated, make_thumbnail(calibrated)),
        frame.background,
        (found.columns, found.footprints),
        found.numbers,
        next(iter(found.missing.values()), None),
    )


def _footprint_columns(footprints: Footprints, source_ids: NDArray[np.int64]) -> Columns:
    """Return a row for each run of pixels of each footprint."""
    runs = np.diff(footprints.first_span)
    return {
        "sourceId": np.repeat(source_ids[: len(footprints)], runs),
        "y": footprints.span_y,
        "x0": footprints.span_x0,
        "x1": footprints.span_x1,
    }


def make_thumbnail(exposure: Exposure) -> Exposure:
    """Return the exposure in at most 256 blocks of pixels a side, for people to look at."""
    return bin_exposure(exposure, _THUMBNAIL_SIDE_PIX, EMPTY)


def failed_images(
    detector: Detector, visit_info: VisitInfo | None, reason: str
) -> tuple[Exposure, Exposure]:
    """Return the complete form of images that could not be calibrated: NaN, NO_DATA everywhere.

    Parameters
    ----------
    detector
        Gives the shape.
    visit_info
        The visit, if its metadata can be read.
    reason
        Why all components are missing.
    """
    failed = lost_exposure(detector, visit_info, reason, _FAILED_BEFORE)
    return failed, make_thumbnail(failed)
