"""Numbers by which the report judges the final PSFs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms import repeatability
from drpflow.algorithms.rho_statistics import rho_statistics
from drpflow.qa.residual_maps import CellSums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.rho_statistics import RhoStatistics
    from drpflow.data.camera import Detector
    from drpflow.qa.final_psf_data import FinalPsf, PsfStars
    from drpflow.qa.residual_maps import ResidualMap

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

_FEWEST = 8
# Stars are noisier than a PSF is wrong: so many in a cell of a map.
_PER_CELL = 40
# Relative error of a width from the median absolute value of N numbers, times √N.
_WIDTH_ERROR = 1.17
_FARTHEST = 5.0
_COLOR_BINS, _RHO_BINS = 7, 7
_LEAST_ARCMIN = 0.3


@dataclass(frozen=True)
class Mean:
    """What values about zero have in common, and how they scatter.

    Parameters
    ----------
    number
        Values.
    mean, error
        Weighted mean and its standard deviation; NaN of too few.
    noise
        The robust width that noise alone would make.
    scatter
        Beyond the noise and about the mean: with it, pulls have a robust width of 1.
    scatter_error
        Its standard deviation, no more than that of a scatter of 0 makes of it.
    """

    number: int
    mean: float
    error: float
    noise: float
    scatter: float
    scatter_error: float


def mean_of(values: Floats, noise: Floats) -> Mean:
    """Return the mean of measurements, those farther off than 5 sigma left out."""
    known = np.isfinite(values) & np.isfinite(noise) & (noise > 0)
    values, noise = values[known], noise[known]
    if values.size < _FEWEST:
        nan = float("nan")
        return Mean(values.size, nan, nan, nan, nan, nan)
    about = values - np.median(values)
    scatter = repeatability.excess(about, noise)
    variance = noise**2 + scatter**2
    near = np.abs(about) < _FARTHEST * np.sqrt(variance)
    weight = near / variance
    mean, error = float(weight @ values / weight.sum()), float(1 / np.sqrt(weight.sum()))
    width = repeatability.noise_width(noise)
    # The variance beyond noise is known to 2 · 1.17 (noise² + scatter²) / √N.
    known_to = 2 * _WIDTH_ERROR * (width**2 + scatter**2) / np.sqrt(values.size)
    scatter_error = min(np.sqrt(known_to), known_to / max(2 * scatter, 1e-12))
    return Mean(values.size, mean, error, width, scatter, float(scatter_error))


@dataclass(frozen=True)
class Quality:
    """Stars against a PSF: sizes, and both components of the distortion."""

    size: Mean
    e1: Mean
    e2: Mean

    @property
    def e_scatter(self) -> float:
        """Scatter of a component beyond noise, rms of both."""
        return float(np.hypot(self.e1.scatter, self.e2.scatter) / np.sqrt(2))

    @property
    def e_scatter_error(self) -> float:
        """Its standard deviation."""
        parts = [(e.scatter, e.scatter_error) for e in (self.e1, self.e2)]
        total = sum(s**2 for s, _ in parts)
        if not total > 0:
            return float(np.sqrt(sum(error**2 for _, error in parts)) / 2)
        return float(np.sqrt(sum((s * error) ** 2 for s, error in parts) / total / 2))


def quality(stars: PsfStars, rows: Bools, *, before: bool = False) -> Quality:
    """Return how some stars differ from the first or the final PSF."""
    of = stars.before if before else stars.after
    size = mean_of(of.dt[rows], stars.dt_err[rows])
    e1, e2 = (mean_of(v[rows], stars.de_err[rows]) for v in (of.de.real, of.de.imag))
    return Quality(size, e1, e2)


@dataclass(frozen=True, eq=False)
class PsfMaps:
    """Mean residuals in cells of the detectors: of dT/T, and of both components of e."""

    size: ResidualMap
    e1: ResidualMap
    e2: ResidualMap


def psf_maps(
    stars: PsfStars, rows: Bools, detectors: Mapping[int, Detector], *, before: bool = False
) -> PsfMaps:
    """Return maps of residuals of some stars; outliers (over 5 σ) do not count."""
    of = stars.before if before else stars.after
    made = []
    for values, noise in (
        (of.dt, stars.dt_err), (of.de.real, stars.de_err), (of.de.imag, stars.de_err),
    ):  # fmt: skip
        scatter = mean_of(values[rows], noise[rows]).scatter
        variance = noise**2 + np.nan_to_num(scatter) ** 2
        near = rows & (np.abs(values) < _FARTHEST * np.sqrt(variance))
        sums = CellSums(detectors)
        place = stars.x[near], stars.y[near]
        sums.add(stars.detector[near], place, values[near], variance[near])
        made.append(sums.result(_PER_CELL))
    return PsfMaps(*made)


def rho_of(found: FinalPsf) -> dict[str, RhoStatistics]:
    """Return ρ statistics of reserved stars before and after, and of those of the fit."""
    stars = found.stars
    edges = _separations(stars)
    chosen = {
        "before, reserved stars": (stars.reserved, True),
        "after, reserved stars": (stars.reserved, False),
        "after, stars of the fit": (~stars.reserved, False),
    }
    clean = np.abs(stars.after.dt) < _FARTHEST * np.hypot(stars.dt_err, 0.01)
    return {
        name: rho_statistics(stars.residuals(rows & clean, before=before), edges)
        for name, (rows, before) in chosen.items()
        if rows.sum() > 1
    }


def _separations(stars: PsfStars) -> Floats:
    """Return edges of bins up to most of the size of the field, arcmin."""
    x, y = (v[np.isfinite(v)] for v in (stars.x_arcmin, stars.y_arcmin))
    span = float(np.hypot(np.ptp(x), np.ptp(y))) if x.size else 0.0
    return np.geomspace(_LEAST_ARCMIN, max(0.8 * span, 5 * _LEAST_ARCMIN), _RHO_BINS + 1)


@dataclass(frozen=True, eq=False)
class ColorTrend:
    """dT/T against colour.

    Parameters
    ----------
    color, mean, error
        Of bins with equally many stars, shape (B,).
    slope, slope_error
        Of a straight line through all stars, per magnitude.
    number
        Stars.
    """

    color: Floats
    mean: Floats
    error: Floats
    slope: float
    slope_error: float
    number: int


def color_trend(stars: PsfStars, rows: Bools, *, before: bool = False) -> ColorTrend | None:
    """Return how sizes against the PSF depend on colour; None of too few stars."""
    of = stars.before if before else stars.after
    rows = rows & np.isfinite(stars.color) & np.isfinite(of.dt) & (stars.dt_err > 0)
    color, dt, noise = stars.color[rows], of.dt[rows], stars.dt_err[rows]
    if color.size < 3 * _FEWEST or np.ptp(color) == 0:
        return None
    about = mean_of(dt, noise)
    variance = noise**2 + about.scatter**2
    weight = (np.abs(dt - np.median(dt)) < _FARTHEST * np.sqrt(variance)) / variance
    middle = float(weight @ color / weight.sum())
    lever = weight @ (color - middle) ** 2
    slope = float(weight * (color - middle) @ dt / lever)
    edges = np.quantile(color, np.linspace(0, 1, _COLOR_BINS + 1))
    bins = np.clip(np.searchsorted(edges, color, side="right") - 1, 0, _COLOR_BINS - 1)
    total, w_color, w_dt = (
        np.bincount(bins, weight * v, minlength=_COLOR_BINS)
        for v in (np.ones_like(color), color, dt)
    )
    full = total > 0
    total = total[full]
    return ColorTrend(
        w_color[full] / total, w_dt[full] / total, 1 / np.sqrt(total), slope,
        float(1 / np.sqrt(lever)), color.size,
    )  # fmt: skip
