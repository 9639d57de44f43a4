"""finalizeCharacterization: the final PSF and aperture corrections of a visit, and its stars.

    isolated stars of all visits -> their pixels on every detector, neighbours taken off
    -> one PSF model of the visit -> stars measured again -> aperture corrections

``docs/tasks/finalizeCharacterization.md`` has inputs, products and figures,
``docs/algorithms/final_psf.md`` the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.ap_corr import mark_uncorrected
from drpflow.algorithms.final_characterization.cutouts import (
    DetectorPixels,
    cut_stars,
    half_size_pix,
    neighbors_of,
)
from drpflow.algorithms.final_characterization.fit import fit_visit
from drpflow.algorithms.final_characterization.geometry import Place, domain_of
from drpflow.algorithms.final_characterization.level import levels_under
from drpflow.algorithms.final_characterization.measure import (
    by_detector,
    correct,
    corrected_by,
    light_under,
    measure,
    reserved_figures,
    residuals,
)
from drpflow.algorithms.final_characterization.predicted import (
    Predicted,
    predict,
    with_own_error,
)
from drpflow.algorithms.psf_residual import joined_meta
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.flux_errors import own_errors
from drpflow.errors import AlgorithmError, DrpflowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.final_characterization.fit import DetectorFit, DetectorStars, VisitFit
    from drpflow.algorithms.final_characterization.measure import Corrected
    from drpflow.config.finalize_characterization import FinalizeCharacterizationConfig
    from drpflow.data.ap_corr import ApCorrMap
    from drpflow.data.background import Background
    from drpflow.data.camera import Camera
    from drpflow.data.exposure import Exposure
    from drpflow.data.psf import Psf
    from drpflow.data.sky_wcs import SkyWcs

    Columns: TypeAlias = dict[str, NDArray[Any]]
    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

HELD = ("psf", "ap_corr")
"""Components of ``final_characterization_summary``."""
NEEDED = (
    "isolated_star_id", "sourceId", "detector", "reserved", "x", "y", "xErr", "yErr", "ixx", "iyy",
    "ixy", "shape_flag", "psfFlux_instFlux", "psfFlux_instFluxErr",
    "psfFlux_apCorr", "psfFlux_apCorrErr",
)  # fmt: skip
"""Columns of ``isolated_stars_source`` that the task uses, beside the flags it is told."""
_ERROR_PARTS = "instFluxErr", "apCorr", "apCorrErr"
_NO_NUMBERS = {
    "n_psf_candidates": 0, "n_psf_used": 0, "n_psf_reserved": 0, "n_ap_corr": 0, "psf_order": -1,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class FirstLook:
    """What is known of a detector before.

    Parameters
    ----------
    psf
        Its first PSF, None if there is none.
    wcs, wcs_error_arcsec
        Of the astrometric solution, None if there is none.
    peaks
        x and y of all that was detected, pixels.
    background
        What is to be taken off its pixels; None for what has been taken off.
    """

    psf: Psf | None = None
    wcs: SkyWcs | None = None
    wcs_error_arcsec: float = float("nan")
    peaks: tuple[Floats, Floats] = field(default_factory=lambda: (np.zeros(0), np.zeros(0)))
    background: Background | None = None


@dataclass(frozen=True, eq=False)
class VisitStars:
    """A visit as this task sees it.

    Parameters
    ----------
    visit, band
        Which.
    camera
        Geometry.
    detectors
        What is known of each detector that was read out.
    sources
        Detections of isolated stars: the columns `NEEDED` and flags; ``color`` [mag, NaN if
        unknown]; ``ra``, ``dec`` [deg] at the time of the exposure by the astrometric solution and
        ``place_err`` [mas], NaN without.
    color_type
        What the colours are, such as ``g-i``.
    """

    visit: int
    band: str
    camera: Camera
    detectors: Mapping[int, FirstLook]
    sources: Columns
    color_type: str = ""


@dataclass(frozen=True, eq=False)
class Characterized:
    """What finalizeCharacterization makes.

    Parameters
    ----------
    summary
        ``final_characterization_summary``.
    stars
        Columns of ``final_characterization_stars``; empty if there are none.
    numbers
        Figures for the status file.
    problem
        Why something is missing, or None.
    residuals
        Mean images of stars less the PSF, for the metadata of the summary: ``used``, ``reserved``.
    """

    summary: ComponentTable
    stars: Columns
    numbers: dict[str, float | int | str]
    problem: AlgorithmError | None = None
    residuals: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class _Detector:
    """A detector while the visit is worked on."""

    place: Place
    known: FirstLook
    columns: Columns
    candidate: Bools
    used: Bools
    chi2: Floats
    predicted: Predicted
    stars: DetectorStars | None = None
    fit: DetectorFit | None = None
    visit_fit: VisitFit | None = None
    corrected: Corrected | None = None
    residuals: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def makes_psf(self) -> Bools:
        """Candidates that are not reserved."""
        return self.candidate & ~self.columns["reserved"].astype(bool)


def finalize_characterization(
    visit: VisitStars,
    exposure_of: Callable[[int], Exposure],
    config: FinalizeCharacterizationConfig,
) -> Characterized:
    """Make the final PSF and aperture corrections of all detectors of a visit.

    Parameters
    ----------
    visit
        What is known of it.
    exposure_of
        Opens the ``initial_pvi`` of a detector. It is asked twice for each, so that the pixels of
        one detector are in memory at a time.
    config
        The section ``finalizeCharacterization``.

    Raises
    ------
    AlgorithmError
        If no detector gets a PSF.
    """
    work = {d: _start(visit, d, config) for d in sorted(visit.detectors)}
    sigma_pix = _typical_sigma(visit.sources)
    _predict(work, config)
    for d in work.values():
        _cut(d, exposure_of, sigma_pix, config)
    _fit(work, config)
    if all(d.fit is None for d in work.values()):
        reason = next((r for d in work.values() for r in d.missing.values()), "no detector")
        candidates = sum(int(d.candidate.sum()) for d in work.values())
        reserved = candidates - sum(int(d.makes_psf.sum()) for d in work.values())
        raise AlgorithmError(
            f"no detector of the visit has a PSF: {reason}",
            {"candidates": candidates, "reserved": reserved, "detectors": len(work)},
            "Look at the isolated stars of this visit and their flags",
        )
    for d in work.values():
        _measure(d, exposure_of, sigma_pix, config)
    _borrow_ap_corr(work)
    return _result(visit, work, config)


def _start(visit: VisitStars, detector: int, config: FinalizeCharacterizationConfig) -> _Detector:
    """Choose the stars of a detector."""
    columns = by_detector(visit.sources, detector)
    number = len(columns["x"])
    flux = columns["psfFlux_instFlux"]
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = flux / own_errors(flux, *(columns[f"psfFlux_{part}"] for part in _ERROR_PARTS))
        candidate = snr >= config.stars.min_snr
    candidate &= np.isfinite(columns["x"]) & np.isfinite(columns["y"])
    for flag in config.stars.bad_flags:
        candidate &= ~columns[flag].astype(bool)
    ranked = np.argsort(-np.where(candidate, snr, -np.inf), kind="stable")
    candidate[ranked[config.stars.max_stars :]] = False
    return _Detector(
        Place.of_detector(visit.camera.detector(detector)),
        visit.detectors[detector],
        columns,
        candidate,
        np.zeros(number, bool),
        np.full(number, np.nan),
        Predicted.nowhere(number),
    )


def _typical_sigma(sources: Columns) -> float:
    """Return the median determinant radius of the stars, pixels."""
    good = ~sources["shape_flag"].astype(bool)
    with np.errstate(invalid="ignore"):
        size = (sources["ixx"] * sources["iyy"] - sources["ixy"] ** 2)[good] ** 0.25
    size = size[np.isfinite(size)]
    if not size.size:
        raise AlgorithmError(
            "no isolated star of this visit has a measured size",
            {"sources": len(good)},
            "Look at the isolated stars of this visit and their flags",
        )
    return float(np.median(size))


def _predict(work: Mapping[int, _Detector], config: FinalizeCharacterizationConfig) -> None:
    """Find where the astrometric solution has the stars, and how far that can be trusted."""
    if not config.psf.place_prior.use:
        return
    predicted, measured = {}, {}
    for key, d in work.items():
        c = d.columns
        predicted[key] = predict(
            c["ra"], c["dec"], c["place_err"], d.known.wcs, d.known.wcs_error_arcsec
        )
        error = np.sqrt((np.square(c["xErr"]) + np.square(c["yErr"])) / 2)
        measured[key] = c["x"], c["y"], np.where(d.candidate, error, np.nan)
    for key, found in with_own_error(predicted, measured, config.psf.place_prior).items():
        work[key].predicted = found


def _pixels(d: _Detector, exposure_of: Callable[[int], Exposure]) -> DetectorPixels | None:
    """Return a detector's pixels; note why there are none."""
    try:
        exposure = exposure_of(d.place.detector)
        if exposure.mask.any("NO_DATA").all():
            reason = exposure.missing.get("psf", "every pixel is NO_DATA")
            d.missing = dict.fromkeys(HELD, str(reason))
            return None
        return DetectorPixels.of_exposure(exposure, d.known.background)
    except DrpflowError as fault:
        d.missing = dict.fromkeys(HELD, f"its pixels cannot be had: {fault}")
        return None


