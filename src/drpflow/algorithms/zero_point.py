"""Zero point of a detector from reference stars.

A star's own zero point is ``z = m_reference - m_instrument`` (AB magnitude of 1 electron), modelled
as

    z = Z - k (colour - pivot) + Σ_j a_j (T_j(x, y) - T_j(centre)) + noise

Z, the zero point at the centre for a star of the pivot colour, is free; k, the colour term, has a
Gaussian prior; the field's coefficients a_j (Chebyshev, degree d) have the prior variance τ²/d².
The noise of a star is its measured error and an intrinsic scatter s in quadrature: variability,
neighbours, passbands. s and τ are those of the highest evidence (type-II maximum likelihood);
τ = 0, a constant zero point, stays unless the evidence gains more than a threshold. Outliers are
clipped between the rounds, starting from the mode of z.

Errors of the fluxes are taken at the *expected* flux of each star. At the measured one, a star
that came out too bright would weigh more, and the zero point would follow. So is the signal to
noise that a star must have, and the bias of a logarithm, σ²/2, is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG, PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.photometry import PhotometryConfig
    from drpflow.data.geometry import Box

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

_MAG = float(2.5 / np.log(10))
"""Magnitudes in a relative error."""
# Hyperparameters that are tried, magnitudes.
_SCATTERS = np.array([0.0, *np.geomspace(1.5e-3, 1.0, 20)])
_FIELDS = np.array([0.0, *np.geomspace(6e-3, 0.5, 9)])


@dataclass(frozen=True, eq=False)
class ZeroPoint:
    """Zero point with what made it.

    Parameters
    ----------
    mean, error
        nJy per electron at the centre of the detector, for the pivot colour.
    color_term, color_term_error
        k above, mag per mag.
    field
        Variation over the detector, 1 at the centre; None where the data show none.
    used
        Which of the stars given, shape (N,).
    residual_mag
        z less its model, NaN for unusable stars, shape (N,).
    scatter_mag
        Intrinsic scatter s of the stars used.
    n_candidates
        Stars with good fluxes.
    """

    mean: float
    error: float
    color_term: float
    color_term_error: float
    field: Polynomial2D | None
    used: Bools
    residual_mag: Floats
    scatter_mag: float
    n_candidates: int

    @property
    def n_used(self) -> int:
        """Number of stars used."""
        return int(self.used.sum())

    @property
    def zero_point_mag(self) -> float:
        """AB magnitude of 1 electron."""
        return self.photo_calib().zero_point_mag

    def photo_calib(self) -> PhotoCalib:
        """Return the calibration from electrons to nJy."""
        return PhotoCalib(self.mean, self.error, self.field, "electron")

    def numbers(self) -> dict[str, float | int]:
        """Return figures for the status file."""
        return {
            "zero_point_mag": round(self.zero_point_mag, 5),
            "zero_point_error_mag": round(_MAG * self.error / self.mean, 5),
            "zero_point_stars": self.n_used,
            "zero_point_candidates": self.n_candidates,
            "zero_point_scatter_mag": round(self.scatter_mag, 5),
            "color_term": round(self.color_term, 5),
            "zero_point_varies": int(self.field is not None),
        }


@dataclass(frozen=True, eq=False)
class _Stars:
    """Usable stars: z, errors and terms of the model."""

    z: Floats
    flux_relative_error: Floats
    other_error: Floats
    color: Floats
    field: Floats
    degree: Floats

    def seen_from(self, model: Floats, min_snr: float) -> _Seen:
        """Return what the stars measure if their fluxes are those that a model of z expects.

        A logarithm of a flux with the relative error σ is low by σ²/2 in the mean.
        """
        relative = self.flux_relative_error * 10 ** (0.4 * (self.z - model))
        errors = np.hypot(_MAG * relative, self.other_error)
        return _Seen(self.z + 0.5 * _MAG * relative**2, errors, relative * min_snr <= 1)


@dataclass(frozen=True, eq=False)
class _Seen:
    """z without bias, its errors, and which stars are bright enough."""

    z: Floats
    errors: Floats
    bright: Bools


@dataclass(frozen=True, eq=False)
class _Solution:
    theta: Floats
    covariance: NDArray[Any]
    scatter: float
    tau: float
    evidence: float
    model: Floats


def fit_zero_point(
    flux_electron: Floats,
    flux_err: Floats,
    reference_flux_njy: Floats,
    reference_flux_err: Floats,
    color: Floats,
    config: PhotometryConfig,
    *,
    x: Floats | None = None,
    y: Floats | None = None,
    box: Box | None = None,
    expected_color_term: float = 0.0,
) -> ZeroPoint:
    """Fit the zero point of matched stars.

    Parameters
    ----------
    flux_electron, flux_err
        Instrumental fluxes, shape (N,).
    reference_flux_njy, reference_flux_err
        The catalogue's; an error that is NaN counts as zero.
    color
        Less its pivot; NaN for unknown.
    config
        Parameters.
    x, y, box
        Where the stars are on the detector; without them the zero point is constant.
    expected_color_term
        Mean of its prior.

    Raises
    ------
    AlgorithmError
        If there are too few stars, or they do not agree.
    """
    with np.errstate(invalid="ignore"):
        usable = (flux_electron > 0) & (flux_err > 0) & (reference_flux_njy > 0)
    usable &= np.isfinite(flux_electron) & np.isfinite(flux_err) & np.isfinite(reference_flux_njy)
    rows = np.flatnonzero(usable)
    _check_number(rows.size, config)
    magnitudes = -2.5 * np.log10(reference_flux_njy[rows] / flux_electron[rows])
    place = (
        (np.zeros((rows.size, 0)), np.zeros(0), None)
        if x is None or y is None or box is None
        else _field_terms(x[rows], y[rows], box, config)
    )
    known = np.isfinite(color[rows])
    relative = np.nan_to_num(reference_flux_err[rows] / reference_flux_njy[rows])
    unknown_color = ~known * config.color_dispersion_mag
    stars = _Stars(
        NJY_ZERO_POINT_MAG + magnitudes,
        flux_err[rows] / flux_electron[rows],
        np.hypot(_MAG * relative, unknown_color * config.color_term_sigma),
        np.where(known, color[rows], 0.0),
        place[0],
        place[1],
    )
    solution, kept = _solve_robustly(stars, expected_color_term, config)
    return _zero_point(solution, stars, kept, rows, flux_electron.size, place[2])


def _solve_robustly(
    stars: _Stars, color_term: float, config: PhotometryConfig
) -> tuple[_Solution, Bools]:
    """Alternate between the fit and the clipping.

    Raises
    ------
    AlgorithmError
        If too few stars agree.
    """
    center = _mode(stars.z, np.hypot(_MAG * stars.flux_relative_error, stars.other_error))
    seen = stars.seen_from(np.full(stars.z.size, center), config.min_snr)
    spread = max(0.05, 1.5 * float(np.median(np.abs(seen.z - center))))
    kept = np.abs(seen.z - center) <= min(spread, 2 * config.max_scatter_mag) * config.clip_sigma
    kept &= seen.bright
    _check_number(int(kept.sum()), config)
    for _ in range(config.max_iterations):
        solution = _best(stars, seen, kept, color_term, config)
        seen = stars.seen_from(solution.model, config.min_snr)
        sigma = np.hypot(seen.errors, max(solution.scatter, 1e-3))
        now = seen.bright & (np.abs(seen.z - solution.model) <= config.clip_sigma * sigma)
        _check_number(int(now.sum()), config)
        if np.array_equal(now, kept):
            break
        kept = now
    share = kept.sum() / max(seen.bright.sum(), 1)
    if share < config.min_used_fraction or solution.scatter > config.max_scatter_mag:
        raise AlgorithmError(
            "the stars do not agree on a zero point",
            {
                "stars": int(seen.bright.sum()),
                "agreeing": int(kept.sum()),
                "scatter_mag": round(solution.scatter, 4),
            },
            "Is the reference catalogue that of this field, and its flux in this band?",
        )
    return solution, kept


def _best(
    stars: _Stars, seen: _Seen, kept: Bools, color_term: float, config: PhotometryConfig
) -> _Solution:
    """Return the fit with the hyperparameters of the highest evidence."""
    wants_field = stars.degree.size > 0 and kept.sum() >= config.field.min_stars
    best: list[_Solution] = []
    for field in (False, True)[: 1 + wants_field]:
        design = _design(stars, field)
        prior = _prior_precision(stars, field, config)
        taus = _FIELDS[1:] if field else _FIELDS[:1]
        trials = [
            _solve(seen, design, kept, scatter, prior(tau), color_term, tau)
            for scatter in _SCATTERS[: np.searchsorted(_SCATTERS, 2 * config.max_scatter_mag)]
            for tau in taus
        ]
        best.append(max(trials, key=lambda trial: trial.evidence))
    constant, varying = best[0], best[-1]
    return varying if varying.evidence > constant.evidence + config.field.min_evidence else constant


def _design(stars: _Stars, field: bool) -> Floats:
    terms = [np.ones((stars.z.size, 1)), -stars.color[:, None]]
    return np.concatenate([*terms, stars.field] if field else terms, axis=1)


def _prior_precision(stars: _Stars, field: bool, config: PhotometryConfig) -> Any:
    """Return a function from τ to the precisions of the coefficients' prior."""
    # A colour term that is held has a prior far narrower than any data.
    color = 1 / max(config.color_term_sigma, 1e-6) ** 2
    degree = stars.degree if field else stars.degree[:0]
    # The constant's is a broad Gaussian, so that evidences have one normalisation.
    return lambda tau: np.array([1e-4, color, *(degree**2 / max(tau, 1e-12) ** 2)])


