"""The sources of a detector: found, separated, measured and corrected, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.ap_corr import apply_ap_corr, fit_ap_corr
from drpflow.algorithms.calibrate_image.frame import EMPTY
from drpflow.algorithms.deblend import deblend
from drpflow.algorithms.detection import detect
from drpflow.algorithms.measurement.classification import extendedness, is_primary
from drpflow.algorithms.measurement.fluxes import normalized_top_hat
from drpflow.algorithms.measurement.psf_fit import typical_sigma
from drpflow.algorithms.measurement.sources import measure_on, measure_positions_at
from drpflow.algorithms.measurement.work_image import neighbour_free
from drpflow.algorithms.sky_sources import place_sky_sources
from drpflow.data.source_ids import make_source_ids
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.calibrate_image.frame import Frame
    from drpflow.algorithms.calibrate_image.psf_stars import PsfStars
    from drpflow.algorithms.deblend import Deblended
    from drpflow.config.calibrate_image import CalibrateImageConfig
    from drpflow.data.ap_corr import ApCorrMap
    from drpflow.data.footprints import Footprints
    from drpflow.data.psf import Psf

    Columns = dict[str, NDArray[Any]]
    Bools = NDArray[np.bool_]

CORRECTED_FLUXES = (
    "psfFlux",
    "gaussianFlux",
    "normCompTophatFlux",
    "compGaussianFlux3",
    "compGaussianFlux5",
)
"""Fluxes whose columns hold aperture corrections."""
_NOISE, _PLACES = 2, 3
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
    ignored = frame.mask.any((*EMPTY, "CR"))
    deblended, n_detected = _detect(frame, ignored, psf, config)
    work = neighbour_free(
        frame.image,
        frame.variance,
        frame.mask,
        deblended.children,
        config.measurement,
        frame.rng(_NOISE),
    )
    sources = measure_on(work, frame.mask, deblended.children, psf, config.measurement)
    occupied = masked | work.occupied | frame.mask.any((*EMPTY, "BAD", "SAT", "CR"))
    x, y = place_sky_sources(
        occupied, config.sky_sources.number, config.sky_sources.radius_pix, frame.rng(_PLACES)
    )
    sky = measure_positions_at(x, y, work, frame.mask, psf, config.measurement)
    columns = {name: np.concatenate([sources[name], sky[name]]) for name in sources}
    columns |= _origin(frame, deblended, n_detected, len(x))
    columns |= _star_flags(columns, stars, psf, frame.image.shape)
    columns, ap_corr, failure = _correct(columns, frame, config)
    columns |= extendedness(columns, config.measurement.classification)
    numbers: dict[str, float | int] = {
        "footprints": n_detected,
        "sources": len(deblended.children),
        "sky_sources": len(x),
        "peaks_dropped": int(deblended.n_dropped),
        "blends_skipped": int(np.unique(deblended.parent[deblended.skipped]).size),
    }
    return Catalog(columns, deblended.children.footprints, ap_corr, failure, numbers)


def _detect(
    frame: Frame, ignored: Bools, psf: Psf, config: CalibrateImageConfig
) -> tuple[Deblended, int]:
    """Return the separated sources and the number of footprints; set the mask planes."""
    sigma_pix = typical_sigma(psf, frame.image.shape)
    rules = config.detection
    found = detect(
        frame.image,
        frame.variance,
        ignored,
        sigma_pix,
        rules.threshold,
        grow_pix=rules.grow_sigma * sigma_pix,
        min_area=rules.min_area_pix,
        min_prominence=rules.min_prominence,
        relative_prominence=rules.relative_prominence,
        pass_ratio=rules.pass_ratio,
    ).footprints
    found.mark(frame.mask, "DETECTED")
    unusable = frame.mask.any((*EMPTY, "BAD", "SAT", "CR"))
    deblended = deblend(frame.image, frame.variance, unusable, found, psf, config.deblend)
    found.select(np.unique(deblended.parent[deblended.skipped])).mark(frame.mask, "NOT_DEBLENDED")
    return deblended, len(found)


def _origin(frame: Frame, deblended: Deblended, n_blends: int, n_sky: int) -> Columns:
    """Return identifiers, and what each source came from."""
    n = len(deblended.children)
    ids = make_source_ids(frame.visit, frame.detector, n + n_sky + n_blends)
    blend_ids = ids[n + n_sky :]
    in_blend = deblended.n_peaks > 1

    def with_sky(values: NDArray[Any], sky: Any) -> NDArray[Any]:
        return np.concatenate([values, np.full(n_sky, sky, values.dtype)])

    sky_source = np.arange(n + n_sky) >= n
    return {
        "sourceId": ids[: n + n_sky],
        "parentSourceId": with_sky(np.where(in_blend, blend_ids[deblended.parent], 0), 0),
        "deblend_nPeaks": with_sky(deblended.n_peaks.astype(np.int32), 0),
        "deblend_skipped": with_sky(deblended.skipped, False),
        "deblend_isPoint": with_sky(deblended.is_point, False),
        "blendedness": with_sky(deblended.blendedness.astype(np.float32), np.nan),
        "sky_source": sky_source,
        # Blends themselves are no rows, so that every separated source counts.
        "detect_isPrimary": is_primary(sky_source, np.zeros(n + n_sky, bool)),
    }


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
    for name in CORRECTED_FLUXES:
        if ap_corr is None or name not in ap_corr:
            unknown = np.full(len(stars), np.nan, np.float32)
            columns |= {f"{name}_apCorr": unknown, f"{name}_apCorrErr": unknown.copy()}
            columns[f"{name}_flag"] = np.ones(len(stars), bool)
    return columns | {"calib_apcorr_used": used}, ap_corr, failure