def _cut(
    d: _Detector,
    exposure_of: Callable[[int], Exposure],
    sigma_pix: float,
    config: FinalizeCharacterizationConfig,
) -> None:
    """Cut out the stars that make the model."""
    pixels = _pixels(d, exposure_of)
    if pixels is None:
        return
    c, makes, x, y = d.columns, d.makes_psf, d.columns["x"], d.columns["y"]
    neighbors = neighbors_of(
        pixels, (x[d.candidate], y[d.candidate]), d.known.peaks, d.known.psf, d.place, sigma_pix,
        config.psf,
    )  # fmt: skip
    at = Predicted(*(v[makes] for v in (d.predicted.x, d.predicted.y, d.predicted.sigma)))
    start = x[makes], y[makes], c["psfFlux_instFlux"][makes]
    half = half_size_pix(sigma_pix, config.psf)
    d.stars = cut_stars(pixels, neighbors, d.place, start, c["color"][makes], at, half)


def _fit(work: Mapping[int, _Detector], config: FinalizeCharacterizationConfig) -> None:
    """Make the models."""
    having = [d for d in work.values() if d.stars is not None]
    together = config.psf.method == "focal_plane"
    domain = domain_of(d.place for d in having) if together and having else None
    for group in [having] if together and having else [[d] for d in having]:
        stars = [d.stars for d in group if d.stars is not None]
        try:
            if config.psf.method == "piff":
                from drpflow.algorithms.final_characterization.piff_method import fit_piff

                found = fit_piff(stars[0], config.psf)
            else:
                found = fit_visit(stars, config.psf, domain)
        except AlgorithmError as failure:
            for d in group:
                d.missing = dict.fromkeys(HELD, str(failure))
            continue
        for d, fit in zip(group, found.detectors, strict=True):
            if not fit.is_star(d.place):
                d.missing = dict.fromkeys(HELD, "its PSF model is no star everywhere on it")
                continue
            d.fit, d.visit_fit = fit, found
            rows = np.flatnonzero(d.makes_psf)
            d.used[rows] = fit.used
            d.chi2[rows] = fit.chi2_per_pixel


