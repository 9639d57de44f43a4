"""The fit of all stars, and the sizes of errors that it finds.

docs/algorithms/stellar_motions.md has the model.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.sky import (
    DAYS_PER_YEAR,
    MAS_PER_RAD,
    catalogue_prior,
    local_axes,
)
from drpflow.algorithms.stellar_motions.colors import Colors
from drpflow.algorithms.stellar_motions.fluxes import flux_ratio
from drpflow.data.earth_orbit import earth_position_au
from drpflow.data.tan_projection import unit_vectors
from drpflow.kernels.stellar_motion import N_PARAMETER, Rows, fit_stars

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.stellar_motions.detections import Detections, MotionVisits
    from drpflow.config.fit_stellar_motions import FitStellarMotionsConfig, MotionModelConfig
    from drpflow.data.astrometric_tables import ReferenceAstrometry

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]
    Bools: TypeAlias = NDArray[np.bool_]

# Precisions that hold what nothing else does: 100 arcsec, 100 arcsec/yr, 100 arcsec.
_LOOSE = 1e-10
_PASSES, _SETTLED = 15, 0.01
# So many stars tell the sizes of errors.
_MOST_ASKED = 15_000
_LEAST_FLOOR_MAS = 0.1
_FEWEST_ROWS = 10
# A floor changes by no more in a pass.
_MOST_GROWTH = 4.0


@dataclass(frozen=True, eq=False)
class Start:
    """Where the stars are taken to be, S rows.

    Parameters
    ----------
    ra, dec
        Degrees; offsets are from there.
    epoch_mjd
        Mean time of the detections, weighted as their positions.
    """

    ra: Floats
    dec: Floats
    epoch_mjd: Floats


@dataclass(frozen=True, eq=False)
class Motions:
    """What the fit finds.

    Parameters
    ----------
    theta
        East and north of the start, mas, proper motions, mas/yr, parallax, mas, and colour beyond
        that for which WCSs hold; shape (S, 6).
    covariance
        Of these, shape (S, 6, 6).
    on
        Which detections count, shape (N,).
    chi2, expected
        χ² of these, and what is expected of it.
    moves
        Whose motions and parallaxes are told.
    condition
        Condition number of the correlations of place, motion and parallax.
    tied
        Which are tied to the catalogue.
    astray
        Which are elsewhere than the catalogue says.
    floor_mas
        Scatter in each visit beside the errors of centroids, shape (V,).
    centroid_scale
        Factor by which errors of centroids were multiplied.
    passes
        How often all stars were fitted.
    reference
        What the catalogue says of the first five parameters, zero point taken off, shape (S, 5);
        NaN where it says nothing.
    """

    theta: Floats
    covariance: Floats
    on: Bools
    chi2: Floats
    expected: Floats
    moves: Bools
    condition: Floats
    tied: Bools
    astray: Bools
    floor_mas: Floats
    centroid_scale: float
    passes: int
    reference: Floats


def start_of(
    first: Integers, detections: Detections, visits: MotionVisits, places: tuple[Floats, Floats]
) -> Start:
    """Return starts of stars.

    Parameters
    ----------
    first
        First detection of each star, and the number of all, shape (S + 1,).
    detections, visits
        What was seen.
    places
        Right ascension and declination of the stars, good to an arcsecond or so.
    """
    c = detections.covariance_mas2
    floor = visits.floor_mas[detections.visit]
    weight = 1 / ((c[:, 0] + c[:, 2]) / 2 + floor**2)
    star, n = detections.star, first.size - 1
    with np.errstate(invalid="ignore"):
        summed = np.bincount(star, weight * visits.mjd[detections.visit], minlength=n)
        mean = summed / np.bincount(star, weight, minlength=n)
    middle = float(np.median(visits.mjd)) if len(visits) else 0.0
    return Start(*places, np.where(np.isfinite(mean), mean, middle))


class MotionFit:
    """Detections of stars in the form of the kernel, and what changes as errors are found.

    Parameters
    ----------
    first
        First detection of each star, and the number of all, shape (S + 1,).
    detections
        Those that may count, by star.
    visits
        Their visits.
    start
        Where the stars start.
    colors
        Their colours beyond that for which WCSs hold.
    mean_flux
        Mean flux of the star of each detection in its band, NaN where unknown, shape (N,).
    config
        Parameters.
    """

    def __init__(
        self,
        first: Integers,
        detections: Detections,
        visits: MotionVisits,
        start: Start,
        colors: Colors,
        mean_flux: Floats,
        config: FitStellarMotionsConfig,
    ) -> None:
        self.first, self.detections, self.visits = first, detections, visits
        self.start, self.colors, self.config = start, colors, config
        self.axes = np.stack(local_axes(start.ra, start.dec), axis=1)
        ratio = flux_ratio(
            *(detections.flux_njy, detections.flux_err_njy, mean_flux), config.noise.flux_scatter
        )
        self.centroid = detections.covariance_mas2 * (ratio**2)[:, None]
        self.offset, self.factor = self._geometry()
        self.floor2 = self._told_floors()
        self.scale2 = 1.0

    def _geometry(self) -> tuple[Floats, Floats]:
        """Return offsets of detections, mas, and parallax factors, each (N, 2)."""
        star = self.detections.star
        seen = unit_vectors(self.detections.ra, self.detections.dec).T
        toward = unit_vectors(self.start.ra, self.start.dec).T
        depth = np.einsum("nk,nk->n", seen, toward[star])
        earth = np.array([earth_position_au(float(t)) for t in self.visits.mjd]).reshape(-1, 3)
        earth = earth[self.detections.visit]
        offset, factor = np.empty((star.size, 2)), np.empty((star.size, 2))
        for c in range(2):
            axis = self.axes[star, c]
            offset[:, c] = np.einsum("nk,nk->n", seen, axis) / depth * MAS_PER_RAD
            factor[:, c] = -np.einsum("nk,nk->n", earth, axis)
        return offset, factor

    def _told_floors(self) -> Floats:
        """Return the variance of each visit beside that of centroids, as told: air and WCSs."""
        d, n = self.detections, len(self.visits)
        number = np.maximum(np.bincount(d.visit, minlength=n), 1)
        wcs2 = np.bincount(d.visit, d.wcs_mas**2, minlength=n) / number
        return np.asarray(np.maximum(self.visits.floor_mas**2 + wcs2, _LEAST_FLOOR_MAS**2))

    def part(self, stars: slice) -> MotionFit:
        """Return the fit of some of the stars."""
        number = np.diff(self.first)
        kept = np.zeros(number.size, bool)
        kept[stars] = True
        rows = kept[self.detections.star]
        rank = np.cumsum(kept) - 1
        found = copy(self)
        chosen = self.detections.select(rows)
        found.detections = replace(chosen, star=rank[chosen.star])
        found.first = np.concatenate([[0], np.cumsum(number[kept])]).astype(np.int64)
        start, colors = self.start, self.colors
        found.start = Start(start.ra[stars], start.dec[stars], start.epoch_mjd[stars])
        found.colors = Colors(colors.color[stars], colors.error[stars], colors.known[stars])
        found.axes = self.axes[stars]
        found.centroid, found.offset = self.centroid[rows], self.offset[rows]
        found.factor = self.factor[rows]
        return found

    def rows(self) -> Rows:
        """Return the detections for the kernel, with errors as they are known now."""
        d, v = self.detections, self.visits
        centroid = self.centroid * self.scale2
        covariance = centroid.copy()
        color2 = self.colors.color[d.star] ** 2
        for c, k in ((0, 0), (1, 2)):
            refraction2 = color2 * v.refraction_err_mas[d.visit, c] ** 2
            covariance[:, k] += self.floor2[d.visit] + refraction2
        years = (v.mjd[d.visit] - self.start.epoch_mjd[d.star]) / DAYS_PER_YEAR
        refraction = v.refraction_mas[d.visit]
        return Rows(self.first, self.offset, covariance, centroid, years, self.factor, refraction)

    def widen(self, sums: Floats) -> None:
        """Raise the scatter of visits whose residuals, of all detections, ask for it in the median.

        The ratio of ρᵀWWρ to tr P is half a χ² of two degrees of freedom, whose median is ln 2.
        Otherwise a visit whose scatter was told too small would lose all its detections at once.
        """
        d = self.detections
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = sums[:, 0] / sums[:, 1] / np.log(2)
        size = (self.centroid[:, 0] + self.centroid[:, 2]) / 2 + self.floor2[d.visit]
        for v in range(len(self.visits) if self.config.noise.find_floors else 0):
            own = ratio[d.visit == v]
            own = own[np.isfinite(own)]
            if own.size >= _FEWEST_ROWS:
                above = max(float(np.median(own)) - 1, 0.0)
                self.floor2[v] += above * float(np.median(size[d.visit == v]))

    def refine(self, on: Bools, sums: Floats) -> float:
        """Take over what residuals say of the sizes of errors; return the largest change."""
        noise, d = self.config.noise, self.detections
        change = 0.0
        if noise.find_floors:
            told = self._told_floors()
            found, expected = (
                np.bincount(d.visit, sums[:, k], minlength=len(self.visits)) for k in (0, 1)
            )
            above = found + noise.floor_rows * told / self.floor2**2
            below = expected + noise.floor_rows / self.floor2
            growth = np.clip(above / below, 1 / _MOST_GROWTH, _MOST_GROWTH)
            new = np.maximum(self.floor2 * growth, _LEAST_FLOOR_MAS**2)
            change = float(np.abs(np.log(new / self.floor2)).max(initial=0.0))
            self.floor2 = new
        scale2 = self._centroid_scale2(on, sums)
        change = max(change, abs(float(np.log(scale2 / self.scale2))))
        self.scale2 = scale2
        return change

    def _centroid_scale2(self, on: Bools, sums: Floats) -> float:
        """Return by what variances of centroids are to be multiplied: 1 unless it is certain.

        The sum of ρᵀWKWρ over that of tr PK is one where K is right, within √(2/Σ tr PK) for as
        many degrees of freedom as the centroids' errors, and not the floors, make.
        """
        found, expected = float(sums[on, 2].sum()), float(sums[on, 3].sum())
        if expected <= 0:
            return self.scale2
        scale2 = self.scale2 * found / expected
        sure = self.config.noise.scale_sigma * np.sqrt(2 / expected)
        return float(np.clip(scale2, 0.25, 4.0)) if abs(scale2 - 1) > sure else 1.0


@dataclass(frozen=True, eq=False)
class _Catalog:
    """What the catalogue says of stars: which values, their precision and mean."""

    told: Bools
    share: Floats
    mean: Floats

    @classmethod
    def of(cls, fit: MotionFit, reference: ReferenceAstrometry | None) -> _Catalog:
        """Return what the reference catalogue says; nothing if there is none, or it is not used."""
        config, start, n = fit.config.reference, fit.start, fit.start.ra.size
        if reference is None or not config.use:
            return cls(np.zeros((n, 5), bool), np.zeros((n, 5, 5)), np.zeros((n, 5)))
        _, share, mean = catalogue_prior(
            reference, start.ra, start.dec, fit.axes, start.epoch_mjd, config.floor_mas
        )
        told = reference.told
        mean[:, 4] -= np.where(told[:, 4], config.parallax_zero_point_mas, 0.0)
        return cls(told, share, mean)

    def part(self, stars: slice) -> _Catalog:
        """Return the same of some of the stars."""
        return _Catalog(self.told[stars], self.share[stars], self.mean[stars])


def fit_motions(fit: MotionFit, reference: ReferenceAstrometry | None) -> Motions:
    """Fit all stars.

    Parameters
    ----------
    fit
        The detections. The sizes of their errors, which are found, are left in it.
    reference
        What the catalogue says of the stars, rows alike; None without.

    Notes
    -----
    A pass takes 0.4 µs a detection. Ten find the sizes of the errors, from as many stars as are
    needed for that; two or three more are of all.
    """
    catalog = _Catalog.of(fit, reference)
    every = -(-fit.start.ra.size // _MOST_ASKED)
    if every <= 1:
        return _fitted(fit, catalog, refine=True)
    some = slice(None, None, every)
    part = fit.part(some)
    _fitted(part, catalog.part(some), refine=True)
    fit.floor2, fit.scale2 = part.floor2, part.scale2
    return _fitted(fit, catalog, refine=False)


def _fitted(fit: MotionFit, catalog: _Catalog, *, refine: bool) -> Motions:
    """Fit stars until nothing changes that decides how they are fitted."""
    config = fit.config
    n, share, mean = fit.start.ra.size, catalog.share, catalog.mean
    tied, whole = catalog.told.any(axis=1), catalog.told.all(axis=1)
    astray, enough = np.zeros(n, bool), _enough(fit, config.model)
    moves = enough | whole
    on = np.ones(len(fit.detections), bool)
    state, condition = _State(n, on.size), np.ones(n)
    changed, passed = True, 0
    while passed < _PASSES:
        passed += 1
        first = refine and passed == 1
        limit2 = np.inf if first else config.noise.clip_sigma**2
        prior, target = _priors(fit, moves, tied & (moves | whole), share, mean)
        fit_stars(
            *(fit.rows(), prior, target, limit2, config.noise.max_clipped, on),
            *(state.theta, state.covariance, state.chi2, state.sums),
        )
        if first:
            fit.widen(state.sums)
            continue
        before = moves.copy(), tied.copy()
        if changed:
            condition = np.where(moves, _condition(state.covariance), condition)
            # A place that is known of another time goes with the motion, and makes it certain.
            moves &= tied | (condition <= config.model.max_condition)
        far = _far(state, tied & moves, share, mean, fit, config.reference.clip_sigma)
        astray |= far
        tied &= ~far
        moves &= tied | enough
        changed = bool((before[0] != moves).any() or (before[1] != tied).any())
        settled = not refine or fit.refine(on, state.sums) < _SETTLED
        if settled and not changed:
            break
    return Motions(
        theta=state.theta,
        covariance=state.covariance,
        on=on,
        chi2=state.chi2[:, 0],
        expected=state.chi2[:, 1],
        moves=moves,
        condition=condition,
        tied=tied & moves,
        astray=astray,
        floor_mas=np.sqrt(fit.floor2),
        centroid_scale=float(np.sqrt(fit.scale2)),
        passes=passed,
        reference=np.where(catalog.told, mean, np.nan),
    )


class _State:
    """What the kernel fills."""

    def __init__(self, n_star: int, n_row: int) -> None:
        self.theta = np.zeros((n_star, N_PARAMETER))
        self.covariance = np.zeros((n_star, N_PARAMETER, N_PARAMETER))
        self.chi2 = np.zeros((n_star, 2))
        self.sums = np.zeros((n_row, 4))


def _enough(fit: MotionFit, config: MotionModelConfig) -> Bools:
    """Return which stars have visits enough, and far enough from each other in time."""
    d, n = fit.detections, fit.first.size - 1
    mjd = fit.visits.mjd[d.visit]
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, d.star, mjd)
    np.maximum.at(high, d.star, mjd)
    enough = np.diff(fit.first) >= config.min_visits
    return np.asarray(enough & (high - low >= config.min_span_yr * DAYS_PER_YEAR))


def _priors(
    fit: MotionFit, moves: Bools, tied: Bools, share: Floats, mean: Floats
) -> tuple[Floats, Floats]:
    """Return precisions (S, 6, 6) and these times means (S, 6)."""
    n, model = moves.size, fit.config.model
    prior = np.zeros((n, N_PARAMETER, N_PARAMETER))
    k = np.arange(5)
    prior[:, k, k] = _LOOSE
    still = np.array([model.pm_mas_yr, model.pm_mas_yr, model.parallax_mas]) ** -2.0
    prior[:, [2, 3, 4], [2, 3, 4]] += np.where(moves[:, None], 0.0, still)
    prior[:, :5, :5] += np.where(tied[:, None, None], share, 0.0)
    target = np.zeros((n, N_PARAMETER))
    target[:, :5] = np.einsum("sij,sj->si", prior[:, :5, :5], np.where(tied[:, None], mean, 0.0))
    prior[:, 5, 5] = 1 / fit.colors.error**2
    target[:, 5] = fit.colors.color * prior[:, 5, 5]
    return prior, target


def _condition(covariance: Floats) -> Floats:
    """Return condition numbers of the correlations of the first five parameters."""
    inner = covariance[:, :5, :5]
    sigma = np.sqrt(np.maximum(np.einsum("sii->si", inner), 1e-300))
    values = np.linalg.eigvalsh(inner / sigma[:, :, None] / sigma[:, None, :])
    return np.asarray(values[:, -1] / np.maximum(values[:, 0], 1e-16))


def _far(
    state: _State, tied: Bools, share: Floats, mean: Floats, fit: MotionFit, sigma: float
) -> Bools:
    """Return which stars are elsewhere than the catalogue says, by what the rows alone say.

    With N the precision of the joint solution s, Λ and μ those of the catalogue, the difference of
    the rows' own solution from μ has the χ² (s - μ)ᵀ N (N - Λ)⁻¹ Λ (s - μ).
    """
    from scipy.special import erfc, gammainccinv

    rows = np.flatnonzero(tied & (np.diff(fit.first) >= fit.config.model.min_visits))
    far = np.zeros(tied.size, bool)
    if not rows.size:
        return far
    joint = np.linalg.inv(state.covariance[rows, :5, :5])
    own = joint - share[rows]
    # What the rows leave open must not count: the loose prior stands in for it.
    own[:, np.arange(5), np.arange(5)] += _LOOSE
    difference = state.theta[rows, :5] - mean[rows]
    pulled = np.einsum("sij,sj->si", share[rows], difference)
    solved = np.linalg.solve(own, pulled[:, :, None])[:, :, 0]
    distance = np.einsum("si,sij,sj->s", difference, joint, solved)
    number = (np.einsum("sii->si", share[rows]) > 0).sum(axis=1)
    # χ² of so many values that is as unlikely as that many standard deviations of one.
    far[rows] = distance > 2 * gammainccinv(number / 2, erfc(sigma / np.sqrt(2)))
    return far
