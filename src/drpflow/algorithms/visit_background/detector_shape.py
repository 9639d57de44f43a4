"""The shape of the empty sky on one detector: a smooth part, and a mesh as far as it is real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.background import BackgroundLayer, MeshLayer, PolynomialLayer
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.cells import DetectorCells
    from drpflow.config.make_sky_frame import MakeSkyFrameConfig

    Float64: TypeAlias = NDArray[np.float64]


_HOLE_SIGMA = 0.01
"""How far the shape may be from a plane where no visit shows the sky, relative to it."""

_FEWEST_CELLS = 30
"""With fewer cells the plane is even."""


@dataclass(frozen=True, eq=False)
class Shape:
    """Shape of the empty sky on a detector.

    Parameters
    ----------
    smooth
        Polynomial in pixels.
    mesh
        What is added to it; None for nothing.
    fine
        Share of the scatter of the mesh's bins that is not noise.
    error
        Standard deviation of the smooth part, rms over the detector.
    mean
        Mean over the detector.
    """

    smooth: Polynomial2D
    mesh: MeshLayer | None
    fine: float
    error: float
    mean: float

    @property
    def order(self) -> int:
        """Total degree of the smooth part."""
        return self.smooth.basis.order

    def on_grid(self, x: Float64, y: Float64) -> Float64:
        """Return the shape on a grid of columns and rows, (ny, nx)."""
        total = self.smooth.basis.evaluate_grid(self.smooth.coefficients, x, y)
        return total if self.mesh is None else total + self.mesh.evaluate_grid(x, y)

    def layers(self) -> tuple[tuple[str, BackgroundLayer], ...]:
        """Return the layers ``smooth`` and, where there is one, ``mesh``."""
        first: tuple[str, BackgroundLayer] = ("smooth", PolynomialLayer(self.smooth))
        return (first,) if self.mesh is None else (first, ("mesh", self.mesh))

    def scaled(self, factor: float) -> Shape:
        """Return the shape times a number."""
        mesh = self.mesh
        if mesh is not None:
            values = mesh.values * factor
            mesh = MeshLayer(values, mesh.weights, mesh.x, mesh.y, mesh.interpolation)
        error, mean = self.error * factor, self.mean * factor
        return Shape(self.smooth.scaled(factor), mesh, self.fine, error, mean)


def fit_shape(
    ratios: Float64, weights: Float64, grid: DetectorCells, config: MakeSkyFrameConfig
) -> Shape:
    """Return the shape that the visits of a detector share.

    Parameters
    ----------
    ratios
        Cells over the smooth sky of each visit, shape (n_visits, my, mx).
    weights
        Their inverse variances, 0 for cells that do not count, same shape.
    grid
        Tells where the cells are.
    config
        Orders, mesh and clipping.

    Notes
    -----
    Sources that one visit shows in a cell and others do not are left out as deviations from the
    median of the visits, or with two visits from the smooth part of the last round. The order is
    that of the least n ln(RSS / n) + p ln n (Schwarz 1978).
    """
    weights = _without_outliers(ratios, weights, config.clip_sigma)
    total = weights.sum(axis=0)
    mean = np.divide(
        (weights * ratios).sum(axis=0), total, out=np.ones(total.shape), where=total > 0
    )
    x, y = grid.centers
    half = grid.cell_pix / 2
    domain = Domain(x[0] - half, x[-1] + half, y[0] - half, y[-1] + half)
    smooth, error = _smooth_part(mean, total, np.meshgrid(x, y), domain, config)
    rest = mean - smooth.basis.evaluate_grid(smooth.coefficients, x, y)
    mesh, fine = _fine_part(rest, total, grid, config)
    values = smooth.basis.evaluate_grid(smooth.coefficients, x, y)
    return Shape(smooth, mesh, fine, error, float(values.mean()))


def _without_outliers(ratios: Float64, weights: Float64, clip_sigma: float) -> Float64:
    """Return the weights, 0 for what deviates from the median of the visits."""
    count = (weights > 0).sum(axis=0)
    gaps = np.where(weights > 0, ratios, np.nan)
    several = count >= 3
    if not several.any():
        return weights
    center = np.full(count.shape, np.nan)
    center[several] = np.nanmedian(gaps[:, several], axis=0)
    pulls = np.abs(gaps - center) * np.sqrt(weights)
    known = np.isfinite(pulls)
    limit = clip_sigma * max(1.0, 1.4826 * float(np.median(pulls[known])))
    return np.where(known & (pulls > limit), 0.0, weights)


def _smooth_part(
    mean: Float64,
    weight: Float64,
    places: tuple[Float64, ...],
    domain: Domain,
    config: MakeSkyFrameConfig,
) -> tuple[Polynomial2D, float]:
    """Return the polynomial of the best order, and the rms of its standard deviation."""
    n = int(np.count_nonzero(weight))
    mean, weight = _without_holes(mean, weight, places, domain)
    there = weight > 0
    w, y = weight[there], mean[there]
    basis = Basis2D(min(config.detector_order, _highest_order(n)), domain)
    a = basis.design(places[0][there], places[1][there])
    matrix, vector = (a * w[:, None]).T @ a, (a * w[:, None]).T @ y
    best: tuple[float, int, Float64, Float64] | None = None
    for order in range(basis.order + 1):
        p = (order + 1) * (order + 2) // 2
        inverse = np.asarray(np.linalg.pinv(matrix[:p, :p], hermitian=True), np.float64)
        coefficients = inverse @ vector[:p]
        rss = float(w @ (y - a[:, :p] @ coefficients) ** 2)
        score = n * np.log(max(rss, 1e-12) / n) + p * np.log(n)
        if best is None or score < best[0]:
            best = float(score), order, coefficients, inverse * max(1.0, rss / max(1, n - p))
    assert best is not None
    _, order, coefficients, covariance = best
    terms = a[:, : coefficients.size]
    error = np.sqrt(np.einsum("ij,jk,ik->i", terms, covariance, terms).mean())
    return Polynomial2D(Basis2D(order, domain), coefficients), float(error)


def _without_holes(
    mean: Float64, weight: Float64, places: tuple[Float64, ...], domain: Domain
) -> tuple[Float64, Float64]:
    """Return means and weights in which cells that no visit shows lie near a plane.

    A polynomial of a high degree runs away in a hole, and visits would then be fitted to that.
    """
    there = weight > 0
    basis = Basis2D(1 if np.count_nonzero(there) > _FEWEST_CELLS else 0, domain)
    x, y = places
    plane = basis.fit(x[there], y[there], mean[there], np.sqrt(weight[there]))
    filled = np.where(there, mean, basis.evaluate(plane, x, y))
    return filled, np.where(there, weight, _HOLE_SIGMA**-2.0)


def _highest_order(n_points: int) -> int:
    """Return the highest order that so many points carry, with ten for each term."""
    order = 0
    while (order + 2) * (order + 3) // 2 * 10 <= n_points:
        order += 1
    return order


def _fine_part(
    rest: Float64, weight: Float64, grid: DetectorCells, config: MakeSkyFrameConfig
) -> tuple[MeshLayer | None, float]:
    """Return a mesh through what is left, shrunk by the share of it that is real.

    Of bins of scatter s² and noise n² the best guess of the truth is (1 - n²/s²) of what was
    measured (Wiener's filter).
    """
    step = max(1, round(config.mesh_pix / grid.cell_pix))
    total, sums = (_binned(v, step) for v in (weight, weight * rest))
    known = total > 0
    value = np.divide(sums, total, out=np.zeros(total.shape), where=known)
    if np.count_nonzero(known) < 10:
        return None, 0.0
    noise2 = 1 / total[known]
    real = float(np.mean(value[known] ** 2 - noise2))
    spread = np.sqrt(2 * np.mean(noise2**2) / noise2.size)
    if real <= 2 * spread:
        return None, 0.0
    shrunk = np.zeros(value.shape)
    shrunk[known] = value[known] * real / (real + noise2)
    x, y = (_bin_centers(axis, step) for axis in grid.centers)
    return MeshLayer(shrunk, total, x, y, "spline"), real / (real + float(noise2.mean()))


def _binned(values: Float64, step: int) -> Float64:
    """Return sums over square groups of cells; a last, partial group counts as one."""
    rows, columns = (np.arange(0, n, step) for n in values.shape)
    return np.asarray(np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1))


def _bin_centers(centers: Float64, step: int) -> Float64:
    return np.array([centers[k : k + step].mean() for k in range(0, centers.size, step)])