def _measure(
    d: _Detector,
    exposure_of: Callable[[int], Exposure],
    sigma_pix: float,
    config: FinalizeCharacterizationConfig,
) -> None:
    """Measure the stars of a detector with its model, and correct their fluxes."""
    pixels = None if d.fit is None else _pixels(d, exposure_of)
    if d.fit is None or pixels is None:
        return
    c, psf = d.columns, d.fit.psf
    neighbors = neighbors_of(
        pixels, (c["x"], c["y"]), d.known.peaks, psf, d.place, sigma_pix, config.psf
    )
    start, half = (c["x"], c["y"], c["psfFlux_instFlux"]), half_size_pix(sigma_pix, config.psf)
    error = 0.0 if d.visit_fit is None else d.visit_fit.level_electron
    levels = levels_under(pixels, neighbors, psf, start, c["color"], error, half, config.psf)
    under = light_under(pixels, neighbors, c["x"], c["y"], levels, config.measurement)
    made = measure(pixels, under, psf, c["x"], c["y"], c["color"], config.measurement)
    made["background_level"] = levels.astype(np.float32)
    stack = residuals(pixels, under, psf, made, c["color"])
    d.residuals = {"used": stack(d.used), "reserved": stack(d.candidate & ~d.makes_psf)}
    d.corrected = correct(made, d.makes_psf, d.place.box, config.ap_corr)


