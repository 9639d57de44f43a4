"""Aperture corrections: the ratio of a reference flux to each other flux of a star.

The reference is the compensated top-hat flux on the scale of the 12-pixel aperture. For a star the
ratio of it to any other flux, ρ = f_ref/f, depends on the PSF alone, and so on place; multiplied
with it, all fluxes of stars agree on average, and for galaxies they differ as they should.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.ap_corr import ApCorrConfig
    from drpflow.data.geometry import Box

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

Columns: TypeAlias = Mapping[str, Any]

REFERENCE = "normCompTophatFlux"
"""The flux to which the others are brought."""
CORRECTED_FLUXES = (
    "psfFlux",
    "gaussianFlux",
    REFERENCE,
    "compGaussianFlux3",
    "compGaussianFlux5",
)
"""Fluxes whose columns hold aperture corrections."""
_UNSCALED = "compTophatFlux"
_SCATTER_ROUNDS = 30
# Some stars have a neighbour in the reference's disc or ring: their ratios scatter by this much on
# top, and they are no sample of the others. Their share is found, from what is usual of this many.
_NEIGHBOR_SCATTER = 0.03
_USUAL_SHARE, _USUAL_NUMBER = 0.15, 6.0
_SIZES = tuple(np.geomspace(5e-4, 0.05, 9))
"""Sizes of the terms of place that are considered."""


def fit_ap_corr(
    columns: Columns, candidates: Bools, box: Box, config: ApCorrConfig
) -> tuple[ApCorrMap, Bools]:
    """Fit the corrections.

    Parameters
    ----------
    columns
        ``x``, ``y`` [pix] and ``<flux>_instFlux``, ``_instFluxErr``, ``_flag`` of the fluxes to
        correct, of ``normCompTophatFlux`` and ``compTophatFlux``; not corrected; shape (N,).
    candidates
        Which rows are isolated stars.
    box
        The detector's pixels.
    config
        Parameters.

    Returns
    -------
    ap_corr
        Corrections by the name of the flux; that of the reference is its constant ratio to
        ``compTophatFlux``. Errors hold the scatter of single stars beyond their noise.
    used
        Stars behind the correction of the first flux, shape (N,).

    Raises
    ------
    AlgorithmError
        If a required flux has too few stars.
    """
    corrections = {REFERENCE: _reference_scale(columns, candidates, box, config)}
    used = np.zeros(len(candidates), bool)
    for name in dict.fromkeys((*config.required, *config.fluxes)):
        good = candidates & _usable(columns, name, config)
        if good.sum() < config.min_stars:
            if name in config.required:
                raise _too_few(name, int(good.sum()), int(candidates.sum()), config)
            continue
        corrections[name], kept = fit_ratio(columns, name, good, box, config)
        if not used.any():
            used = kept
    return ApCorrMap(corrections), used


def apply_ap_corr(columns: Columns, ap_corr: ApCorrMap) -> dict[str, NDArray[Any]]:
    """Return new columns: corrected fluxes with errors, and the corrections that are in them.

    The error of a correction is one of each star, not of their mean, and goes into the error of
    the flux. Fluxes that `ap_corr` does not know stay as they are.

    Parameters
    ----------
    columns
        ``x``, ``y`` and uncorrected fluxes, as for :func:`fit_ap_corr`; shape (N,).
    ap_corr
        The corrections.

    Returns
    -------
    dict
        ``<flux>_instFlux``, ``_instFluxErr``, ``_apCorr``, ``_apCorrErr`` for each correction;
        ``_flag`` as well, set where the corrected flux is not finite.

    Raises
    ------
    ValueError
        If a flux has been corrected already.
    """
    corrected: dict[str, NDArray[Any]] = {}
    for name in ap_corr:
        if f"{name}_apCorr" in columns and np.isfinite(columns[f"{name}_apCorr"]).any():
            raise ValueError(f"{name} has been corrected for aperture already")
        source = _UNSCALED if name == REFERENCE else name
        factor = np.asarray(ap_corr.evaluate(name, columns["x"], columns["y"]), float)
        error = np.full(factor.shape, ap_corr.error(name))
        flux = np.asarray(columns[f"{source}_instFlux"], float)
        noise = np.asarray(columns[f"{source}_instFluxErr"], float)
        corrected |= {
            f"{name}_instFlux": flux * factor,
            f"{name}_instFluxErr": np.hypot(noise * factor, flux * error),
            f"{name}_apCorr": factor.astype(np.float32),
            f"{name}_apCorrErr": error.astype(np.float32),
            f"{name}_flag": np.asarray(columns[f"{source}_flag"]) | ~np.isfinite(flux * factor),
        }
    return corrected


def mark_uncorrected(columns: Columns, ap_corr: ApCorrMap | None) -> dict[str, NDArray[Any]]:
    """Return the columns that say which fluxes have no correction: they are flagged.

    Parameters
    ----------
    columns
        ``x`` gives the number of rows.
    ap_corr
        The corrections that there are.
    """
    number = len(columns["x"])
    marks: dict[str, NDArray[Any]] = {}
    for name in CORRECTED_FLUXES:
        if ap_corr is None or name not in ap_corr:
            unknown = np.full(number, np.nan, np.float32)
            marks |= {f"{name}_apCorr": unknown, f"{name}_apCorrErr": unknown.copy()}
            marks[f"{name}_flag"] = np.ones(number, bool)
    return marks


def _reference_scale(columns: Columns, candidates: Bools, box: Box, config: ApCorrConfig) -> ApCorr:
    """Return the constant that brings the compensated flux to the scale of the aperture."""
    good = candidates & _usable(columns, _UNSCALED, config)
    if not good.any():
        raise _too_few(REFERENCE, 0, int(candidates.sum()), config)
    ratio = columns[f"{REFERENCE}_instFlux"][good] / columns[f"{_UNSCALED}_instFlux"][good]
    return ApCorr(Polynomial2D.constant(float(np.median(ratio)), Domain.of_box(box)))


def _usable(columns: Columns, name: str, config: ApCorrConfig) -> Bools:
    """Return where both this flux and the reference can be trusted."""
    usable = np.ones(len(columns["x"]), bool)
    for flux in (name, REFERENCE):
        value, error = columns[f"{flux}_instFlux"], columns[f"{flux}_instFluxErr"]
        with np.errstate(invalid="ignore"):
            usable &= np.isfinite(value) & (value > 0) & (error > 0) & ~columns[f"{flux}_flag"]
    with np.errstate(invalid="ignore"):
        usable &= columns[f"{REFERENCE}_instFlux"] > (
            config.min_snr * columns[f"{REFERENCE}_instFluxErr"]
        )
    return usable & np.isfinite(columns["x"]) & np.isfinite(columns["y"])


def fit_ratio(
    columns: Columns, name: str, good: Bools, box: Box, config: ApCorrConfig
) -> tuple[ApCorr, Bools]:
    """Fit the ratio of the reference to one flux.

    Parameters
    ----------
    columns
        ``x``, ``y``, ``<flux>_instFlux`` and ``_instFluxErr`` of both, shape (N,).
    name
        The flux.
    good
        Stars to fit; those that deviate too much are left out.
    box
        The detector's pixels.
    config
        Parameters.

    Returns
    -------
    ap_corr
        Ratio as a function of place; its error is the scatter of single stars beyond their noise.
    used
        Stars behind it, shape (N,).
    """
    ratio, variance = _ratios(columns, name)
    keep = good.copy()
    for _ in range(config.clip_rounds):
        field, scatter = _field(columns, ratio, variance, keep, box, config)
        residual = ratio - field(columns["x"], columns["y"])
        middle = np.median(residual[keep])
        spread = max(1.4826 * float(np.median(np.abs(residual[keep] - middle))), 1e-6)
        limit = config.clip_sigma * np.hypot(spread, np.sqrt(variance))
        now = good & (np.abs(residual - middle) <= limit)
        if now.sum() < config.min_stars or np.array_equal(now, keep):
            break
        keep = now
    # The weighted fit leaves the typical star where the brightest ones say; the median says
    # where the stars are.
    factor = float(np.median(ratio[keep] / field(columns["x"][keep], columns["y"][keep])))
    weight = 1 / (variance[keep] + scatter**2)
    return ApCorr(field.scaled(factor), float(np.hypot(scatter, weight.sum() ** -0.5))), keep


def _ratios(columns: Columns, name: str) -> tuple[Floats, Floats]:
    """Return ρ and its variance, NaN where there is none.

    Both fluxes count the same photons. If f were the best estimate of the flux, its covariance
    with any other unbiased one would be its own variance, and var(f_ref - f) the difference of
    the two; some of its own is kept, as it is only nearly the best.
    """
    flux, error = columns[f"{name}_instFlux"], columns[f"{name}_instFluxErr"]
    reference = columns[f"{REFERENCE}_instFlux"]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = reference / flux
        own = np.square(error / flux)
        other = np.square(columns[f"{REFERENCE}_instFluxErr"] / reference)
        variance = np.square(ratio) * np.maximum(np.abs(other - own), 0.2 * own)
    return np.where(np.isfinite(ratio), ratio, np.nan), np.nan_to_num(variance, nan=1.0, posinf=1.0)


def _field(
    columns: Columns, ratio: Floats, variance: Floats, keep: Bools, box: Box, config: ApCorrConfig
) -> tuple[Polynomial2D, float]:
    """Return the polynomial of place and the scatter of stars about it.

    Its coefficients, but the constant one, are expected to be small by an amount that is unknown:
    the mean over all amounts, each weighted with the probability of the data (the evidence). Few
    stars leave a constant, many what they show, and nothing jumps in between.
    """
    x, y, values = columns["x"][keep], columns["y"][keep], ratio[keep]
    order = _highest_order(len(values), config)
    basis = Basis2D(order, Domain.of_box(box))
    design = basis.design(x, y)
    degree = basis.exponents.sum(axis=1)
    fits = [
        _fit_expecting(design, degree, size, values, variance[keep], config.scatter_floor)
        for size in (_SIZES if order else _SIZES[:1])
    ]
    evidence = np.array([fit.log_evidence for fit in fits])
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    coefficients = weight @ np.array([fit.coefficients for fit in fits])
    scatter = float(weight @ np.array([fit.scatter for fit in fits]))
    return Polynomial2D(basis, coefficients), scatter


def _highest_order(number: int, config: ApCorrConfig) -> int:
    """Return the highest degree that so many stars are allowed."""
    orders = range(config.max_order + 1)
    terms = [(order + 1) * (order + 2) // 2 for order in orders]
    return max(k for k in orders if not k or terms[k] * config.stars_per_term <= number)


class _Fit(NamedTuple):
    coefficients: Floats
    scatter: float
    log_evidence: float


def _fit_expecting(
    design: Floats,
    degree: NDArray[np.intp],
    size: float,
    values: Floats,
    variance: Floats,
    floor: float,
) -> _Fit:
    """Fit coefficients that are expected to be of a size, with the scatter of largest likelihood.

    That scatter is where Σ c (z² - 1) / (variance + scatter²) is zero, c the probability that a
    star has no neighbour which counts; faint stars, all noise, tell little of it.
    """
    free = degree == 0
    precision = np.where(free, 0.0, (size * 0.5 ** np.maximum(degree - 1, 0)) ** -2.0)
    scatter2, share, clean = floor**2, _USUAL_SHARE, np.ones(len(values))
    for _ in range(_SCATTER_ROUNDS):
        weight = clean / (variance + scatter2)
        normal = design.T @ (weight[:, None] * design)
        system, right = normal + np.diag(precision), design.T @ (weight * values)
        coefficients = np.linalg.solve(system, right)
        determined = np.trace(np.linalg.solve(system, normal))
        deviation = values - design @ coefficients
        clean, likelihood = _alone(deviation, variance + scatter2, share)
        if clean.sum() < 1:
            # The scatter is far too small as yet for any star to be one without a neighbour.
            clean = np.ones(len(values))
        number = float(clean.sum())
        share = (len(values) - number + _USUAL_SHARE * _USUAL_NUMBER) / (
            len(values) + _USUAL_NUMBER
        )
        expected = 1 / (variance + scatter2)
        mean = np.average(np.square(deviation) * expected, weights=clean * expected)
        freedom = max(1 - determined / number, 1 / len(values))
        updated = max(scatter2 * float(mean) / freedom, floor**2)
        if abs(updated - scatter2) <= 1e-3 * scatter2:
            break
        scatter2 = updated
    evidence = likelihood + 0.5 * np.log(precision[~free]).sum()
    evidence -= 0.5 * (precision @ np.square(coefficients) + np.linalg.slogdet(system)[1])
    return _Fit(coefficients, float(np.sqrt(scatter2)), float(evidence))


def _alone(deviation: Floats, variance: Floats, share: float) -> tuple[Floats, float]:
    """Return the probability that each star has no neighbour, and the logarithm of that of all.

    Parameters
    ----------
    deviation
        From the fit, shape (n,).
    variance
        Of a star without a neighbour.
    share
        Of stars with one.
    """
    wide = variance + _NEIGHBOR_SCATTER**2
    square = np.square(deviation)
    alone = np.log1p(-share) - 0.5 * (square / variance + np.log(variance))
    beside = np.log(share) - 0.5 * (square / wide + np.log(wide))
    total = np.logaddexp(alone, beside)
    return np.exp(alone - total), float(total.sum())


def _too_few(name: str, number: int, candidates: int, config: ApCorrConfig) -> AlgorithmError:
    return AlgorithmError(
        f"{number} stars are too few for the aperture correction of {name}",
        {"stars": number, "candidates": candidates, "least": config.min_stars},
        "Look at the PSF stars' fluxes; lower ap_corr.min_snr on short exposures.",
    )
