"""The shape of the empty sky on one detector: a smooth part, and a mesh as far as it is real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.visit_background.layers import mesh_layer, nodes
from drpflow.algorithms.visit_background.smooth_field import fit_smooth_field
from drpflow.data.background import BackgroundLayer, MeshLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.cells import DetectorCells
    from drpflow.config.make_sky_frame import MakeSkyFrameConfig

    Float64: TypeAlias = NDArray[np.float64]


_MOST_BINS = 24
"""Bins along a detector that the smooth part is made from: its cost is their sixth power."""

_FEWEST_PIXELS = 0.05
"""A bin with a smaller share of the weight of the others does not count."""


@dataclass(frozen=True, eq=False)
class Shape:
    """Shape of the empty sky on a detector.

    Parameters
    ----------
    smooth
        Spline through nodes from edge to edge.
    mesh
        What is added to it; None for nothing.
    length_pix
        Correlation length of the smooth part; 0 for a plane.
    fine
        Share of the scatter of the mesh's bins that is not noise.
    error
        Standard deviation of the smooth part, rms over the detector.
    mean
        Mean over the detector.
    """

    smooth: MeshLayer
    mesh: MeshLayer | None
    length_pix: float
    fine: float
    error: float
    mean: float

    def on_grid(self, x: Float64, y: Float64) -> Float64:
        """Return the shape on a grid of columns and rows, (ny, nx)."""
        total = self.smooth.evaluate_grid(x, y)
        return total if self.mesh is None else total + self.mesh.evaluate_grid(x, y)

    def layers(self) -> tuple[tuple[str, BackgroundLayer], ...]:
        """Return the layers ``smooth`` and, where there is one, ``mesh``."""
        first: tuple[str, BackgroundLayer] = ("smooth", self.smooth)
        return (first,) if self.mesh is None else (first, ("mesh", self.mesh))

    def scaled(self, factor: float) -> Shape:
        """Return the shape times a number."""
        mesh = None if self.mesh is None else _scaled(self.mesh, factor)
        error, mean = self.error * factor, self.mean * factor
        smooth = _scaled(self.smooth, factor)
        return Shape(smooth, mesh, self.length_pix, self.fine, error, mean)


def _scaled(mesh: MeshLayer, factor: float) -> MeshLayer:
    return MeshLayer(mesh.values * factor, mesh.weights, mesh.x, mesh.y, mesh.interpolation)


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
        Lengths, mesh and clipping.

    Notes
    -----
    Sources that one visit shows in a cell and others do not are left out as deviations from the
    median of the visits.
    """
    weights = _without_outliers(ratios, weights, config.clip_sigma)
    total = weights.sum(axis=0)
    mean = np.divide(
        (weights * ratios).sum(axis=0), total, out=np.ones(total.shape), where=total > 0
    )
    smooth, length, error = _smooth_part(mean, total, grid, config)
    values = smooth.evaluate_grid(*grid.centers)
    mesh, fine = _fine_part(mean - values, total, grid, config)
    return Shape(smooth, mesh, length, fine, error, float(values.mean()))


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
    mean: Float64, weight: Float64, grid: DetectorCells, config: MakeSkyFrameConfig
) -> tuple[MeshLayer, float, float]:
    """Return the spline through a smooth field, its correlation length and its error."""
    my, mx = mean.shape
    step = max(1, -(-max(my, mx) // _MOST_BINS), round(config.smooth_pix / grid.cell_pix))
    x, y = np.meshgrid(*grid.centers)
    total = _binned(weight, step)
    enough = total > _FEWEST_PIXELS * np.median(total[total > 0])
    value, u, v = (_binned(weight * a, step)[enough] / total[enough] for a in (mean, x, y))
    places, extent = np.column_stack([u, v]), grid.cell_pix * max(my, mx)
    lengths = [share * extent for share in config.lengths]
    field = fit_smooth_field(places, value, 1 / total[enough], lengths)
    columns, rows = (nodes(n * grid.cell_pix, step * grid.cell_pix) for n in (mx, my))
    spline = mesh_layer(field(*np.meshgrid(columns, rows)), columns, rows)
    return spline, field.length, field.error


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
