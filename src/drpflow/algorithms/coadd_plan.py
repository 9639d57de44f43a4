"""What to coadd: figures of detectors, limits from their own distribution, weights, target PSF.

A limit that suits one camera and site rejects everything of another. Each figure is therefore
judged by the distribution of the survey itself, between two guards: figures better than the one
are never a reason to leave a detector out, figures worse than the other always are. What needs no
star to be known must be known; a detector that no star vouches for shows nothing of the sky.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.coadd_plan import FWHM_OF_SIGMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.config.plan_coaddition import (
        CutConfig,
        FloorConfig,
        QualityConfig,
        TargetConfig,
    )

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = Mapping[str, NDArray[Any]]

# AB magnitude of 1 nJy.
_MAG_OF_NJY = 31.4
# Of a normal distribution: standard deviation over quartile range.
_SIGMA_OF_IQR = 1 / 1.3489795
_ITERATIONS = 500
# Figures that compare stars with the model; a detector with few stars has none.
_BY_STARS = frozenset({"psf_residual_ellipticity", "psf_size_scatter", "ap_corr_range"})


def figures(rows: Columns) -> dict[str, Floats]:
    """Return what detectors are judged by, larger being worse, and NaN where it is not known.

    Parameters
    ----------
    rows
        Columns of ``final_visit_summary`` of all detectors of a band.
    """
    sigma = sky_sigma_arcsec(rows)
    depth = rows["zeroPoint"] - 2.5 * np.log10(rows["expTime"])
    noise = np.sqrt(sky_variance(rows))
    xx, yy, xy = rows["psfIxx"], rows["psfIyy"], rows["psfIxy"]
    return {
        "psf_size": sigma / _median(sigma),
        "ellipticity": np.hypot(xx - yy, 2 * xy) / (xx + yy),
        "psf_residual_ellipticity": np.hypot(
            rows["psfStarDeltaE1Median"], rows["psfStarDeltaE2Median"]
        ),
        "psf_size_scatter": rows["psfStarScaledDeltaSizeScatter"],
        "psf_size_range": rows["psfTraceRadiusDelta"] / rows["psfSigma"],
        "psf_flux_range": rows["psfApFluxDelta"],
        "ap_corr_range": rows["psfApCorrSigmaScaledDelta"],
        "extinction": _median(depth) - depth,
        "noise": noise / _median(noise),
        "zero_point_err": rows["zero_point_err"],
        "wcs_error": rows["wcs_error"] / sigma,
        "masked_fraction": rows["maskedFraction"],
    }


def sky_sigma_arcsec(rows: Columns) -> Floats:
    """Return the adaptive sigma of the PSF at the centre of each detector, on the sky."""
    return np.asarray(rows["psfSigma"] * rows["pixelScale"])


def widest_sigma_arcsec(rows: Columns) -> Floats:
    """Return the sigma of the PSF along its long axis, where it is widest on the detector.

    The long axis counts, since a round target must be wider along each axis; and so does the
    range of the size over the detector, half of it to each side of the centre.
    """
    xx, yy, xy = rows["psfIxx"], rows["psfIyy"], rows["psfIxy"]
    long_axis = np.sqrt((xx + yy + np.hypot(xx - yy, 2 * xy)) / 2)
    more = np.nan_to_num(rows["psfTraceRadiusDelta"]) / 2
    return np.asarray((long_axis + more) * rows["pixelScale"])


def sky_variance(rows: Columns) -> Floats:
    """Return the variance of the flux in a square arcsec of empty sky, nJy² arcsec⁻².

    It is that of pixels over their area, which a resampling to other pixels keeps.
    """
    njy_per_electron = 10 ** (0.4 * (_MAG_OF_NJY - rows["zeroPoint"]))
    noise = np.where(np.isfinite(rows["skyNoise"]), rows["skyNoise"], np.sqrt(rows["meanVar"]))
    return np.asarray((noise * njy_per_electron / rows["pixelScale"]) ** 2)


def limit_of(values: Floats, cut: CutConfig, config: QualityConfig) -> float:
    """Return the largest figure that is accepted.

    Parameters
    ----------
    values
        The figure of all detectors that have their components.
    cut
        Its guards.
    config
        How far from the median is too far, and how many make a distribution.
    """
    found = _far_from_usual(values, config)
    if found is None:
        return cut.drop_above
    return float(np.clip(found, cut.keep_below, cut.drop_above))


def least_number(numbers: Floats, floor: FloorConfig, config: QualityConfig) -> float:
    """Return the smallest number that is accepted.

    Parameters
    ----------
    numbers
        Of all detectors that have their components, such as stars. Their square roots are judged:
        those of numbers of random things scatter alike, however large the numbers are.
    floor
        Its guards.
    config
        How far from the median is too far, and how many make a distribution.
    """
    found = _far_from_usual(-np.sqrt(numbers), config)
    least = floor.drop_below if found is None else min(found, 0.0) ** 2
    return float(np.clip(least, floor.drop_below, floor.keep_above))


def _far_from_usual(values: Floats, config: QualityConfig) -> float | None:
    """Return the value that is as far above the median as may be; None of too few values."""
    known = values[np.isfinite(values)]
    if known.size < config.min_detectors:
        return None
    low, middle, high = np.percentile(known, [25, 50, 75])
    # The upper half alone tells how far good figures reach up; the lower one often ends at 0.
    spread = max(high - middle, (high - low) / 2) * 2 * _SIGMA_OF_IQR
    return float(middle + config.sigma * spread)


@dataclass(frozen=True, eq=False)
class Judgement:
    """What came of the quality cuts.

    Parameters
    ----------
    reasons
        Why each detector is left out; empty for those that are used.
    figures
        What they were judged by.
    limits
        Limit of each figure.
    """

    reasons: list[str]
    figures: dict[str, Floats]
    limits: dict[str, float]


def judge(rows: Columns, lacking: list[str], config: QualityConfig) -> Judgement:
    """Return which detectors of a band are good enough, and why the others are not.

    Parameters
    ----------
    rows
        Columns of ``final_visit_summary``.
    lacking
        What each detector lacks that a coadd needs; empty if nothing.
    config
        The limits.
    """
    complete = np.array([not text for text in lacking], bool)
    whole = {name: np.where(complete, column, np.nan) for name, column in _floats(rows).items()}
    found, stars = figures(whole), whole["nPsfStar"]
    limits = {name: limit_of(v, getattr(config, name), config) for name, v in found.items()}
    least = least_number(stars, config.psf_stars, config)
    reasons: list[list[str]] = [[text] if text else [] for text in lacking]
    for name, values in (("psf_stars", stars), *found.items()):
        unknown = np.zeros(complete.size, bool) if name in _BY_STARS else ~np.isfinite(values)
        for k in np.flatnonzero(unknown & complete).tolist():
            reasons[k].append(f"{name} is not known")
    for k in np.flatnonzero(stars < least).tolist():
        why = "" if stars[k] else ", its PSF is that of other detectors"
        reasons[k].append(f"psf_stars {stars[k]:.0f} below {least:.3g}{why}")
    for name, values in found.items():
        for k in np.flatnonzero(values > limits[name]).tolist():
            reasons[k].append(f"{name} {values[k]:.3g} above {limits[name]:.3g}")
    texts = ["; ".join(of_one) for of_one in reasons]
    return Judgement(texts, {"psf_stars": stars, **found}, {"psf_stars": least, **limits})


def target_sigma(widest_pix: Floats, visit: NDArray[np.int64], config: TargetConfig) -> float:
    """Return the size of the PSF that visits are brought to, pixels of the coadd.

    Parameters
    ----------
    widest_pix
        Largest sigma of the PSF of each used detector, pixels of the coadd; at least one.
    visit
        Visit of each.
    config
        Percentile, kernel and guards.
    """
    of_visit = [widest_pix[visit == number].max() for number in np.unique(visit)]
    chosen = float(np.percentile(of_visit, config.percentile, method="higher"))
    sigma = np.hypot(chosen, config.kernel_sigma_pix)
    low, high = config.min_fwhm_pix / FWHM_OF_SIGMA, config.max_fwhm_pix / FWHM_OF_SIGMA
    return float(np.clip(sigma, low, high))


def too_wide(
    widest_pix: Floats, target_sigma_pix: float, config: TargetConfig
) -> NDArray[np.bool_]:
    """Return which detectors cannot be brought to the target without deconvolution."""
    least = np.hypot(widest_pix, config.kernel_sigma_pix)
    return np.asarray(least > target_sigma_pix * (1 + 1e-9))


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of visits.

    Parameters
    ----------
    values
        nJy⁻², of the order of the inverse variance of a pixel; one a visit.
    efficiency
        Signal-to-noise ratio of a point source on the weighted mean, over that of all visits
        each with a filter of its own.
    """

    values: Floats
    efficiency: float


