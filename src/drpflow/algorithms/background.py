"""The sky on a mesh of bins, first without and then with the sources masked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.detection import grown_mask
from drpflow.algorithms.significance import smooth
from drpflow.data.background import Background, MeshLayer, PolynomialLayer
from drpflow.errors import AlgorithmError
from drpflow.kernels.background import MEAN, MEDIAN, MODE, bin_statistics, bin_sums, clipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.background import BackgroundConfig, SourceMaskConfig
    from drpflow.data.mask import Mask

    Float32: TypeAlias = NDArray[np.float32]
    Float64: TypeAlias = NDArray[np.float64]
    Bool: TypeAlias = NDArray[np.bool_]

_LEAST_SCATTER = 0.05
"""Scatter of bins, in units of the noise of a pixel, that is never taken for outliers."""

_STATISTICS = {"mean": MEAN, "median": MEDIAN, "mode": MODE}


@dataclass(frozen=True, eq=False)
class BackgroundModel:
    """The sky of an image and what it was measured on.

    Parameters
    ----------
    background
        Layers ``mesh`` and ``pedestal``; subtract both from the image that was given.
    masked
        Pixels of sources that were kept out, on either side of zero, shape (ny, nx).
    masked_fraction
        Their share of the usable pixels.
    threshold
        Significance from which pixels were masked.
    noise
        Median over the bins of the scatter of the pixels of a bin.
    """

    background: Background
    masked: Bool
    masked_fraction: float
    threshold: float
    noise: float


@dataclass(frozen=True)
class _Depth:
    """How sources are masked: threshold, radius of the discs, and whether by wide filters too."""

    threshold: float
    grow_pix: float
    diffuse: bool


def fit_background(
    image: Float32,
    excluded: Bool,
    box: int,
    config: BackgroundConfig,
    *,
    first: bool = False,
) -> MeshLayer:
    """Return the level of the sky in bins.

    Parameters
    ----------
    image
        Pixels, float32, shape (ny, nx).
    excluded
        Pixels that do not count; those that are not finite never do.
    box
        Side of the bins, pixels. The image is divided evenly into the nearest number of bins.
    config
        Statistics and guards.
    first
        Use the statistic for images whose sources are not masked.

    Returns
    -------
    MeshLayer
        With the inverse variances of the levels as weights, 0 in bins that were filled.

    Raises
    ------
    AlgorithmError
        If no bin has enough usable pixels.
    """
    edges_y, edges_x = (_edges(n, box) for n in image.shape)
    level, scatter, count = bin_statistics(
        image,
        excluded | ~np.isfinite(image),
        edges_y,
        edges_x,
        config.first_clip_sigma if first else config.clip_sigma,
        _STATISTICS[config.first_statistic if first else config.statistic],
    )
    pixels = np.diff(edges_y)[:, None] * np.diff(edges_x)
    usable = count >= np.maximum(config.min_fraction * pixels, 1)
    if not usable.any():
        raise AlgorithmError(
            "no bin of the background has enough usable pixels",
            {"bins": usable.size, "usable_fraction": float(count.sum() / pixels.sum())},
            "look at the mask: it leaves almost no sky",
        )
    noise = float(np.median(scatter[usable])) or 1.0
    kept = usable & ~_outliers(np.where(usable, level, np.nan), noise, config.outlier_sigma)
    values = fill_bins(level, kept)
    variance = np.maximum(scatter, 1e-3 * noise) ** 2
    weights = np.divide(count, variance, out=np.zeros(level.shape), where=kept)
    x, y = _centers(edges_x), _centers(edges_y)
    return MeshLayer(values, weights, x, y, config.interpolation)


def remodel_background(
    image: Float32,
    variance: Float32,
    mask: Mask,
    sigma_pix: float,
    config: BackgroundConfig,
) -> BackgroundModel:
    """Measure the sky with the sources masked.

    Mask and mesh are made in turn: the mask of sources needs an image without the sky, the mesh
    one without the sources. Pixels are masked where filters of several widths see a signal of
    *either* sign, so that noise is masked evenly and the mean of the rest is that of the sky. At
    last the mean of all pixels that are left, less the mesh, becomes the pedestal.

    Parameters
    ----------
    image, variance
        Pixels and their variance, shape (ny, nx). Whether a first model of the sky has been
        subtracted makes no difference.
    mask
        Its planes; those of ``config.ignore`` do not count.
    sigma_pix
        Width of the PSF's core.
    config
        Bins, masks and guards.

    Raises
    ------
    AlgorithmError
        If there is no sky to measure.
    """
    planes = [name for name in config.ignore if name in mask.planes]
    unusable = mask.any(planes) | ~np.isfinite(image) | ~(variance > 0)
    mesh = fit_background(image, unusable, config.box_pix, config, first=True)
    for _ in range(config.rounds):
        flat = Background((("mesh", mesh),)).subtract(image)
        depth, sources = _mask_sources(flat, variance, unusable, sigma_pix, config)
        before = mesh.values
        mesh = fit_background(image, unusable | sources, config.box_pix, config)
        noise = _noise(flat, unusable | sources, config)
        if np.abs(mesh.values - before).max() <= config.tolerance_sigma * noise:
            break
    flat = Background((("mesh", mesh),)).subtract(image)
    left = flat[~(unusable | sources)]
    pedestal, noise, _ = clipped(left, config.clip_sigma, MEAN)
    background = Background((("mesh", mesh), ("pedestal", PolynomialLayer.constant(pedestal))))
    share = _share(sources, unusable)
    return BackgroundModel(background, sources, share, depth.threshold, noise)


def fill_bins(level: Float64, known: Bool) -> Float64:
    """Return levels in which unknown bins have the mean of their neighbours.

    The solution of Laplace's equation with the known bins as its boundary: no filled bin leaves
    the range of the known ones.

    Parameters
    ----------
    level
        Values, shape (my, mx); unknown ones are not read.
    known
        Which are known, same shape, at least one.
    """
    filled = np.where(known, level, 0.0)
    if known.all():
        return filled
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import spsolve

    number = np.full(known.shape, -1)
    number[~known] = np.arange(np.count_nonzero(~known))
    rows, columns, entries = [], [], []
    right = np.zeros(number.max() + 1)
    for here, there in _neighbours():
        row, column = number[here], number[there]
        inner = (row >= 0) & (column >= 0)
        edge = (row >= 0) & (column < 0)
        rows += [row[inner], row[row >= 0]]
        columns += [column[inner], row[row >= 0]]
        entries += [-np.ones(np.count_nonzero(inner)), np.ones(np.count_nonzero(row >= 0))]
        np.add.at(right, row[edge], filled[there][edge])
    matrix = coo_array(
        (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))),
        shape=(right.size, right.size),
    )
    filled[~known] = spsolve(matrix.tocsc(), right)
    return filled


def _edges(length: int, box: int) -> NDArray[np.int64]:
    bins = max(1, round(length / box))
    return np.round(np.linspace(0, length, bins + 1)).astype(np.int64)


def _centers(edges: NDArray[np.int64]) -> Float64:
    return np.asarray(0.5 * (edges[1:] + edges[:-1] - 1), np.float64)


def _neighbours() -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Return pairs of windows: each bin of the first is beside that of the second."""
    all_, head, tail = slice(None), slice(None, -1), slice(1, None)
    pairs = [((all_, head), (all_, tail)), ((head, all_), (tail, all_))]
    return pairs + [(b, a) for a, b in pairs]


