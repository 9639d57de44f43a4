"""Clouds finer than the polynomial over the field: a Gaussian process whose size the data set.

The residuals of a visit, averaged in cells of its detectors, are taken as a smooth random field
with the covariance A² (1 + √3 d/ℓ) exp(-√3 d/ℓ) (Matérn, ν = 3/2) plus known noise. The result is
the mean over a grid of A and ℓ, weighted by their evidence; without evidence there is no field, so
that a clear visit keeps its polynomial. A detector with few stars follows its neighbours by as much
as the field is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.field import local_design, nodes
from drpflow.algorithms.fgcm.noise import extra_variance, taper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.photometric_tables import Detectors

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

# Amplitudes [mag], and lengths in units of the field's radius.
_AMPLITUDES = 0.0005 * 2.0 ** np.arange(0, 10.5, 0.5)
_LENGTHS = (0.12, 0.25, 0.5, 1.0, 2.0)
# Cells of a visit at most: a decomposition of 400 takes 60 ms.
_MAX_CELLS = 400
# Cells of a detector, each way, in clear visits.
_CLEAR_SIDE = 3
# Order over a detector of what is smooth between cells.
_LEAST_ORDER = 4
# How many of the likeliest fields are averaged, and how unlikely they may be.
_MAX_AVERAGED = 8
_LEAST_ODDS = 4.0
# Stars that are less than nine tenths of their cell's mean tell what scatters inside cells, if they
# are so many.
_LEAST_FREEDOM = 0.1
_MIN_TOLD = 30


@dataclass(frozen=True, eq=False)
class StarResiduals:
    """Stars of a visit, (n,) each.

    Parameters
    ----------
    detector
        Row of the detector.
    u, v
        Place on it.
    value, variance
        Residual [mag] and its variance.
    shared
        Variance that the stars of a detector have in common, by detector, (D,).
    """

    detector: NDArray[np.int32]
    u: Floats
    v: Floats
    value: Floats
    variance: Floats
    shared: Floats


@dataclass(frozen=True, eq=False)
class Cells:
    """Mean residuals in parts of a visit's detectors.

    Parameters
    ----------
    x_deg, y_deg
        Mean place of the stars, (n,).
    value, variance
        Mean residual [mag] and its variance, (n,).
    detector
        Row of the detector, (n,).
    shared
        Variance that all cells of a detector have in common, by detector, (D,).
    """

    x_deg: Floats
    y_deg: Floats
    value: Floats
    variance: Floats
    detector: NDArray[np.int32]
    shared: Floats

    def noise(self) -> Floats:
        """Return the covariance of the cells' errors, (n, n)."""
        together = self.detector[:, None] == self.detector
        return np.diag(self.variance) + together * self.shared[self.detector]


@dataclass(frozen=True, eq=False)
class Patches:
    """The field of a visit on its detectors.

    Parameters
    ----------
    local
        Legendre coefficients over each detector, (D, K).
    variance
        Expected squared error of the mean over each detector, (D,).
    amplitude, length_deg
        The likeliest A and ℓ.
    log_odds
        Their evidence against no field.
    """

    local: Floats
    variance: Floats
    amplitude: float
    length_deg: float
    log_odds: float


def visit_patches(
    stars: StarResiduals, detectors: Detectors, order: int, config: FgcmConfig, *, clear: bool
) -> Patches | None:
    """Return the patches of a visit, if it has any.

    A clear visit needs evidence, and is looked at coarsely; of clouds patches are expected, and few
    stars are taken one by one. Stars that do not agree with the first field lose weight in the
    second.

    Parameters
    ----------
    stars
        Residuals about the polynomial over the field.
    detectors
        Where the field is wanted.
    order
        Largest order of the polynomials over each detector: with few cells it is lower, but at
        least `_LEAST_ORDER`.
    config
        Sizes of cells and clipping.
    clear
        Whether the visit is more likely clear than cloudy.
    """
    z = config.zero_points
    seen = max(int(np.unique(stars.detector).size), 1)
    side = int(np.sqrt(stars.value.size / seen / z.stars_per_cell))
    side = int(np.clip(side, 1, min(z.max_cells, _CLEAR_SIDE) if clear else z.max_cells))
    side = min(side, max(int(np.sqrt(_MAX_CELLS / len(detectors))), 1))
    order = min(order, max(side + 2, _LEAST_ORDER))
    evidence = z.min_evidence if clear else 0.0
    single = not clear and stars.value.size <= _MAX_CELLS

    def cells_of(some: StarResiduals) -> Cells:
        return _one_by_one(some, detectors) if single else split_cells(some, detectors, side)

    found = fit_patches(cells_of(stars), detectors, order, evidence)
    if found is None:
        return None
    design = local_design(stars.u, stars.v, order)
    rest = stars.value - (design * found.local[stars.detector]).sum(axis=1)
    scatter = max(1.0, 1.4826 * float(np.median(np.abs(rest) / np.sqrt(stars.variance))))
    weight = taper(rest / np.sqrt(stars.variance) / scatter, config.noise)
    kept = weight > 0
    again = StarResiduals(
        stars.detector[kept],
        stars.u[kept],
        stars.v[kept],
        stars.value[kept],
        stars.variance[kept] / weight[kept],
        stars.shared,
    )
    return fit_patches(cells_of(again), detectors, order, evidence)


def _one_by_one(stars: StarResiduals, detectors: Detectors) -> Cells:
    """Return each star as a cell of its own."""
    x, y = detectors.field(stars.detector, stars.u, stars.v)
    return Cells(x, y, stars.value, stars.variance, stars.detector, stars.shared)