def _borrow_ap_corr(work: Mapping[int, _Detector]) -> None:
    """Give detectors whose stars are too few the mean aperture correction of the others."""
    own = [d.corrected.ap_corr for d in work.values() if d.corrected is not None]
    others: list[ApCorrMap] = [m for m in own if m is not None]
    for d in work.values():
        if d.corrected is None or d.corrected.ap_corr is not None:
            continue
        if others:
            d.corrected = corrected_by(d.corrected, others, d.place.box)
        elif d.corrected.failure is not None:
            d.missing["ap_corr"] = str(d.corrected.failure)


def _result(
    visit: VisitStars, work: Mapping[int, _Detector], config: FinalizeCharacterizationConfig
) -> Characterized:
    """Return the products."""
    rows, numbers = {}, []
    for key, d in work.items():
        ap_corr = None if d.corrected is None else d.corrected.ap_corr
        psf = None if d.fit is None or d.corrected is None else d.fit.psf
        rows[key] = ComponentRow({"psf": psf, "ap_corr": ap_corr}, d.missing)
        numbers.append(_row(d))
    columns = {"visit": np.full(len(work), visit.visit, np.int64)}
    columns |= {"psf_method": np.full(len(work), config.psf.method)}
    columns |= {name: np.array([row[name] for row in numbers]) for name in numbers[0]}
    stars = [_star_columns(visit, d) for d in work.values() if d.corrected is not None]
    table = {name: np.concatenate([s[name] for s in stars]) for name in stars[0]} if stars else {}
    levels = [d.visit_fit.level_electron for d in work.values() if d.visit_fit is not None]
    figures: dict[str, float | int | str] = {
        "detectors": len(work),
        "with_psf": sum(rows[k].components["psf"] is not None for k in rows),
        "psf_stars": int(columns["n_psf_used"].sum()),
        "reserved_stars": int(columns["n_psf_reserved"].sum()),
        "background_level_electron": round(max(levels, default=0.0), 3),
        **reserved_figures(table),
    }
    stacks = joined_meta(d.residuals for d in work.values())
    return Characterized(ComponentTable(rows, columns), table, figures, _problem(work), stacks)