def _solve(
    seen: _Seen,
    design: Floats,
    kept: Bools,
    scatter: float,
    precision: Floats,
    color_term: float,
    tau: float,
) -> _Solution:
    """Solve for the coefficients by their posterior mean, with the logarithm of the evidence.

    ``ln p(z) = -½ [r·W·r + δ·P·δ - ln|W| - ln|P| + ln|P + AᵀWA|]`` up to a constant, r the
    residuals and δ the coefficients less their prior mean.
    """
    z, weight = seen.z, kept / (seen.errors**2 + max(scatter, 1e-4) ** 2)
    offset = np.zeros(precision.size)
    offset[:2] = float(np.median(z[kept])), color_term
    normal = (design * weight[:, None]).T @ design + np.diag(precision)
    right = design.T @ (weight * (z - design @ offset))
    covariance = np.linalg.inv(normal)
    delta = covariance @ right
    model = design @ (offset + delta)
    misfit = weight @ (z - model) ** 2 + precision @ delta**2
    logarithms = np.log(weight[kept]).sum() + np.log(precision).sum() - np.linalg.slogdet(normal)[1]
    evidence = 0.5 * float(logarithms - misfit)
    return _Solution(offset + delta, covariance, scatter, tau, evidence, model)


def _mode(values: Floats, errors: Floats) -> float:
    """Return where most of the values lie: the peak of a histogram that weighs good ones more.

    The bins are half a bright star's scatter wide; three at a time are summed.
    """
    width = 0.05
    low = float(values.min())
    bins = np.minimum(((values - low) / width).astype(np.int64), 10_000)
    counts = np.bincount(bins, 1 / (errors**2 + width**2), minlength=3)
    smooth = np.convolve(counts, np.ones(3), mode="same")
    near = np.abs(bins - int(smooth.argmax())) <= 1
    return float(np.median(values[near]))


