"""The full-depth sources of a detector: found, separated, measured, corrected, classified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.ap_corr import (
    CORRECTED_FLUXES,
    REFERENCE,
    apply_ap_corr,
    fit_ap_corr,
    mark_uncorrected,
)
from drpflow.algorithms.final_image.flags import (
    FIT_FLAGS,
    PSF_FLAGS,
    artifact_flags,
    match_stars,
    star_flags,
)
from drpflow.algorithms.final_image.flux_scale import FluxScale, star_scale, told_by_stars
from drpflow.algorithms.final_image.reference_scale import reference_offset
from drpflow.algorithms.final_image.standard import standard_columns
from drpflow.algorithms.measurement.classification import extendedness
from drpflow.algorithms.measurement.kron import kron_columns
from drpflow.algorithms.measurement.noisy_psf import debiased_psf_columns
from drpflow.algorithms.source_catalog import find_sources, measure_found
from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.flux_errors import own_errors
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.final_image.frame import FinalFrame, FinalModels
    from drpflow.config.finalize_image import FinalizeImageConfig
    from drpflow.data.flux_ratios import FluxRatios
    from drpflow.data.geometry import Box
    from drpflow.data.psf import Psf

    Columns = dict[str, NDArray[Any]]
    Rows = NDArray[np.int64]

KRON = "kronFlux"
_ARTIFACTS = ("ARTIFACT", "TRANSIENT")
_DEBIASED = 4
# Stars that tell a scale; the error of the correction, which they share, does not count.
_LEAST_SNR = 10.0


@dataclass(frozen=True, eq=False)
class KnownStars:
    """Stars of a detector that other tasks have used.

    Parameters
    ----------
    psf
        ``x``, ``y`` and the flags `PSF_FLAGS` of those measured with the final PSF; None if they
        are not known.
    fits
        ``x``, ``y``, the flags `FIT_FLAGS`, ``color`` [mag, NaN where not measured],
        ``first_flux`` and ``first_reference`` [electron, NaN where flagged] of detections of
        isolated stars; likewise.
    flux
        Name of that first flux, which the photometric calibration has calibrated.
    ratios
        Of the first reference flux to that flux; None where they are the same.
    """

    psf: Mapping[str, NDArray[Any]] | None = None
    fits: Mapping[str, NDArray[Any]] | None = None
    flux: str = REFERENCE
    ratios: FluxRatios | None = None


@dataclass(frozen=True, eq=False)
class Catalog:
    """Sources and places of sky.

    Parameters
    ----------
    columns
        Those of ``final_source_detector``, and more.
    ap_corr
        What corrected the fluxes.
    numbers
        Counts.
    """

    columns: Columns
    ap_corr: ApCorrMap
    numbers: dict[str, float | int | str]


def make_catalog(
    frame: FinalFrame, models: FinalModels, stars: KnownStars, config: FinalizeImageConfig
) -> Catalog:
    """Detect to the limit, deblend, place sky sources, measure, correct, classify, flag.

    Parameters
    ----------
    frame
        Final pixels, cosmic rays filled, with the planes of artifacts. DETECTED and NOT_DEBLENDED
        are set.
    models
        What to measure and calibrate with.
    stars
        Stars of the models.
    config
        The sections of the algorithms.
    """
    glow: dict[str, float | int | str] = {}
    if config.above_first_background:
        frame, glow = frame.above_glow()
    found = find_sources(frame, models.psf, config)
    measured = measure_found(frame, found, frame.mask.any(_ARTIFACTS), models.psf, config)
    columns = measured.columns
    columns |= debiased_psf_columns(measured.work, columns, models.psf, frame.rng(_DEBIASED))
    known, pairs, counts = _known_stars(columns, frame, models, stars, config)
    columns |= known
    columns |= _at_own_color(columns, models.psf)
    columns |= kron_columns(measured.work, columns, config.kron)
    scale = models.scale or _scale_by_stars(columns, models, stars, pairs, frame.box)
    ap_corr = told_by_stars(models.ap_corr, stars.flux, scale)
    ap_corr, told = _reference_told(columns, ap_corr, models, stars, pairs, frame.box)
    columns |= _corrected(columns, ap_corr)
    columns |= _kron_corrected(columns, frame, config)
    columns |= extendedness(columns, config.measurement.classification)
    center_pix = config.measurement.center_radius_pix
    columns |= artifact_flags(measured.work, frame.mask, columns["x"], columns["y"], center_pix)
    numbers = {**glow, **measured.numbers, **counts, **_told(scale, stars.flux), **told}
    return Catalog(standard_columns(columns, frame, models, center_pix), ap_corr, numbers)


def _told(scale: FluxScale, flux: str) -> dict[str, float | int | str]:
    return {
        "flux_scale": scale.factor,
        "flux_scale_scatter": scale.scatter,
        "flux_scale_number": scale.number,
        "calibrated_flux": flux,
    }


def _scale_by_stars(
    columns: Columns, models: FinalModels, stars: KnownStars, pairs: tuple[Rows, Rows], box: Box
) -> FluxScale:
    """Return the scale at which stars have the flux that was calibrated."""
    if stars.fits is None or stars.flux not in models.ap_corr:
        return FluxScale(1.0, float("nan"), 0)
    first = stars.fits["first_flux"]
    return _scale_of_flux(columns, stars.flux, models.ap_corr, (first, models), pairs, box)


def _reference_told(
    columns: Columns, ap_corr: ApCorrMap, models: FinalModels, stars: KnownStars,
    pairs: tuple[Rows, Rows], box: Box,
) -> tuple[ApCorrMap, dict[str, float | int | str]]:  # fmt: skip
    """Return corrections with the reference on the scale of the flux that was calibrated.

    The first reference fluxes of the same stars say what it is, less what the first ones of this
    image are off by.
    """
    if stars.ratios is None or stars.fits is None or REFERENCE not in ap_corr:
        return ap_corr, {}
    off, number = reference_offset(stars.ratios)
    first = stars.fits["first_reference"] * np.exp(-off)
    scale = _scale_of_flux(columns, REFERENCE, ap_corr, (first, models), pairs, box)
    if not number or not scale.number:
        return ap_corr, {"reference_scale": 1.0, "reference_scale_number": 0}
    known = ap_corr[REFERENCE]
    own = ApCorr(known.correction.scaled(scale.factor), known.error * scale.factor)
    figures: dict[str, float | int | str] = {
        "reference_scale": scale.factor,
        "reference_scale_number": min(number, scale.number),
    }
    return ApCorrMap({**ap_corr, REFERENCE: own}), figures


def _scale_of_flux(
    columns: Columns, name: str, ap_corr: ApCorrMap, first: tuple[NDArray[np.float64], FinalModels],
    pairs: tuple[Rows, Rows], box: Box,
) -> FluxScale:  # fmt: skip
    """Return the scale at which stars have the same flux as in the first look, calibrated anew."""
    rows, star_rows = pairs
    corrected = apply_ap_corr(columns, ApCorrMap({name: ap_corr[name]}))
    parts = ("instFlux", "instFluxErr", "apCorr", "apCorrErr")
    final, *errors = (corrected[f"{name}_{part}"][rows] for part in parts)
    own = own_errors(final, *errors)
    with np.errstate(invalid="ignore"):
        good = ~corrected[f"{name}_flag"][rows] & (final > _LEAST_SNR * own)
    x, y = columns["x"][rows], columns["y"][rows]
    flux_electron, models = first
    first_njy = flux_electron[star_rows] * models.photo_calib.factor(x, y)
    return star_scale(first_njy[good], final[good], own[good], x[good], y[good], box)


def _known_stars(
    columns: Columns,
    frame: FinalFrame,
    models: FinalModels,
    stars: KnownStars,
    config: FinalizeImageConfig,
) -> tuple[Columns, tuple[Rows, Rows], dict[str, int]]:
    """Return what other tasks know of sources that are stars, rows of isolated ones, and counts."""
    n = len(columns["x"])
    radius_pix = config.match_radius_arcsec / _scale_arcsec(frame, models)
    pairs = match_stars(columns, stars.psf, radius_pix)
    known = star_flags(n, stars.psf, pairs, PSF_FLAGS)
    counts = {"calib_psf_stars": pairs[0].size}
    pairs = match_stars(columns, stars.fits, radius_pix)
    known |= star_flags(n, stars.fits, pairs, FIT_FLAGS)
    known["psf_color_value"] = np.full(n, np.nan, np.float32)
    if stars.fits is not None:
        known["psf_color_value"][pairs[0]] = stars.fits["color"][pairs[1]]
    return known, pairs, counts | {"isolated_stars": pairs[0].size}


def _at_own_color(columns: Columns, psf: Psf) -> Columns:
    """Return the moments of the PSF, of stars whose colours are known at these.

    Fluxes stay those of the PSF at its reference colour: aperture corrections are made with it.
    """
    color = columns["psf_color_value"].astype(float)
    rows = np.flatnonzero(np.isfinite(color))
    if psf.color_ref is None or not rows.size:
        return {}
    x, y = columns["x"][rows], columns["y"][rows]
    own = psf.compute_shape(x, y, color[rows])
    usual = psf.compute_shape(x, y, np.full(rows.size, psf.color_ref))
    moved: Columns = {}
    for axes in ("xx", "yy", "xy"):
        change = getattr(own, axes) - getattr(usual, axes)
        for name in (f"i{axes}PSF", f"i{axes}DebiasedPSF"):
            moved[name] = columns[name].copy()
            moved[name][rows] += change
    return moved


def _scale_arcsec(frame: FinalFrame, models: FinalModels) -> float:
    """Return the side of a pixel in the middle of the detector."""
    return float(models.wcs.pixel_scale_arcsec(*frame.box.center))


def _corrected(columns: Columns, ap_corr: ApCorrMap) -> Columns:
    """Return fluxes corrected for aperture; those that cannot be are NaN and flagged."""
    known = ApCorrMap({name: ap_corr[name] for name in CORRECTED_FLUXES if name in ap_corr})
    found: Columns = apply_ap_corr(columns, known) | mark_uncorrected(columns, known)
    for name in CORRECTED_FLUXES:
        if name not in known:
            for part in ("instFlux", "instFluxErr"):
                found[f"{name}_{part}"] = np.full(len(columns["x"]), np.nan)
    return found


def _kron_corrected(columns: Columns, frame: FinalFrame, config: FinalizeImageConfig) -> Columns:
    """Return Kron fluxes corrected for aperture, by the stars of the PSF on this detector.

    No other task measures Kron fluxes: their correction is made here, from the final reference
    flux, and so is on the scale of all others.
    """
    stars = columns["calib_psf_used"]
    try:
        found, _ = fit_ap_corr(columns, stars, frame.box, config.ap_corr)
    except AlgorithmError:
        found = ApCorrMap()
    if KRON not in found:
        unknown = np.full(len(stars), np.nan)
        return {
            f"{KRON}_instFlux": unknown,
            f"{KRON}_instFluxErr": unknown.copy(),
            f"{KRON}_flag": np.ones(len(stars), bool),
        }
    return apply_ap_corr(columns, ApCorrMap({KRON: found[KRON]}))
