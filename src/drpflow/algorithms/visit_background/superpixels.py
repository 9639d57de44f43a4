"""The other way to a sky: robust means of large squares of the focal plane, interpolated.

After the LSST pipeline's SkyCorrection (Aihara et al. 2019, PASJ 71, 114, section 4.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.background import fill_bins
from drpflow.algorithms.visit_background.layers import mesh_layer, nodes, on_focal_plane
from drpflow.data.background import Background
from drpflow.data.spline import interpolation_matrix
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.cells import DetectorCells
    from drpflow.algorithms.visit_background.frame import DetectorFrame
    from drpflow.config.model_visit_background import ModelVisitBackgroundConfig
    from drpflow.data.camera import Detector

    Float64: TypeAlias = NDArray[np.float64]


def superpixel_backgrounds(
    cells: Mapping[int, DetectorCells],
    frames: Mapping[int, DetectorFrame],
    detectors: Mapping[int, Detector],
    config: ModelVisitBackgroundConfig,
) -> dict[int, Background]:
    """Return the background of each detector, a layer ``superpixels``.

    Parameters
    ----------
    cells
        By detector.
    frames
        Sky frames: the squares have means of cells over its shape, 1 where there is none.
    detectors
        Geometry.
    config
        Squares and nodes.

    Raises
    ------
    AlgorithmError
        If no square has cells enough.
    """
    ratios = {}
    for key, c in cells.items():
        shape = frames[key].shape(*c.centers) if key in frames else np.ones(c.level.shape)
        ratios[key] = c.level / shape
    there = {k: c.usable for k, c in cells.items()}
    x, y, value, weight = (
        np.concatenate([part[k][there[k]] for k in cells])
        for part in (
            {k: c.x_mm for k, c in cells.items()},
            {k: c.y_mm for k, c in cells.items()},
            ratios,
            {k: c.weight for k, c in cells.items()},
        )
    )
    knots_x, knots_y, level = _squares(x, y, value, weight, config)

    def sky(x_mm: Float64, y_mm: Float64) -> Float64:
        wx = interpolation_matrix(knots_x, x_mm.ravel(), "spline")
        wy = interpolation_matrix(knots_y, y_mm.ravel(), "spline")
        return np.einsum("nj,ji,ni->n", wy, level, wx, optimize=True).reshape(x_mm.shape)

    found = {}
    for key in cells:
        nx, ny = detectors[key].size_pix
        columns, rows = nodes(nx, config.node_pix), nodes(ny, config.node_pix)
        values = on_focal_plane(detectors[key], columns, rows, sky)
        if key in frames:
            values = values * frames[key].shape(columns, rows)
        found[key] = Background((("superpixels", mesh_layer(values, columns, rows)),))
    return found


def _squares(
    x: Float64, y: Float64, value: Float64, weight: Float64, config: ModelVisitBackgroundConfig
) -> tuple[Float64, Float64, Float64]:
    """Return middles of columns and rows of squares, and their levels."""
    side = config.superpixels.side_mm
    axes = []
    for place in (x, y):
        low, high = float(place.min()), float(place.max())
        number = max(1, round((high - low) / side))
        axes.append(np.linspace(low, high, number + 1))
    column, row = (
        np.clip(np.searchsorted(edges, place, side="right") - 1, 0, edges.size - 2)
        for edges, place in zip(axes, (x, y), strict=True)
    )
    shape = axes[1].size - 1, axes[0].size - 1
    square = row * shape[1] + column
    counts = np.bincount(square, minlength=shape[0] * shape[1])
    level = np.zeros(counts.size)
    for k in np.flatnonzero(counts):
        level[k] = _clipped_mean(value[square == k], weight[square == k], config)
    known = counts >= config.superpixels.min_fraction * counts.max()
    if not known.any():
        raise AlgorithmError("no square of the focal plane has sky", {"cells": int(value.size)})
    filled = fill_bins(level.reshape(shape), known.reshape(shape))
    return 0.5 * (axes[0][1:] + axes[0][:-1]), 0.5 * (axes[1][1:] + axes[1][:-1]), filled


def _clipped_mean(value: Float64, weight: Float64, config: ModelVisitBackgroundConfig) -> float:
    """Return the weighted mean within symmetrical limits, their width from the lower half."""
    keep = np.ones(value.size, bool)
    for _ in range(3):
        low, middle = np.quantile(value[keep], [0.1587, 0.5])
        keep = np.abs(value - middle) <= config.superpixels.clip_sigma * max(middle - low, 1e-9)
    return float(np.average(value[keep], weights=weight[keep]))
