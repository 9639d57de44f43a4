"""Stars measured again with the final PSF, and the aperture corrections that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.ap_corr import REFERENCE, apply_ap_corr, fit_ap_corr
from drpflow.algorithms.final_characterization.level import level_image
from drpflow.algorithms.measurement.fluxes import gaussian_filters, normalized_top_hat
from drpflow.algorithms.measurement.sources import measure_stars
from drpflow.algorithms.measurement.work_image import whole_image
from drpflow.algorithms.psf_residual import ResidualStack, stack_residuals
from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.polynomial import Domain, Polynomial2D
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.final_characterization.cutouts import DetectorPixels
    from drpflow.algorithms.psf_fit.neighbors import Neighbors
    from drpflow.config.ap_corr import ApCorrConfig
    from drpflow.config.measurement import MeasurementConfig
    from drpflow.data.geometry import Box
    from drpflow.data.psf import Psf

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]
    Bools: TypeAlias = NDArray[np.bool_]
    Columns: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Corrected:
    """Fluxes of the stars of a detector, corrected for aperture.

    Parameters
    ----------
    columns
        Of the stars, corrected.
    ap_corr
        What corrected them, or None.
    failure
        Why they could not be corrected by themselves.
    """

    columns: Columns
    ap_corr: ApCorrMap | None
    failure: AlgorithmError | None


def light_under(
    pixels: DetectorPixels,
    neighbors: Neighbors,
    x: Floats,
    y: Floats,
    levels: Floats,
    config: MeasurementConfig,
) -> Float32:
    """Return what is taken off the pixels before stars are measured: neighbours and levels.

    Levels reach as far as the widest of the filters that define aperture corrections, so that the
    fluxes that are compared have the same taken off; larger apertures hold the pixels as they are.

    Parameters
    ----------
    pixels, neighbors
        The detector's.
    x, y, levels
        About where the stars are, and what the background leaves under them, electrons a pixel.
    config
        Sizes of the filters.
    """
    filters = config.compensated
    reach = max(filters.tophat_ratio * filters.tophat_radius_pix, *gaussian_filters(filters)[:, 2])
    return neighbors.without(x, y) + level_image(pixels.image.shape, x, y, levels, reach)


def measure(
    pixels: DetectorPixels,
    under: Float32,
    psf: Psf,
    x: Floats,
    y: Floats,
    color: Floats,
    config: MeasurementConfig,
) -> Columns:
    """Measure the stars of a detector without their neighbours.

    Parameters
    ----------
    pixels
        The detector's.
    under
        The light that is not theirs, of :func:`light_under`; shape (ny, nx) [electron].
    psf
        The final model.
    x, y
        About where the stars are, shape (N,).
    color
        Their colours, mag; NaN where not known. Fluxes are those of the model at its reference
        colour, as of sources whose colours nobody knows; moments of the PSF at the star's own.
    config
        How.
    """
    clean = pixels.image - under
    occupied = pixels.mask.any("DETECTED")
    work = whole_image(clean, pixels.variance, pixels.mask, occupied, len(x), config)
    columns = measure_stars(x, y, work, pixels.mask, psf, config)
    known = color
    if psf.color_ref is not None:
        known = np.where(np.isfinite(color), color, psf.color_ref)
    shape = psf.compute_shape(columns["x"], columns["y"], known)
    columns |= {"ixxPSF": shape.xx, "iyyPSF": shape.yy, "ixyPSF": shape.xy}
    images = psf.compute_kernel_images(columns["x"], columns["y"], known)
    peak = images.max(axis=(1, 2)) if len(images) else np.zeros(0)
    return columns | {"psf_max_value": peak.astype(np.float32)}


def residuals(
    pixels: DetectorPixels, under: Float32, psf: Psf, columns: Columns, color: Floats
) -> Callable[[Bools], ResidualStack]:
    """Return the function from stars of a detector to the mean of what they have beside the PSF.

    Parameters
    ----------
    pixels, under, psf
        What the stars were measured with.
    columns
        What :func:`measure` gave.
    color
        Their colours, mag; NaN where not known.
    """
    x, y, flux = (columns[name] for name in ("x", "y", "psfFlux_instFlux"))
    clean = (pixels.image - under).astype(np.float32)

    def of(stars: Bools) -> ResidualStack:
        about = (v[stars] for v in (x, y, color, flux))
        return stack_residuals(clean, pixels.variance, pixels.spoiled, psf, *about)

    return of


def correct(columns: Columns, stars: Bools, box: Box, config: ApCorrConfig) -> Corrected:
    """Fit the aperture corrections of a detector and apply them.

    Parameters
    ----------
    columns
        What :func:`measure` gave.
    stars
        Those that the corrections are made of.
    box
        The detector's pixels.
    config
        Parameters.
    """
    normalized, _ = normalized_top_hat(columns, _bright(columns, stars, config.min_snr))
    columns = columns | normalized
    try:
        ap_corr, used = fit_ap_corr(columns, stars, box, config)
    except AlgorithmError as failure:
        nothing = {"calib_apcorr_used": np.zeros(len(stars), bool)}
        return Corrected(columns | nothing, None, failure)
    columns |= apply_ap_corr(columns, ap_corr) | {"calib_apcorr_used": used}
    return Corrected(columns, ap_corr, None)


def _bright(columns: Columns, stars: Bools, min_snr: float) -> Bools:
    """Return the stars whose light within 12 pixels is well measured; all where none is.

    About a faint star these pixels hold as much of what is not known of the sky.
    """
    aperture, error = columns["ap12Flux_instFlux"], columns["ap12Flux_instFluxErr"]
    with np.errstate(invalid="ignore"):
        bright = stars & (aperture > min_snr * error)
    return bright if bright.any() else stars


def corrected_by(corrected: Corrected, others: Sequence[ApCorrMap], box: Box) -> Corrected:
    """Return a detector whose stars are too few, with the mean corrections of the others.

    Parameters
    ----------
    corrected
        The detector.
    others
        Corrections of the other detectors of the visit, at least one.
    box
        Pixels of this one.
    """
    ap_corr = ApCorrMap({name: _mean(name, others, box) for name in others[0]})
    columns = corrected.columns
    if not np.isfinite(columns[f"{REFERENCE}_instFlux"]).any():
        scale = ap_corr.evaluate(REFERENCE, 0.0, 0.0)
        columns = columns | {
            f"{REFERENCE}_{part}": columns[f"compTophatFlux_{part}"] * scale
            for part in ("instFlux", "instFluxErr")
        }
    columns = columns | apply_ap_corr(columns, ap_corr)
    return Corrected(columns, ap_corr, corrected.failure)


def _mean(name: str, others: Sequence[ApCorrMap], box: Box) -> ApCorr:
    """Return the constant mean of a correction, with the scatter of the detectors as its error."""
    held = [(m.evaluate(name, *box.center), m.error(name)) for m in others if name in m]
    values, errors = (np.array(v, float) for v in zip(*held, strict=True))
    error = float(np.hypot(np.std(values), np.sqrt(np.mean(np.square(errors)))))
    return ApCorr(Polynomial2D.constant(float(values.mean()), Domain.of_box(box)), error)


def reserved_figures(stars: Columns) -> dict[str, float | int | str]:
    """Return how reserved stars differ from the model: medians of dT/T and of the distortions."""
    if not stars:
        return {}
    rows = stars["calib_psf_reserved"] & ~stars["shape_flag"]
    if not rows.any():
        return {}
    xx, yy, xy = (stars[name][rows] for name in ("ixx", "iyy", "ixy"))
    mxx, myy, mxy = (stars[f"{name}PSF"][rows] for name in ("ixx", "iyy", "ixy"))
    trace, model = xx + yy, mxx + myy
    return {
        "reserved_dT_T": float(np.median(trace / model - 1)),
        "reserved_de1": float(np.median((xx - yy) / trace - (mxx - myy) / model)),
        "reserved_de2": float(np.median(2 * xy / trace - 2 * mxy / model)),
    }


def by_detector(columns: Mapping[str, NDArray[Any]], detector: int) -> Columns:
    """Return the rows of one detector."""
    rows = np.flatnonzero(columns["detector"] == detector)
    return {name: values[rows] for name, values in columns.items()}