def _row(d: _Detector) -> dict[str, Any]:
    """Return the plain columns of a detector's row."""
    reserved = d.candidate & d.columns["reserved"].astype(bool)
    own = d.corrected is not None and d.corrected.failure is None
    sources = {"psf_source": "none", "ap_corr_source": "none"}
    if d.corrected is not None:
        sources["psf_source"] = "stars" if d.used.any() else "neighbors"
        if d.corrected.ap_corr is not None:
            sources["ap_corr_source"] = "stars" if own else "neighbors"
    row: dict[str, Any] = {
        "n_psf_candidates": np.int32(d.candidate.sum()),
        "n_psf_used": np.int32(d.used.sum()),
        "n_psf_reserved": np.int32(reserved.sum()),
        "n_ap_corr": np.int32(
            0 if d.corrected is None else d.corrected.columns["calib_apcorr_used"].sum()
        ),
        **sources,
    }
    fit, nan = d.visit_fit, float("nan")
    return row | {
        "psf_order": np.int32(-1 if fit is None else fit.order),
        "psf_color_ref": nan if fit is None or fit.color_ref is None else fit.color_ref,
        "psf_size_scatter": nan if fit is None else fit.scatter["size"],
        "psf_e_scatter": nan if fit is None else fit.scatter["e"],
        "psf_size_own": nan if fit is None else fit.own["size"],
        "psf_e_own": nan if fit is None else fit.own["e"],
        "lost": d.missing.get("psf", ""),
    }


def _star_columns(visit: VisitStars, d: _Detector) -> Columns:
    """Return the columns of ``final_characterization_stars`` of a detector."""
    assert d.corrected is not None
    c, number = d.columns, len(d.candidate)
    fixed = d.corrected
    columns = fixed.columns | mark_uncorrected(fixed.columns, fixed.ap_corr)
    reserved = c["reserved"].astype(bool)
    psf = None if d.fit is None else d.fit.psf
    color = c["color"]
    if psf is not None and psf.color_ref is not None:
        color = np.where(np.isfinite(color), color, psf.color_ref)
    return columns | {
        "visit": np.full(number, visit.visit, np.int64),
        "band": np.full(number, visit.band),
        "detector": c["detector"].astype(np.int32),
        "isolated_star_id": c["isolated_star_id"].astype(np.int64),
        "sourceId": c["sourceId"].astype(np.int64),
        "reserved": reserved,
        "calib_psf_candidate": d.candidate,
        "calib_psf_used": d.used,
        "calib_psf_reserved": d.candidate & reserved,
        "psf_chi2": d.chi2.astype(np.float32),
        "psf_color_value": color.astype(np.float64),
        "psf_color_type": np.full(number, visit.color_type),
        "psf_color_assumed": ~np.isfinite(c["color"]),
        "x_expected": d.predicted.x,
        "y_expected": d.predicted.y,
        "expectedErr": d.predicted.sigma.astype(np.float32),
    }


def _problem(work: Mapping[int, _Detector]) -> AlgorithmError | None:
    """Return the declared failure of a visit that is incomplete, or None."""
    lost = {key: next(iter(d.missing.values())) for key, d in work.items() if d.missing}
    if not lost:
        return None
    first, reason = next(iter(lost.items()))
    return AlgorithmError(
        f"{len(lost)} of {len(work)} detectors are incomplete, such as {first}: {reason}",
        {"detectors": len(work), "incomplete": len(lost)},
        "The column lost of final_characterization_summary has the reason of each",
    )


def nothing(visit: int, detectors: Mapping[int, Any] | list[int], why: str) -> Characterized:
    """Return the products of a visit that failed: rows without components."""
    ids = sorted(detectors)
    rows = {d: ComponentRow({}, dict.fromkeys(HELD, why)) for d in ids}
    number, nan = len(ids), np.full(len(ids), np.nan)
    columns: Columns = {"visit": np.full(number, visit, np.int64)}
    columns["psf_method"] = np.full(number, "none")
    columns |= {n: np.full(number, v, np.int32) for n, v in _NO_NUMBERS.items()}
    columns |= dict.fromkeys(("psf_source", "ap_corr_source"), np.full(number, "none"))
    names = ("psf_color_ref", "psf_size_scatter", "psf_e_scatter", "psf_size_own", "psf_e_own")
    columns |= dict.fromkeys(names, nan)
    columns["lost"] = np.full(number, why)
    return Characterized(ComponentTable(rows, columns), {}, {})
