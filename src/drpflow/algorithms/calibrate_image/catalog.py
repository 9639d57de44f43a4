"""The sources of a detector: found, separated, measured and corrected, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.ap_corr import apply_ap_corr, fit_ap_corr, mark_uncorrected
from drpflow.algorithms.measurement.classification import extendedness
from drpflow.algorithms.measurement.fluxes import normalized_top_hat
from drpflow.algorithms.measurement.psf_fit import typical_sigma
from drpflow.algorithms.source_catalog import find_sources, measure_found
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.calibrate_image.frame import Frame
    from drpflow.algorithms.calibrate_image.psf_stars import PsfStars
    from drpflow.config.calibrate_image import CalibrateImageConfig
    from drpflow.data.ap_corr import ApCorrMap
    from drpflow.data.footprints import Footprints
    from drpflow.data.psf import Psf

    Columns = dict[str, NDArray[Any]]
    Bools = NDArray[np.bool_]

# A PSF star is found again within this many sigma of the PSF.
_SAME_SIGMA = 1.0


@dataclass(frozen=True, eq=False)
class Catalog:
    """Sources and places of sky.

    Parameters
    ----------
    columns
        Columns of ``initial_stars_detector`` up to the calibrations, a row a source.
    footprints
        Of the sources, in their order; places of sky, which come last, have none.
    ap_corr
        What corrected the fluxes, or None.
    failure
        Why there is no aperture correction.
    numbers
        Counts.
    """

    columns: Columns
    footprints: Footprints
    ap_corr: ApCorrMap | None
    failure: AlgorithmError | None
    numbers: dict[str, float | int]


def make_catalog(
    frame: Frame, masked: Bools, stars: PsfStars, config: CalibrateImageConfig
) -> Catalog:
    """Detect to the limit, place sky sources, deblend, measure, correct, classify.

    Parameters
    ----------
    frame
        Without its sky and cosmic rays. Mask planes DETECTED and NOT_DEBLENDED are set.
    masked
        Pixels that were kept out of the background: no sky is looked for there.
    stars
        The PSF model and its stars.
    config
        The sections of the algorithms.
    """
    psf = stars.fit.psf
    found = find_sources(frame, psf, config)
    measured = measure_found(frame, found, masked, psf, config)
    columns = measured.columns | _star_flags(measured.columns, stars, psf, frame.image.shape)
    columns, ap_corr, failure = _correct(columns, frame, config)
    columns |= extendedness(columns, config.measurement.classification)
    footprints = found.deblended.children.footprints
    return Catalog(columns, footprints, ap_corr, failure, measured.numbers)


def _star_flags(columns: Columns, stars: PsfStars, psf: Psf, shape: tuple[int, int]) -> Columns:
    """Return which sources are the stars of the PSF model."""
    from scipy.spatial import cKDTree

    n = len(columns["x"])
    flags = {f"calib_psf_{name}": np.zeros(n, bool) for name in ("candidate", "used", "reserved")}
    rows = np.flatnonzero(~columns["sky_source"] & np.isfinite(columns["x"] + columns["y"]))
    if not rows.size or not stars.x.size:
        return flags
    places = np.column_stack([columns["x"][rows], columns["y"][rows]])
    limit = max(2.0, _SAME_SIGMA * typical_sigma(psf, shape))
    distance, nearest = cKDTree(places).query(
        np.column_stack([stars.x, stars.y]), distance_upper_bound=limit
    )
    found = np.isfinite(distance)
    row = rows[nearest[found]]
    flags["calib_psf_candidate"][row] = True
    flags["calib_psf_used"][row] = stars.fit.used[found]
    flags["calib_psf_reserved"][row] = stars.fit.reserved[found]
    return flags


def _correct(
    columns: Columns, frame: Frame, config: CalibrateImageConfig
) -> tuple[Columns, ApCorrMap | None, AlgorithmError | None]:
    """Return the columns with fluxes corrected for aperture; those that cannot be are flagged."""
    stars = columns["calib_psf_candidate"]
    normalized, _ = normalized_top_hat(columns, stars)
    columns = columns | normalized
    ap_corr, used, failure = None, np.zeros(len(stars), bool), None
    try:
        ap_corr, used = fit_ap_corr(columns, stars, frame.box, config.ap_corr)
    except AlgorithmError as error:
        failure = error
    else:
        columns |= apply_ap_corr(columns, ap_corr)
    columns |= mark_uncorrected(columns, ap_corr)
    return columns | {"calib_apcorr_used": used}, ap_corr, failure
