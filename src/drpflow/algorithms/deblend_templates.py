"""Templates of the sources in blends: the PSF for points, a symmetric image for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.kernels import deblend as kernels
from drpflow.kernels import deblend_points as point_kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.deblend import DeblendConfig
    from drpflow.data.footprints import Footprints
    from drpflow.data.psf_base import Psf

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int32 = NDArray[np.int32]
    Int64 = NDArray[np.int64]
    Bool = NDArray[np.bool_]

# PSF images are made in double precision, this many at a time (55 MB of 41 x 41 pixels).
_STAMPS_AT_A_TIME = 4096


@dataclass(frozen=True, eq=False)
class Scene:
    """Images that the blends share; those in the second block are written to."""

    image: Float32
    variance: Float32
    bad: Bool
    labels: Int32

    residual: Float32
    largest: Float32
    total: Float32


@dataclass(frozen=True, eq=False)
class Group:
    """Some blends that are treated at a time, with their peaks."""

    rows: Int64
    blends: Footprints
    label: Int32
    owner: Int32


@dataclass(frozen=True, eq=False)
class Points:
    """The peaks of a group as point sources."""

    x: Float64
    y: Float64
    stamps: Float32
    x0: Int64
    y0: Int64
    coefficients: Float64
    is_point: Bool
    dropped: Bool
    usable: Bool
    """Whether enough pixels of the core are."""
    sigma: float
    """Width of the PSF, pixels."""


@dataclass(frozen=True, eq=False)
class Templates:
    """Images of all sources of a group, and the weight of each."""

    values: Float32
    first: Int64
    boxes: Int64
    weights: Float64


def fit_as_points(scene: Scene, group: Group, psf: Psf, config: DeblendConfig) -> Points:
    """Fit all peaks together as point sources and judge which of them are.

    The residual is left without all of them.
    """
    ny, nx = scene.image.shape
    sigma = float(psf.compute_sigma(nx / 2, ny / 2))
    half = min(psf.half_size_pix, int(np.ceil(config.stamp_radius_sigma * sigma)))
    peak_x, peak_y = group.blends.peak_x, group.blends.peak_y
    x, y = peak_x.copy(), peak_y.copy()
    flux = np.zeros(x.size)
    most = config.max_shift_sigma * sigma
    for moves in [True] * config.position_rounds + [False]:
        stamps, x0, y0 = _stamps(psf, x, y, half)
        coefficients = np.column_stack([flux, np.zeros((x.size, 2))])
        shapes = (group.owner, stamps, x0, y0)
        point_kernels.add_points(scene.residual, scene.labels, *shapes, coefficients, -1.0)
        point_kernels.fit_points(
            scene.residual, scene.variance, scene.bad, scene.labels, *shapes, x, y,
            coefficients, config.fit_radius_sigma * sigma, config.sweeps, moves,
        )  # fmt: skip
        flux = coefficients[:, 0]
        if moves:
            point_kernels.add_points(scene.residual, scene.labels, *shapes, coefficients, 1.0)
            x, y = _moved(x, y, coefficients, peak_x, peak_y, most)
    chi2, usable = np.empty(x.size), np.empty(x.size)
    point_kernels.point_chi2(
        scene.residual, scene.image, scene.variance, scene.bad, scene.labels, group.owner, x, y,
        config.core_radius_sigma * sigma, config.model_tolerance, chi2, usable,
    )  # fmt: skip
    near = np.hypot(x - peak_x, y - peak_y) < 0.99 * most
    seen = usable >= config.min_usable_fraction
    faint = flux < config.min_significance * _flux_error(scene.variance, stamps, x, y)
    is_point = near & seen & ~faint & (chi2 <= config.max_chi2)
    # A peak that cannot be seen as a point source for want of pixels is not dropped.
    return Points(x, y, stamps, x0, y0, coefficients, is_point, faint & seen, seen, sigma)


def _moved(
    x: Float64, y: Float64, coefficients: Float64, peak_x: Float64, peak_y: Float64, most: float
) -> tuple[Float64, Float64]:
    """Apply fitted displacements, up to a distance from the peak along each axis."""
    scale = np.maximum(coefficients[:, 0], np.finfo(np.float64).tiny)
    x = np.clip(x + coefficients[:, 1] / scale, peak_x - most, peak_x + most)
    y = np.clip(y + coefficients[:, 2] / scale, peak_y - most, peak_y + most)
    return x, y


def _stamps(psf: Psf, x: Float64, y: Float64, half: int) -> tuple[Float32, Int64, Int64]:
    """Return images of unit flux about the given places, cut to a half size."""
    margin = psf.half_size_pix - half
    inner = slice(margin, margin + 2 * half + 1)
    stamps = np.empty((x.size, 2 * half + 1, 2 * half + 1), np.float32)
    x0, y0 = np.empty(x.size, np.int64), np.empty(x.size, np.int64)
    for start in range(0, x.size, _STAMPS_AT_A_TIME):
        k = slice(start, start + _STAMPS_AT_A_TIME)
        images, x0[k], y0[k] = psf.compute_images(x[k], y[k])
        stamps[k] = images[:, inner, inner]
    return stamps, x0 + margin, y0 + margin


def _flux_error(variance: Float32, stamps: Float32, x: Float64, y: Float64) -> Float64:
    """Return the standard deviation of a PSF flux in the noise of the pixel at its centre."""
    ny, nx = variance.shape
    row = np.clip(np.rint(y).astype(np.intp), 0, ny - 1)
    column = np.clip(np.rint(x).astype(np.intp), 0, nx - 1)
    squares = np.einsum("kij,kij->k", stamps, stamps, dtype=np.float64)
    noise: Float64 = np.sqrt(np.maximum(variance[row, column], 0) / squares)
    return np.where(np.isfinite(noise), noise, 0.0)


def _make_templates(scene: Scene, group: Group, points: Points, config: DeblendConfig) -> Templates:
    """Make a template for each peak and fit their weights; dropped ones have weight 0."""
    others = ~points.is_point
    extended = np.flatnonzero(others & ~points.dropped)
    point_kernels.add_points(
        scene.residual, scene.labels, group.owner[others], points.stamps[others],
        points.x0[others], points.y0[others], points.coefficients[others], 1.0,
    )  # fmt: skip
    size = points.stamps.shape[1]
    boxes = np.column_stack([points.x0, points.x0 + size, points.y0, points.y0 + size])
    first = np.arange(boxes.shape[0]) * size**2
    shapes = [points.stamps.ravel()]
    reach = min(config.max_extended_radius_pix, max(scene.image.shape))
    scratch = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    end = shapes[0].size
    for k in extended:
        column, row = (round(v) for v in (group.blends.peak_x[k], group.blends.peak_y[k]))
        half = kernels.symmetric_template(
            scene.residual, scene.variance, scene.bad, scene.labels, group.owner[k],
            (row, column), size // 8, size // 2, scratch,
        )  # fmt: skip
        if half < 0:  # no light at the peak: the PSF must do
            continue
        middle = slice(reach - half, reach + half + 1)
        shapes.append(scratch[middle, middle].ravel())
        boxes[k] = column - half, column + half + 1, row - half, row + half + 1
        first[k] = end
        end += shapes[-1].size
    weights = np.where(points.is_point, points.coefficients[:, 0], 0.0)
    return Templates(np.concatenate(shapes), first, boxes, weights)


def fit_templates(
    scene: Scene, group: Group, points: Points, psf: Psf, config: DeblendConfig
) -> Templates:
    """Make templates of all sources and fit their weights."""
    templates = _make_templates(scene, group, points, config)
    extended = ~points.is_point & ~points.dropped
    if extended.any():
        # Where all are points the fit is done already.
        used = np.isin(group.owner, group.owner[extended]) & ~points.dropped
        _fit_weights(scene, group.owner, templates, used, config.sweeps)
        if _look_again(scene, group, points, templates, psf, config):
            _fit_weights(scene, group.owner, templates, used, 2)
    return templates


def _fit_weights(scene: Scene, owner: Int32, templates: Templates, used: Bool, sweeps: int) -> None:
    """Fit the weights of the templates that are used."""
    weights = templates.weights[used]
    kernels.fit_weights(
        scene.residual, scene.variance, scene.bad, scene.labels, owner[used], templates.values,
        templates.first[used], templates.boxes[used], weights, sweeps,
    )  # fmt: skip
    templates.weights[used] = weights


def _look_again(
    scene: Scene, group: Group, points: Points, templates: Templates, psf: Psf,
    config: DeblendConfig,
) -> int:  # fmt: skip
    """Look for point sources among the others once more, now beside fitted templates.

    A star on the flank of a galaxy fits badly while the galaxy is taken for a point. Where the
    PSF now fits it replaces the template; `points` and `templates` are changed. Returns how many.
    """
    k = np.flatnonzero(points.usable & ~points.is_point & ~points.dropped & (templates.weights > 0))
    if k.size == 0:
        return 0
    peak_x, peak_y = group.blends.peak_x[k], group.blends.peak_y[k]
    x, y, half = peak_x, peak_y, points.stamps.shape[1] // 2
    most = config.max_shift_sigma * points.sigma
    radii = np.array([config.fit_radius_sigma, config.core_radius_sigma]) * points.sigma
    limits = np.array([config.model_tolerance, config.max_chi2])
    accepted = np.zeros(k.size, np.bool_)
    for judge in (False, True):
        stamps, x0, y0 = _stamps(psf, x, y, half)
        coefficients = np.zeros((k.size, 3))
        least = np.full(k.size, np.inf)
        if judge:
            near = np.hypot(x - peak_x, y - peak_y) < 0.99 * most
            faint = config.min_significance * _flux_error(scene.variance, stamps, x, y)
            least = np.where(near, faint, np.finfo(np.float64).max)
        point_kernels.retry_points(
            scene.residual, scene.image, scene.variance, scene.bad, scene.labels, k, group.owner,
            templates.values, templates.first, templates.boxes, templates.weights, stamps, x0, y0,
            x, y, coefficients, least, radii, limits, accepted,
        )  # fmt: skip
        if not judge:
            x, y = _moved(x, y, coefficients, peak_x, peak_y, most)
    _accept(points, templates, k[accepted], (x[accepted], y[accepted]), stamps[accepted])
    templates.weights[k[accepted]] = coefficients[accepted, 0]
    return int(accepted.sum())


def _accept(
    points: Points,
    templates: Templates,
    rows: Int64,
    places: tuple[Float64, Float64],
    stamps: Float32,
) -> None:
    """Give some sources the PSF as their template."""
    half, size = stamps.shape[1] // 2, stamps.shape[1]
    points.is_point[rows] = True
    points.x[rows], points.y[rows] = places
    # As compute_images places them: halves belong to the next pixel.
    x0, y0 = (np.floor(v + 0.5).astype(np.int64) - half for v in places)
    templates.boxes[rows] = np.column_stack([x0, x0 + size, y0, y0 + size])
    # The values begin with a stamp of each peak, of which those of other sources are not used.
    templates.first[rows] = rows * size**2
    templates.values[: points.stamps.size].reshape(points.stamps.shape)[rows] = stamps