def split_cells(stars: StarResiduals, detectors: Detectors, per_side: int) -> Cells:
    """Average residuals of a visit's stars in per_side² cells of each detector.

    What scatters inside cells beyond the stars' noise is structure that cells do not resolve: the
    mean of a few stars is off the mean of the cell by as much.
    """
    i, j = (
        np.clip(((t + 1) / 2 * per_side).astype(np.int64), 0, per_side - 1)
        for t in (stars.u, stars.v)
    )
    cell = (stars.detector.astype(np.int64) * per_side + i) * per_side + j
    found, cell = np.unique(cell, return_inverse=True)
    weight = 1 / (stars.variance + _inside(stars, cell))
    total = np.bincount(cell, weight)
    x, y = detectors.field(stars.detector, stars.u, stars.v)
    mean = [np.bincount(cell, weight * a) / total for a in (x, y, stars.value)]
    detector = (found // per_side**2).astype(np.int32)
    return Cells(mean[0], mean[1], mean[2], 1 / total, detector, stars.shared)


def _inside(stars: StarResiduals, cell: Ints) -> float:
    """Return the variance of the stars inside their cells beyond their own."""
    weight = 1 / stars.variance
    total = np.bincount(cell, weight)
    mean = np.bincount(cell, weight * stars.value) / total
    free = 1 - weight / total[cell]
    told = free > _LEAST_FREEDOM
    if told.sum() < _MIN_TOLD:
        return 0.0
    square = (stars.value - mean[cell])[told] ** 2 / free[told]
    return extra_variance(square, stars.variance[told])


def fit_patches(
    cells: Cells, detectors: Detectors, order: int, min_evidence: float
) -> Patches | None:
    """Return the field that the cells ask for, or None.

    Parameters
    ----------
    cells
        Residuals.
    detectors
        Where the field is wanted.
    order
        Order of the polynomials over each detector.
    min_evidence
        Natural logarithm of the odds that are asked.
    """
    if cells.value.size < 3 or (min_evidence > 0 and not _scatters(cells)):
        return None
    grid = _evidence(cells, detectors.radius_deg)
    best = max(odds for odds, _, _ in grid)
    if best < min_evidence:
        return None
    likely = sorted(grid, reverse=True)[:_MAX_AVERAGED]
    likely = [entry for entry in likely if entry[0] > best - _LEAST_ODDS]
    weight = np.exp([entry[0] - best for entry in likely])
    weight /= weight.sum()
    found = [_predict(cells, detectors, order, a, length) for _, a, length in likely]
    local = np.einsum("m,mdk->dk", weight, np.array([f[0] for f in found]))
    spread = np.array([(f[0][:, 0] - local[:, 0]) ** 2 + f[1] for f in found])
    return Patches(local, weight @ spread, likely[0][1], likely[0][2], best)


def _evidence(cells: Cells, radius_deg: float) -> list[tuple[float, float, float]]:
    """Return ln p(y | A, ℓ) - ln p(y | 0), A and ℓ on the grid."""
    grid = []
    whiten = np.linalg.inv(np.linalg.cholesky(cells.noise()))
    white = whiten @ cells.value
    for length in np.array(_LENGTHS) * radius_deg:
        shape = _matern(_distance(cells, cells.x_deg, cells.y_deg), length)
        eigenvalue, vector = np.linalg.eigh(whiten @ shape @ whiten.T)
        projected = (vector.T @ white) ** 2
        for amplitude in _AMPLITUDES:
            power = amplitude**2 * np.maximum(eigenvalue, 0.0)
            odds = 0.5 * float((projected * power / (1 + power) - np.log1p(power)).sum())
            grid.append((odds, float(amplitude), float(length)))
    return grid


def _scatters(cells: Cells) -> bool:
    """Tell whether the residuals are larger than their errors, at one standard deviation."""
    n = cells.value.size
    return float((cells.value**2 / cells.variance).sum()) > n + np.sqrt(2.0 * n)


def _predict(
    cells: Cells, detectors: Detectors, order: int, amplitude: float, length: float
) -> tuple[Floats, Floats]:
    """Return the polynomials over the detectors (D, K) and the variances of their means (D,)."""
    u, v, weight = nodes(order + 1)
    row = np.arange(len(detectors))
    x, y = detectors.field(row[:, None], u, v)
    between = amplitude**2 * _matern(_distance(cells, cells.x_deg, cells.y_deg), length)
    inverse = np.linalg.inv(between + cells.noise())
    to_nodes = amplitude**2 * _matern(_distance(cells, x.ravel(), y.ravel()), length)
    field = (to_nodes.T @ (inverse @ cells.value)).reshape(x.shape)
    local = np.einsum("n,nk,dn->dk", weight, local_design(u, v, order), field)
    to_mean = to_nodes.reshape(-1, *x.shape) @ weight
    told = np.einsum("cd,ck,kd->d", to_mean, inverse, to_mean)
    apart = np.hypot(x[:, :, None] - x[:, None, :], y[:, :, None] - y[:, None, :])
    own = amplitude**2 * np.einsum("n,dnm,m->d", weight, _matern(apart, length), weight)
    return local, np.maximum(own - told, 0.0)


def _distance(cells: Cells, x_deg: Floats, y_deg: Floats) -> Floats:
    return np.hypot(cells.x_deg[:, None] - x_deg, cells.y_deg[:, None] - y_deg)


def _matern(distance: Floats, length: float) -> Floats:
    scaled = np.sqrt(3.0) * distance / length
    return np.asarray((1 + scaled) * np.exp(-scaled))