def _field_terms(
    x: Floats, y: Floats, box: Box, config: PhotometryConfig
) -> tuple[Floats, Floats, Basis2D]:
    """Return the field's terms less their values at the centre, their degrees, and their basis."""
    domain = Domain.of_box(box)
    basis = Basis2D(config.field.order, domain)
    middle = basis.design(*(np.array([c]) for c in domain.center))
    terms = (basis.design(x, y) - middle)[:, 1:]
    return terms, basis.exponents.sum(axis=1)[1:].astype(np.float64), basis


def _zero_point(
    solution: _Solution,
    stars: _Stars,
    kept: Bools,
    rows: NDArray[np.intp],
    size: int,
    basis: Basis2D | None,
) -> ZeroPoint:
    used, residual = np.zeros(size, bool), np.full(size, np.nan)
    used[rows[kept]] = True
    residual[rows] = stars.z - solution.model
    mean = float(10 ** (0.4 * (NJY_ZERO_POINT_MAG - solution.theta[0])))
    error_mag = float(np.sqrt(solution.covariance[0, 0]))
    field = None
    if basis is not None and solution.theta.size > 2:
        field = _flux_field(basis, solution.theta[2:])
    return ZeroPoint(
        mean,
        mean * error_mag / _MAG,
        float(solution.theta[1]),
        float(np.sqrt(solution.covariance[1, 1])),
        field,
        used,
        residual,
        float(solution.scatter),
        rows.size,
    )


def _flux_field(basis: Basis2D, coefficients: Floats) -> Polynomial2D:
    """Return ``10^(-0.4 F)`` of a field in magnitudes as a polynomial of twice the order.

    Exact to the third power of the field: 1e-4 where it reaches 0.1 mag.
    """
    wide = replace(basis, order=2 * basis.order)
    d = basis.domain
    nodes = np.cos(np.pi * (np.arange(4 * wide.order) + 0.5) / (4 * wide.order))
    x, y = (
        g.ravel()
        for g in np.meshgrid(
            d.center[0] + d.half_size[0] * nodes, d.center[1] + d.half_size[1] * nodes
        )
    )
    middle = basis.design(*(np.array([c]) for c in d.center))
    magnitudes = (basis.design(x, y) - middle)[:, 1:] @ coefficients
    found = np.linalg.lstsq(wide.design(x, y), 10 ** (-0.4 * magnitudes), rcond=None)[0]
    center = wide.design(*(np.array([c]) for c in d.center)) @ found
    return Polynomial2D(wide, found / center[0])


def _check_number(number: int, config: PhotometryConfig) -> None:
    if number < config.min_stars:
        raise AlgorithmError(
            f"{number} stars match the reference catalogue, {config.min_stars} make a zero point",
            {"stars": number, "min_stars": config.min_stars},
            "Does the catalogue cover the field, and does the WCS hold?",
        )