def _outliers(level: Float64, noise: float, limit_sigma: float) -> Bool:
    """Return the bins far from the median of those about them; NaN bins do not count."""
    # Less a smooth surface, so that the slope of the sky does not count where a window is
    # lopsided: at the edge and beside missing bins.
    rest = level - _surface(level)
    padded = np.pad(rest, 1, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(*level.shape, 9)
    present = np.isfinite(windows).any(axis=-1)
    center = np.full(level.shape, np.nan)
    center[present] = np.nanmedian(windows[present], axis=-1)
    deviation = rest - center
    scatter = 1.4826 * np.nanmedian(np.abs(deviation))
    # A fraction of the noise of a pixel, so that what is left of the slope is no outlier.
    scatter = max(scatter, _LEAST_SCATTER * noise)
    far: Bool = np.abs(np.nan_to_num(deviation)) > limit_sigma * scatter
    return far


def _surface(level: Float64) -> Float64:
    """Return a robust quadratic through the bins that are not NaN (a constant through few)."""
    y, x = (np.linspace(-1.0, 1.0, n) if n > 1 else np.zeros(1) for n in level.shape)
    u, v = (part.ravel() for part in np.meshgrid(x, y))
    terms = np.column_stack([np.ones(u.size), u, v, u * u, u * v, v * v])
    known = np.isfinite(level).ravel()
    if np.count_nonzero(known) < 2 * terms.shape[1]:
        return np.full(level.shape, np.nanmedian(level))
    values = np.where(known, level.ravel(), 0.0)
    weight = known.astype(np.float64)
    for _ in range(5):
        root = np.sqrt(weight)
        solution = np.linalg.lstsq(terms * root[:, None], values * root, rcond=None)[0]
        rest = np.abs(values - terms @ solution)
        scale = 3.0 * np.median(rest[known]) + 1e-9
        weight = known / np.maximum(1.0, (rest / scale) ** 2)
    return np.asarray((terms @ solution).reshape(level.shape), np.float64)


def source_mask(
    flat: Float32, variance: Float32, unusable: Bool, sigma_pix: float, config: SourceMaskConfig
) -> Bool:
    """Return the pixels of sources, those of negative ones too.

    Parameters
    ----------
    flat, variance
        Pixels with the sky taken off, and their variance, float32, shape (ny, nx).
    unusable
        Pixels that do not count.
    sigma_pix
        Width of the PSF's core.
    config
        Filters, thresholds and shares.
    """
    return _mask_sources(flat, variance, unusable, sigma_pix, config)[1]


def _mask_sources(
    flat: Float32, variance: Float32, unusable: Bool, sigma_pix: float, config: SourceMaskConfig
) -> tuple[_Depth, Bool]:
    """Return how deep an acceptable share of the pixels is masked, and that mask."""
    significance = smooth(flat, variance, unusable, sigma_pix)
    wide = [
        (factor, *_binned_significance(flat, variance, unusable, factor * sigma_pix))
        for factor in config.diffuse_scales
    ]
    depth = _Depth(config.mask_threshold, config.mask_grow_sigma * sigma_pix, diffuse=True)
    for _ in range(config.max_trials):
        masked = _masked_at(depth, significance, wide, sigma_pix)
        share = _share(masked, unusable)
        if share > config.max_masked_fraction:
            depth = _shallower(depth, config.crowded_grow_sigma * sigma_pix)
        elif share < config.min_masked_fraction and 2.0 < depth.threshold <= config.mask_threshold:
            depth = replace(depth, threshold=max(2.0, depth.threshold / 1.25))
        else:
            break
    return depth, masked


def _shallower(depth: _Depth, least_grow_pix: float) -> _Depth:
    """Return the next depth for a crowded field.

    First the wide filters go, then the discs shrink, and only then the threshold rises, because
    unmasked wings of sources shift the level less than unmasked sources.
    """
    if depth.diffuse:
        return replace(depth, diffuse=False)
    if depth.grow_pix > least_grow_pix:
        return replace(depth, grow_pix=max(least_grow_pix, 0.7 * depth.grow_pix))
    return replace(depth, threshold=1.25 * depth.threshold)


def _binned_significance(
    flat: Float32, variance: Float32, unusable: Bool, width_pix: float
) -> tuple[int, Float32]:
    """Return the side of bins and the significance in them of sources of a larger width."""
    step = max(1, int(width_pix / 2.0))
    signal, noise, empty = bin_sums(flat, variance, unusable, step)
    return step, smooth(signal, noise, empty, width_pix / step)


def _masked_at(
    depth: _Depth, significance: Float32, wide: list[tuple[float, int, Float32]], sigma_pix: float
) -> Bool:
    """Return the pixels that any of the filters masks."""
    masked = grown_mask(significance, depth.threshold, depth.grow_pix, both_signs=True)
    ny, nx = masked.shape
    for factor, step, binned in wide if depth.diffuse else ():
        grow_bins = factor * sigma_pix / step
        coarse = grown_mask(binned, depth.threshold, grow_bins, both_signs=True)
        masked |= coarse.repeat(step, axis=0)[:ny].repeat(step, axis=1)[:, :nx]
    return masked


def _noise(flat: Float32, excluded: Bool, config: BackgroundConfig) -> float:
    """Return the scatter of the pixels that are left (a sample of rows is enough)."""
    rows = slice(None, None, max(1, flat.shape[0] // 256))
    return clipped(flat[rows][~excluded[rows]], config.clip_sigma, MEAN)[1]


def _share(masked: Bool, unusable: Bool) -> float:
    """Return the share of the usable pixels that is masked."""
    usable = unusable.size - int(np.count_nonzero(unusable))
    return int(np.count_nonzero(masked & ~unusable)) / max(1, usable)
