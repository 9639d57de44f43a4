"""WCS and zero point of a detector, and which sources made them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.astrometry import calibrate_astrometry
from drpflow.algorithms.photometry import calibrate_photometry
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometry import AstrometryFit
    from drpflow.algorithms.photometry import Photometry
    from drpflow.config.calibrate_image import CalibrateImageConfig
    from drpflow.data.geometry import Box
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

    Columns = dict[str, NDArray[Any]]

# Sources whose centroid is that of something else.
_MISPLACED = (
    "sky_source",
    "centroid_flag",
    "deblend_skipped",
    "pixelFlags_saturatedCenter",
    "pixelFlags_badCenter",
    "pixelFlags_crCenter",
    "pixelFlags_interpolatedCenter",
    "pixelFlags_suspectCenter",
    "pixelFlags_edge",
)


@dataclass(eq=False)
class Solution:
    """What could be calibrated, and why the rest could not.

    Parameters
    ----------
    astrometry, photometry
        The fits, None where they failed.
    failures
        By component, ``wcs`` and ``photo_calib``.
    """

    astrometry: AstrometryFit | None = None
    photometry: Photometry | None = None
    failures: dict[str, AlgorithmError] = field(default_factory=dict)

    @property
    def wcs(self) -> SkyWcs | None:
        """The WCS, if there is one."""
        return self.astrometry.wcs if self.astrometry else None


def solve(
    columns: Columns,
    guess: SkyWcs | None,
    reference: ReferenceStars | None,
    visit_info: VisitInfo,
    box: Box,
    config: CalibrateImageConfig,
    *,
    corrected: bool,
) -> Solution:
    """Fit the WCS, then the zero point.

    Parameters
    ----------
    columns
        Sources.
    guess
        First WCS, or None if there is no boresight.
    reference
        Stars around the detector as their catalogue has them, or None without a catalogue.
    visit_info
        Time and band.
    box
        The detector's pixels.
    config
        The sections of the algorithms.
    corrected
        Whether fluxes are corrected for aperture; without that there is no zero point.
    """
    solution = Solution()
    if guess is not None and guess.pixel_shape is None:
        # That of a header need not tell it.
        guess = replace(guess, pixel_shape=(box.x1 - box.x0, box.y1 - box.y0))
    try:
        stars = _at_epoch(guess, reference, visit_info)
        assert guess is not None
        solution.astrometry = _astrometry(columns, guess, stars, visit_info, config)
    except AlgorithmError as failure:
        solution.failures["wcs"] = failure
        hint = "The zero point needs the WCS"
        solution.failures["photo_calib"] = AlgorithmError(f"no WCS: {failure}", hint=hint)
        return solution
    if not corrected:
        uncorrected = AlgorithmError("no zero point: fluxes could not be corrected for aperture")
        solution.failures["photo_calib"] = uncorrected
        return solution
    try:
        solution.photometry = calibrate_photometry(
            columns, solution.astrometry.wcs, stars, visit_info.band, box, config.photometry
        )
    except AlgorithmError as failure:
        solution.failures["photo_calib"] = failure
    return solution


def _at_epoch(
    guess: SkyWcs | None, reference: ReferenceStars | None, visit_info: VisitInfo
) -> ReferenceStars:
    """Return the reference stars where they stand at the time of the exposure.

    Raises
    ------
    AlgorithmError
        If there is no guess or no catalogue.
    """
    if guess is None:
        hint = "Fill ra_deg and dec_deg of the visit sheet"
        raise AlgorithmError("there is no WCS to start from", hint=hint)
    if reference is None:
        hint = "Make one with `drpflow reference`: of a survey's tables, or of the best frame"
        raise AlgorithmError("there is no reference catalogue", hint=hint)
    return reference if visit_info.mjd is None else reference.at_epoch(visit_info.mjd)


def _astrometry(
    columns: Columns,
    guess: SkyWcs,
    stars: ReferenceStars,
    visit_info: VisitInfo,
    config: CalibrateImageConfig,
) -> AstrometryFit:
    spoiled = np.any([columns[name] for name in _MISPLACED], axis=0)

    def usable(name: str) -> NDArray[np.float64]:
        return np.where(spoiled, np.nan, columns[name])

    return calibrate_astrometry(
        usable("x"),
        usable("y"),
        usable("xErr"),
        usable("yErr"),
        usable("psfFlux_instFlux"),
        usable("psfFlux_instFluxErr"),
        guess,
        stars,
        visit_info,
        config.astrometry,
        visit_info.band,
    )


def solution_columns(solution: Solution, n: int, reference: ReferenceStars | None) -> Columns:
    """Return which sources made the WCS and the zero point, and their reference stars."""
    columns: Columns = {
        "calib_astrometry_used": np.zeros(n, bool),
        "calib_photometry_used": np.zeros(n, bool),
        "reference_id": np.zeros(n, np.int64),
        "reference_separation": np.full(n, np.nan, np.float32),
    }
    if reference is None:
        return columns
    if solution.photometry is not None:
        pairs = solution.photometry
        columns["calib_photometry_used"][pairs.source_rows] = pairs.zero_point.used
        columns["reference_id"][pairs.source_rows] = reference.id[pairs.reference_rows]
        columns["reference_separation"][pairs.source_rows] = pairs.separation_arcsec
    if solution.astrometry is not None:
        fit = solution.astrometry
        columns["calib_astrometry_used"][fit.source_rows] = fit.used
        columns["reference_id"][fit.source_rows] = reference.id[fit.reference_rows]
        columns["reference_separation"][fit.source_rows] = fit.separation_arcsec
    return columns
