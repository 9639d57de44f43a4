"""What tells the clouds of a visit: residuals of its stars, by one flux or by two.

The flux that is calibrated, of an aperture large enough to be even over the sky, has much noise of
the background. Another one, of a fitted profile, has less, but its scale changes from image to
image. For star i on image g,

    y₁ = f + n₁ ,    y₂ = f - b_g + n₂ ,

with the cloud f. If the second is near optimal, cov(n₁, n₂) ≈ σ₂²: then y₁ - y₂ has the variance
σ₁² - σ₂², and is independent of n₂. So b_g is the mean of the differences on the image, and f is
told by y₂ + b_g alone, whose noise is σ₂² and, in common to the stars of an image, that of b_g.
Nothing counts twice, and the level remains that of the first flux.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.noise import error_model, variance_of_mean_flux
from drpflow.algorithms.fgcm.robust import robust_means
from drpflow.kernels import fgcm as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.cycles import Solution
    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.photometric_tables import Observations, Stars

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]
    Bools: TypeAlias = NDArray[np.bool_]

# The least part of the first flux's variance that is its own, should errors be misjudged.
_LEAST_OWN = 0.05
# Scale of an image against those of its visit beyond which it is not believed [mag].
_MAX_APART_MAG = 0.2
# Scatter of the differences beside the errors to start with [mag].
_FIRST_FLOOR_MAG = 0.004
_ROUNDS = 2
# Rows that determine more than this of their own star's magnitude say nothing of the noise.
_MAX_LEVERAGE = 0.9
_MIN_ROWS = 60


@dataclass(frozen=True, eq=False)
class CloudRows:
    """N calibrated magnitudes, but for the clouds, of stars that count.

    Parameters
    ----------
    group
        Visit times D plus detector; V D and more for a magnitude of the catalogue.
    pair
        Label of star and band.
    u, v
        Place on the detector.
    calibrated
        Magnitude.
    own
        Variance of the measurement alone.
    weight
        In the mean of the pair.
    """

    group: Ints
    pair: Ints
    u: Floats
    v: Floats
    calibrated: Floats
    own: Floats
    weight: Floats

    def left_out(self, n_groups: int) -> tuple[Ints, Floats, Floats]:
        """Return rows, the star by its other rows less the row, and the variance of that."""
        _, label = np.unique(self.pair, return_inverse=True)
        total = np.bincount(label, self.weight)[label]
        sums = np.bincount(label, self.weight * self.calibrated)[label]
        several = (self.weight > 0) & (self.weight < (1 - 1e-6) * total)
        used = np.flatnonzero(several & (self.group < n_groups))
        weight, value = self.weight[used], self.calibrated[used]
        rest = total[used] - weight
        left = (sums[used] - weight * value) / rest - value
        return used, left, self.own[used] + 1 / rest


@dataclass(frozen=True, eq=False)
class SecondFlux:
    """Clouds by the second flux.

    Parameters
    ----------
    rows
        Magnitudes on the scale of the first flux; those of images without a scale of their own are
        the first flux.
    offset, offset_variance
        First less second flux of each image [mag], NaN where it is not known, (V, D).
    """

    rows: CloudRows
    offset: Floats
    offset_variance: Floats


def first_flux(solution: Solution) -> CloudRows:
    """Return what the flux of the fit tells.

    The extra scatter of its visit is left out of an observation's own variance: what neighbours
    share is what is looked for.
    """
    rows, noise = solution.problem.rows, solution.noise
    reference = rows.is_reference
    kind = rows.band[rows.pair] + noise.factor.size // 2 * reference
    residual = np.where(reference, 0.0, solution.residuals.residual)
    own = variance_of_mean_flux(rows.err, residual, noise.factor[kind], noise.floor[kind])
    visit = np.where(reference, 0, rows.group // solution.problem.model.layout.n_detectors)
    shared = np.where(reference, 0.0, (noise.extra + noise.shared)[visit])
    return CloudRows(
        rows.group.astype(np.int64),
        rows.star[rows.pair].astype(np.int64) * (noise.factor.size // 2) + rows.band[rows.pair],
        rows.u.astype(np.float64),
        rows.v.astype(np.float64),
        solution.residuals.calibrated,
        own,
        np.where(solution.weight > 0, 1 / (own + shared), 0.0),
    )


def second_flux(
    solution: Solution, observations: Observations, stars: Stars, config: FgcmConfig
) -> SecondFlux | None:
    """Return what the second flux tells, None if there is none.

    Parameters
    ----------
    solution
        Of the first flux.
    observations, stars
        All of them.
    config
        Clipping, and how many stars an image should have.
    """
    measured = _Measured.of(solution, observations, stars, config)
    if measured is None or not measured.size:
        return None
    layout = solution.problem.model.layout
    offset, variance = measured.offsets(layout.n_visits, layout.n_detectors, config)
    known = np.isfinite(offset).ravel()
    if not known.any():
        return None
    told = measured.take(known[measured.group]).rows(solution, offset.ravel(), config)
    first = first_flux(solution)
    reference = first.group >= known.size
    kept = reference | ~known[np.where(reference, 0, first.group)]
    names = CloudRows.__dataclass_fields__
    joined = (np.concatenate([getattr(told, n), getattr(first, n)[kept]]) for n in names)
    return SecondFlux(CloudRows(*joined), offset, variance)


@dataclass(frozen=True, eq=False)
class _Measured:
    """N observations with a second flux, of stars that neither vary nor are reserved, by pair."""

    group: Ints
    pair: Ints
    band: Ints
    u: NDArray[np.float32]
    v: NDArray[np.float32]
    slope: Floats
    difference: Floats
    own: Floats
    mag: Floats
    err: Floats

    @classmethod
    def of(
        cls, solution: Solution, o: Observations, stars: Stars, config: FgcmConfig
    ) -> _Measured | None:
        """Return the observations; of those that show a star twice in a visit the best."""
        if o.cloud_mag is None or o.cloud_mag_err is None:
            return None
        model = solution.problem.model
        finite = [np.isfinite(c) for c in (o.cloud_mag, o.cloud_mag_err, o.u, o.v)]
        kept = np.all(finite, axis=0) & (o.cloud_mag_err > 0)
        kept &= o.cloud_mag_err <= config.noise.max_error_mag
        kept &= ~(stars.reserved | solution.variable)[o.star]
        rows = np.flatnonzero(kept)
        band = model.visits.band[o.visit].astype(np.int64)
        pair = o.star * np.int64(model.layout.n_bands) + band
        rows = rows[np.lexsort((o.cloud_mag_err[rows], o.visit[rows], pair[rows]))]
        again = (np.diff(pair[rows]) == 0) & (np.diff(o.visit[rows]) == 0)
        rows = rows[np.append(True, ~again)[: rows.size]]
        mag, err = o.cloud_mag[rows].astype(float), o.cloud_mag_err[rows].astype(float)
        first_err = o.mag_err[rows].astype(float)
        usable = (first_err > 0) & (first_err <= config.noise.max_error_mag)
        return cls(
            o.visit[rows] * np.int64(model.layout.n_detectors) + o.detector[rows],
            pair[rows],
            band[rows],
            o.u[rows],
            o.v[rows],
            solution.slope[o.star[rows], band[rows]],
            np.where(usable, o.mag[rows] - mag, np.nan),
            np.sqrt(np.maximum(first_err**2 - err**2, _LEAST_OWN * first_err**2)),
            mag,
            err,
        )

    @property
    def size(self) -> int:
        """N."""
        return self.mag.size

    def take(self, rows: Bools) -> _Measured:
        """Return some of the observations."""
        return _Measured(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def offsets(self, n_visits: int, n_detectors: int, config: FgcmConfig) -> tuple[Floats, Floats]:
        """Return first less second flux of each image and its variance, (V, D), NaN if unknown.

        An image with few stars, or whose scale is far from those of its visit, has none.
        """
        rows = np.flatnonzero(np.isfinite(self.difference) & np.isfinite(self.own))
        group, value, own = self.group[rows], self.difference[rows], self.own[rows]
        number = n_visits * n_detectors
        variance = own**2 + _FIRST_FLOOR_MAG**2
        for _ in range(_ROUNDS):
            mean, residual, weight = robust_means(group, value, variance, number, config.noise)
            leverage = _leverage(group, weight, number)
            used = (weight > 0) & (leverage < _MAX_LEVERAGE)
            if used.sum() < _MIN_ROWS:
                break
            factor, floor = error_model(own[used], residual[used] ** 2 / (1 - leverage[used]))
            variance = variance_of_mean_flux(own, residual, factor, floor)
        mean, _, weight = robust_means(group, value, variance, number, config.noise)
        total = np.bincount(group, weight, number).reshape(n_visits, n_detectors)
        count = np.bincount(group[weight > 0], minlength=number).reshape(n_visits, n_detectors)
        offset = np.where(count >= config.zero_points.min_stars, mean.reshape(total.shape), np.nan)
        some = np.isfinite(offset).any(axis=1)
        usual = np.full((n_visits, 1), np.nan)
        usual[some, 0] = np.nanmedian(offset[some], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            known = np.abs(offset - usual) <= _MAX_APART_MAG
            return np.where(known, offset, np.nan), np.where(known, 1 / total, np.nan)

    def rows(self, solution: Solution, offset: Floats, config: FgcmConfig) -> CloudRows:
        """Return the magnitudes on the scale of the first flux, with errors and weights."""
        model, noise = solution.problem.model, solution.noise
        value = self._calibrated(solution) + offset[self.group]
        _, label = np.unique(self.pair, return_inverse=True)
        number = int(label.max(initial=-1)) + 1
        visit = self.group // model.layout.n_detectors
        beside = (noise.extra + noise.shared)[visit]
        clear = solution.clouds.photometric(config.gray)[visit]
        factor, floor = np.ones(len(model.visits.bands)), noise.floor[: len(model.visits.bands)]
        own = self.err**2 + floor[self.band] ** 2
        for _ in range(_ROUNDS):
            _, residual, weight = robust_means(label, value, own + beside, number, config.noise)
            factor, floor = self._error_model(label, residual, weight, clear, factor, floor)
            own = variance_of_mean_flux(self.err, residual, factor[self.band], floor[self.band])
        _, _, weight = robust_means(label, value, own + beside, number, config.noise)
        # Those that passed because they came out bright.
        weight[own > config.noise.max_error_mag**2] = 0.0
        place = self.u.astype(np.float64), self.v.astype(np.float64)
        return CloudRows(self.group, self.pair, *place, value, own, weight)

    def _calibrated(self, solution: Solution) -> Floats:
        """Return the magnitudes with the zero points of the fit."""
        first = np.append(np.flatnonzero(np.diff(self.pair, prepend=-1)), self.size)
        state, model = solution.state, solution.problem.model
        band, slope = self.band[first[:-1]], self.slope[first[:-1]]
        out = np.empty(self.size)
        kernels.calibrate(
            self.group.astype(np.int32),
            first.astype(np.int64),
            self.mag,
            self.u,
            self.v,
            state.local,
            state.i10,
            state.kappa[band] * slope,
            model.i10_std[band],
            out,
        )
        return out

    def _error_model(
        self,
        label: Ints,
        residual: Floats,
        weight: Floats,
        clear: Bools,
        factor: Floats,
        floor: Floats,
    ) -> tuple[Floats, Floats]:
        """Return the error model by band, from clear visits; as it was where these are few."""
        factor, floor = factor.copy(), floor.copy()
        leverage = _leverage(label, weight, int(label.max(initial=-1)) + 1)
        used = clear & (weight > 0) & (leverage < _MAX_LEVERAGE)
        for band in range(factor.size):
            rows = np.flatnonzero(used & (self.band == band))
            if rows.size >= _MIN_ROWS:
                square = residual[rows] ** 2 / (1 - leverage[rows])
                factor[band], floor[band] = error_model(self.err[rows], square)
        return factor, floor


def _leverage(label: Ints, weight: Floats, number: int) -> Floats:
    """Return the part of each value in the mean of its label, (N,)."""
    total = np.bincount(label, weight, number)
    return np.asarray(weight / np.where(total > 0, total, 1.0)[label])