def visit_weights(variance: Floats, area: Floats, *, of_point_sources: bool) -> Weights:
    """Return one weight a visit.

    Parameters
    ----------
    variance
        Variance of a pixel of the coadd in each visit, nJy², were it not correlated.
    area
        Effective area of its PSF, (Σp)²/Σp², pixels of the coadd.
    of_point_sources
        Make point sources best. Otherwise the weights are the inverse variances, which are best
        for the surface of the sky.

    Notes
    -----
    The mean with weights w has the PSF Σ w p / Σ w and the noise Σ w² v / (Σ w)², so that a source
    of unit flux is seen by the matched filter with

        S/N² = wᵀ G w / wᵀ V w,      G_uv = ∫ p_u p_v,   V = diag(v).

    It is largest for the eigenvector of the largest eigenvalue of V^-½ G V^-½. All elements of
    that matrix are positive, and hence (Perron) so are all weights. G is taken for Gaussians of
    the effective areas A, 2/(A_u + A_v), which is exact for each visit by itself. Weights are
    scaled to the sum of the inverse variances. The bound that one filter a visit reaches is the
    trace of the matrix.
    """
    inverse = 1 / variance
    overlap = 2 / (area[:, None] + area[None, :])
    root = np.sqrt(inverse)
    matrix = root[:, None] * overlap * root[None, :]
    vector = root / np.linalg.norm(root)
    if of_point_sources:
        vector = _leading(matrix, vector)
    weights = vector * root
    efficiency = np.sqrt(vector @ matrix @ vector / np.trace(matrix))
    return Weights(weights * inverse.sum() / weights.sum(), float(efficiency))


def _leading(matrix: Floats, vector: Floats) -> Floats:
    """Return the eigenvector of the largest eigenvalue of a positive matrix, by iteration."""
    for _ in range(_ITERATIONS):
        new = matrix @ vector
        new /= np.linalg.norm(new)
        if np.abs(new - vector).max() < 1e-14:
            break
        vector = new
    return new


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _floats(rows: Columns) -> dict[str, Floats]:
    return {n: np.asarray(c, np.float64) for n, c in rows.items() if c.dtype.kind in "fi"}
