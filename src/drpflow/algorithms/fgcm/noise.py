"""How good observations are: error model, outliers, variable stars, hidden structure of clouds.

    var_i = f² err_i² + σ_0² + extra_visit

f and σ_0 belong to a band (or to the references of a band) and are told by how residuals grow with
the known errors; the extra scatter belongs to a visit. Residuals are compared with their own
expectation: r_i² is (1 - h_i) var_i in the mean, h_i = w_i/W_p being the part of the observation in
its own star's magnitude. Robust throughout: medians and tapered weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.rows import Rows
    from drpflow.algorithms.fgcm.solver import Residuals
    from drpflow.config.fgcm import FgcmConfig, FitNoiseConfig

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

# Median of χ² with one degree of freedom.
_CHI2_MEDIAN = 0.454936
_BINS = 12
_MIN_PER_BIN = 30
_MIN_ROWS = 60
# Rows that determine more than this of their own star's magnitude say nothing of the noise.
_MAX_LEVERAGE = 0.9
_FACTOR_RANGE = (0.5, 2.0)
_BISECTIONS = 16
_HYSTERESIS = 0.7
# Relative error of a star's expected variance: slopes of its spectrum and star flats are not
# perfect. Without it, every bright star that was seen some hundred times would be variable.
_VARIANCE_ERROR = 0.1
# What a single observation adds at most to the evidence that a star varies.
_LARGEST_SQUARE = 100.0
# Largest residual that passes for a fluctuation of the flux [mag]: 4.5σ at the largest error used.
_FLUCTUATION_MAG = 0.5
# Share of constant stars that may have more outliers than they are granted.
_BAD_LUCK = 0.05


@dataclass(frozen=True, eq=False)
class Noise:
    """The error model.

    Parameters
    ----------
    factor, floor
        f and σ_0 [mag] of observations in each band, then of references, (2 B,).
    extra
        Extra variance of the visits, (V,).
    shared
        Variance that the stars of a detector have in common, by visit, (V,).
    """

    factor: Floats
    floor: Floats
    extra: Floats
    shared: Floats

    @classmethod
    def start(cls, n_bands: int, n_visits: int, config: FgcmConfig) -> Noise:
        """Return the error model before any residual is known."""
        floor = np.repeat([config.noise.floor_mag, config.reference.floor_mag], n_bands)
        return cls(np.ones(2 * n_bands), floor, np.zeros(n_visits), np.zeros(n_visits))


class Weigher:
    """Turns residuals into weights and error models.

    Parameters
    ----------
    rows
        The rows.
    n_bands, n_detectors
        To tell bands and visits of the rows.
    config
        Limits.
    """

    def __init__(self, rows: Rows, n_bands: int, n_detectors: int, config: FgcmConfig) -> None:
        self.rows, self.config = rows, config
        self.n_bands, self.n_detectors = n_bands, n_detectors
        self.is_reference = rows.is_reference
        self.kind = rows.band[rows.pair] + n_bands * self.is_reference
        self.visit = np.where(self.is_reference, 0, rows.group // n_detectors)

    def variance(self, noise: Noise, residual: Floats | None = None) -> Floats:
        """Return var_i, (N,), with errors as those of the stars' mean fluxes if residuals tell."""
        factor, floor = noise.factor[self.kind], noise.floor[self.kind]
        if residual is None:
            residual = np.zeros(len(self.rows))
        about_mean = np.where(self.is_reference, 0.0, residual)
        variance = variance_of_mean_flux(self.rows.err, about_mean, factor, floor)
        return variance + np.where(self.is_reference, 0.0, noise.extra[self.visit])

    def weights(
        self,
        noise: Noise,
        residuals: Residuals | None = None,
        old: Floats | None = None,
        *,
        left_out: Bools | None = None,
    ) -> Floats:
        """Return weights of the rows for the next solution, those of variable stars too, (N,).

        Parameters
        ----------
        noise
            The error model.
        residuals, old
            Of the last solution and the weights that they were taken with; none before the first.
        left_out
            Rows that have no weight whatever they say, (N,).
        """
        residual = None if residuals is None else residuals.residual
        variance = self.variance(noise, residual)
        weight = 1 / variance
        limit = self.config.noise.max_error_mag
        weight[~self.is_reference & (variance > limit**2 + noise.extra[self.visit])] = 0.0
        if left_out is not None:
            weight[left_out] = 0.0
        if residuals is not None and old is not None:
            weight *= taper(self.normalized(residuals, variance, old), self.config.noise)
        return weight * self._share_of_group(weight, noise)

    def normalized(self, residuals: Residuals, variance: Floats, old: Floats) -> Floats:
        """Return residuals in units of their expected scatter, (N,)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            leverage = np.nan_to_num(old / residuals.weight[self.rows.pair])
        expected = variance * np.maximum(1 - leverage, 1 - _MAX_LEVERAGE)
        # A pair of which no row counts has been clipped as a whole, and stays so.
        residual = np.where(np.isfinite(residuals.residual), residuals.residual, np.inf)
        return residual / np.sqrt(expected)

    def _share_of_group(self, weight: Floats, noise: Noise) -> Floats:
        """Return the factor that the shared variance of a group's stars leaves of their weight.

        The mean of a group of total weight W has the variance 1/W + s²; the same follows from
        weights less by 1/(1 + W s²).
        """
        total = np.bincount(self.rows.group, weight, minlength=self.rows.n_groups)
        share = np.ones(total.size)
        shared = np.repeat(noise.shared, self.n_detectors)
        share[: shared.size] = 1 / (1 + total[: shared.size] * shared)
        return share[self.rows.group]

    def noise(
        self, noise: Noise, residuals: Residuals, weight: Floats, clear: Bools, shared: Floats
    ) -> Noise:
        """Return the error model that the residuals of a solution tell.

        Parameters
        ----------
        noise
            The model so far.
        residuals, weight
            Of the solution.
        clear
            Which visits are clear; they tell f and σ_0, (V,).
        shared
            Variance that the stars of a detector have in common, by visit, NaN where it is the
            visit's own, (V,).
        """
        leverage = weight / np.maximum(residuals.weight[self.rows.pair], 1e-300)
        used = (weight > 0) & (leverage < _MAX_LEVERAGE)
        square = np.nan_to_num(residuals.residual) ** 2 / np.maximum(1 - leverage, 0.05)
        typical = used & (self.is_reference | clear[self.visit])
        factor, floor = noise.factor.copy(), noise.floor.copy()
        for kind in range(2 * self.n_bands):
            rows = np.flatnonzero(typical & (self.kind == kind))
            if rows.size >= _MIN_ROWS:
                factor[kind], floor[kind] = error_model(self.rows.err[rows], square[rows])
        floor = np.maximum(floor, self.config.noise.min_floor_mag)
        found = replace(noise, factor=factor, floor=floor)
        means, total = self._group_means(noise, residuals, weight)
        inside = np.nan_to_num(residuals.residual) - means[self.rows.group]
        square = inside**2 / np.maximum(1 - leverage, 0.05)
        extra = self._extra(replace(found, extra=np.zeros_like(noise.extra)), square, used)
        own = self._shared(noise.shared, means, total)
        return replace(found, extra=extra, shared=np.where(np.isfinite(shared), shared, own))

    def _group_means(
        self, noise: Noise, residuals: Residuals, weight: Floats
    ) -> tuple[Floats, Floats]:
        """Return mean residuals of the groups and sums of weights, (G,) each.

        The sums are those without the reduction by the shared variance.
        """
        n_regions = len(self.rows.regions)
        n = self.rows.n_groups + n_regions
        group = self.rows.group
        reduced = np.bincount(group, weight, minlength=n)
        sums = np.bincount(group, weight * np.nan_to_num(residuals.residual), minlength=n)
        shared = np.append(np.repeat(noise.shared, self.n_detectors), np.zeros(n_regions))
        # W' = W / (1 + W s²), so W = W' / (1 - W' s²).
        total = reduced / np.maximum(1 - reduced * shared, 1e-3)
        return np.where(reduced > 0, sums / np.where(reduced > 0, reduced, 1.0), 0.0), total

    def _extra(self, noise: Noise, square: Floats, used: Bools) -> Floats:
        """Return the variance of each visit beyond that of the error model."""
        variance = self.variance(noise, None)
        rows = np.flatnonzero(used & ~self.is_reference)
        rows = rows[np.argsort(self.visit[rows], kind="stable")]
        visits, begin = np.unique(self.visit[rows], return_index=True)
        extra = np.zeros(noise.extra.size)
        for visit, part in zip(visits, np.split(rows, begin[1:]) if rows.size else [], strict=True):
            if part.size >= 10:
                extra[visit] = extra_variance(square[part], variance[part])
        return extra

    def _shared(self, before: Floats, means: Floats, total: Floats) -> Floats:
        """Return the variance of the detectors' means about that of their own visit, (V,).

        ``Σ_d (mean_d - mean)² = Σ_d [(1/W_d) + s²] (1 - 1/D)``. The mean itself is the fit's: a
        visit that has been told little would be told ever less if it counted. The change is
        halved, so that weights and residuals settle.
        """
        n = self.rows.n_groups
        means, total = (a[:n].reshape(-1, self.n_detectors) for a in (means, total))
        some = total > 0
        count = some.sum(axis=1)
        variance = np.where(some, 1 / np.where(some, total, 1.0), 0.0)
        center = np.where(some, means, 0.0).sum(axis=1) / np.maximum(count, 1)
        scatter = np.where(some, (means - center[:, None]) ** 2, 0.0).sum(axis=1)
        expected = variance.sum(axis=1) * (1 - 1 / np.maximum(count, 1))
        own = np.where(count >= 3, (scatter - expected) / np.maximum(count - 1, 1), 0.0)
        return (before + np.maximum(own, 0.0)) / 2

    def variable_stars(
        self, residuals: Residuals, variance: Floats, weight: Floats, before: Bools
    ) -> Bools:
        """Return which stars scatter more than their errors tell, (S,).

        One that was variable `before` stays so down to a lower limit, so that cycles settle.

        Σ t² over the observations of a star in all bands against their number, without the largest,
        which may be an outlier, and without as many clipped ones as stars may have by bad luck.
        """
        rows = np.flatnonzero(~self.is_reference & (residuals.weight[self.rows.pair] > 0))
        t = self.normalized(residuals, variance, weight)[rows]
        square = np.minimum(t**2, _LARGEST_SQUARE)
        star, n_stars = self.rows.star[self.rows.pair[rows]], before.size
        total = np.bincount(star, square, minlength=n_stars)
        count = np.bincount(star, minlength=n_stars)
        spared, n_spared = _spared(star, square, count, self.config.noise.clip_sigma)
        significance = excess_significance(total - spared, np.maximum(count - n_spared, 1))
        limit = self.config.noise.variable_sigma * np.where(before, _HYSTERESIS, 1.0)
        return (significance > limit) & (count >= 3)


def excess_significance(total: Floats, number: NDArray[np.integer]) -> Floats:
    """Return by how many of its errors Σ t² of so many observations is too large.

    Its error is that of χ² and that of the expected variances, which all its terms have in common.
    """
    error = np.sqrt(2.0 * number + (_VARIANCE_ERROR * number) ** 2)
    return np.asarray((total - number) / error)


def _spared(
    star: NDArray[np.integer], square: Floats, count: NDArray[np.integer], clip_sigma: float
) -> tuple[Floats, NDArray[np.integer]]:
    """Return Σ t² and number of the observations that say nothing of a star's variation, (S,).

    The largest of each star, and clipped ones up to the number that a constant star exceeds with a
    chance of 5 %, given the share of clipped observations of all stars. Stars with more clipped
    ones than good ones do not count for that share: they vary.
    """
    from scipy.stats import binom

    n_stars = count.size
    largest = np.zeros(n_stars)
    np.maximum.at(largest, star, square)
    clipped = np.flatnonzero(square > clip_sigma**2)
    clipped = clipped[np.lexsort((-square[clipped], star[clipped]))]
    owner = star[clipped]
    n_clipped = np.bincount(owner, minlength=n_stars)
    constant = 2 * n_clipped <= count
    fraction = n_clipped[constant].sum() / max(int(count[constant].sum()), 1)
    allowed = binom.ppf(1 - _BAD_LUCK, np.arange(count.max(initial=0) + 1), fraction)[count]
    rank = np.arange(owner.size) - (np.cumsum(n_clipped) - n_clipped)[owner]
    more = (rank > 0) & (rank < allowed[owner])
    spared = largest + np.bincount(owner[more], square[clipped[more]], minlength=n_stars)
    return spared, np.bincount(owner[more], minlength=n_stars) + 1


def variance_of_mean_flux(
    error: Floats,
    residual: Floats,
    factor: Floats | float = 1.0,
    floor: Floats | float = 0.0,
) -> Floats:
    """Return variances of magnitudes with the errors that the stars' mean fluxes have, (N,).

    The error of a magnitude is that of a flux over the *measured* flux: a measurement that came out
    bright has too small an error, and with weights of these errors a mean is too bright, by
    1.09/(S/N)² mag twice over: 16 mmag at a signal-to-noise ratio of 10. With the error over the
    mean flux, weights do not depend on what the noise did. The noise is taken to be that of the
    background; where the star's own photons prevail, S/N is high, and the error small either way.

    Parameters
    ----------
    error
        As measured [mag].
    residual
        Magnitude less the star's mean, NaN where that is not known, (N,). Beyond half a magnitude
        it tells of something else than noise, and counts as that.
    factor, floor
        Of the error model: ``(factor · error)² + floor²``.
    """
    about_mean = np.clip(np.nan_to_num(residual), -_FLUCTUATION_MAG, _FLUCTUATION_MAG)
    expected = factor * error * 10 ** (-0.4 * about_mean)
    return np.asarray(expected**2 + np.square(floor))


def taper(t: Floats, config: FitNoiseConfig) -> Floats:
    """Return 1 up to taper_sigma, then falling in proportion to 1/t, 0 from clip_sigma on."""
    size = np.abs(t)
    weight = np.minimum(1.0, config.taper_sigma / np.maximum(size, 1e-9))
    return np.where(size < config.clip_sigma, weight, 0.0)


def extra_variance(square: Floats, variance: Floats) -> float:
    """Return what must be added to variances for the median of squares to be as expected.

    The ratio of squares to variances has the error 1.65/√n; up to 4/√n above 1 it is left as it is.
    """
    wanted = _CHI2_MEDIAN * (1 + 4 / np.sqrt(square.size))
    if np.median(square / variance) <= wanted:
        return 0.0
    low, high = 0.0, float(np.median(square)) / _CHI2_MEDIAN + float(variance.max())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if np.median(square / (variance + middle)) > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def error_model(error: Floats, square: Floats) -> tuple[float, float]:
    """Return f and σ_0 from squared residuals of known errors, robustly.

    Medians of r² in bins of the error, fitted by ``f² err² + σ_0²`` with relative weights; f is
    expected to be 1 ± 0.1.

    Parameters
    ----------
    error
        Known errors [mag], (N,).
    square
        Squared residuals [mag²] over the part that the residual's own weight leaves of them, (N,).
    """
    n_bins = int(np.clip(error.size // _MIN_PER_BIN, 1, _BINS))
    order = np.argsort(error, kind="stable")
    bins = np.array_split(order, n_bins)
    known = np.array([np.median(error[b]) ** 2 for b in bins])
    found = np.array([np.median(square[b]) for b in bins]) / _CHI2_MEDIAN
    number = np.array([b.size for b in bins])
    f2, s2 = 1.0, max(float(np.median(found - known)), 0.0)
    for _ in range(20):
        weight = number / np.maximum(f2 * known + s2, 1e-12) ** 2 / 2.7
        a, b, c = weight @ known**2, weight @ known, weight.sum()
        # The expectation of f² = 1 ± 0.2 as one more equation.
        a, right = a + 25.0, weight @ (known * found) + 25.0
        det = a * c - b * b
        f2 = (right * c - b * (weight @ found)) / det
        s2 = (weight @ found - b * f2) / c
        f2 = float(np.clip(f2, *np.square(_FACTOR_RANGE)))
        s2 = float(max((weight @ found - b * f2) / c, 0.0))
    return float(np.sqrt(f2)), float(np.sqrt(s2))
