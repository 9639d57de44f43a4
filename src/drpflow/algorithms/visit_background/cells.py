"""The cells of detectors on the focal plane, and which of them hold more than sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.sky_wcs import detector_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.config.model_visit_background import CellMaskConfig
    from drpflow.data.camera import Camera, Detector
    from drpflow.data.sky_samples import SkySamples

    Float64: TypeAlias = NDArray[np.float64]
    Bool: TypeAlias = NDArray[np.bool_]
    Bools: TypeAlias = dict[int, Bool]


@dataclass(frozen=True, eq=False)
class DetectorCells:
    """Cells of one detector, arrays of shape (my, mx).

    Parameters
    ----------
    level
        Mean of the sky pixels, electrons, 0 where there is none.
    weight
        Inverse variance of it by photon noise, 0 for a cell that does not count.
    x, y
        Mean place of these pixels, pixels.
    x_mm, y_mm
        The same on the focal plane.
    cell_pix
        Side of the cells.
    noise
        Standard deviation of a pixel, electrons.
    """

    level: Float64
    weight: Float64
    x: Float64
    y: Float64
    x_mm: Float64
    y_mm: Float64
    cell_pix: int
    noise: float

    @property
    def centers(self) -> tuple[Float64, Float64]:
        """Columns and rows of the middles of the cells, pixels, shapes (mx,) and (my,)."""
        my, mx = self.level.shape
        half = 0.5 * (self.cell_pix - 1)
        x, y = (np.arange(n, dtype=np.float64) * self.cell_pix + half for n in (mx, my))
        return x, y

    @property
    def usable(self) -> Bool:
        """Cells that count."""
        return np.asarray(self.weight > 0)


_DEEPEST = 1.5
"""A lack of light this many times the threshold is no noise, nor is there anything in the sky that
takes light away: it is the model that is wrong there, and the cells must put it right."""


_ACROSS_PIX = 100.0
"""Masks that grow less than this, less than the gaps between detectors, stay on their own."""

_BLOCK, _THINNING = 4, 3
"""Growth onto other detectors is worked out for blocks of so many cells, from every third hit."""


def place_cells(
    samples: Mapping[int, SkySamples], camera: Camera, min_fraction: float
) -> dict[int, DetectorCells]:
    """Return the cells of a visit's detectors, in the order of their ids.

    Parameters
    ----------
    samples
        What measureSky found, by detector.
    camera
        Where the detectors lie.
    min_fraction
        A cell with a smaller share of sky pixels does not count.
    """
    found = {}
    for key in sorted(samples):
        s = samples[key]
        x, y = s.x.astype(np.float64), s.y.astype(np.float64)
        x_mm, y_mm = detector_map(detector_of(camera, key, s)).forward(x, y)
        enough = s.count >= min_fraction * s.cell_pix**2
        weight = np.where(enough, s.count / s.noise**2, 0.0)
        level = np.where(enough, s.level, 0.0).astype(np.float64)
        found[key] = DetectorCells(level, weight, x, y, x_mm, y_mm, s.cell_pix, s.noise)
    return found


def detector_of(camera: Camera, key: int, samples: SkySamples) -> Detector:
    """Return a detector, cut to the size of what was measured where that is smaller."""
    detector = camera.detector(key)
    ny, nx = samples.shape_pix
    return detector if detector.size_pix == (nx, ny) else detector.cut_to(nx, ny)


def clip_cells(pulls: Mapping[int, Float64], usable: Mapping[int, Bool], sigma: float) -> Bools:
    """Return the cells whose pulls lie within limits.

    The width is that of the half below the median, which sources do not widen; the limits are
    the same on both sides.

    Parameters
    ----------
    pulls
        Residuals over their standard deviations by detector, shape (my, mx).
    usable
        Cells that count.
    sigma
        Half width of the limits.
    """
    pooled = np.concatenate([pulls[k][usable[k]] for k in pulls])
    low, middle = np.quantile(pooled, [0.1587, 0.5])
    limit = sigma * max(float(middle - low), 1e-9)
    return {k: usable[k] & (np.abs(pulls[k] - middle) <= limit) for k in pulls}


def wide_masks(
    pulls: Mapping[int, Float64],
    used: Mapping[int, Bool],
    cells: Mapping[int, DetectorCells],
    floor: float,
    config: CellMaskConfig,
) -> Bools:
    """Return the cells in which something wider than a cell stands out, or is lacking.

    Pulls are summed with Gaussian weights of several widths. A sum counts in units of the
    scatter of all such sums below their median, so that light of undetected sources, which is
    correlated from cell to cell, is not taken for a signal; and what the empty sky is uneven by
    counts as noise, or else whole detectors would come and go from round to round. A lack of
    light is masked as far as noise makes one, so that noise is cut evenly.

    Parameters
    ----------
    pulls
        Residuals over their standard deviations by detector, shape (my, mx), 0 where there is
        no measurement.
    used
        Cells whose pulls count.
    cells
        The cells.
    floor
        Unevenness of the empty sky, electrons.
    config
        Widths and thresholds.
    """
    masks = {k: np.zeros(c.level.shape, bool) for k, c in cells.items()}
    for scale_pix in config.scales_pix:
        sums = {k: _filtered(pulls[k], used[k], scale_pix / c.cell_pix) for k, c in cells.items()}
        pooled = np.concatenate([sums[k][used[k]] for k in sums])
        low, middle = np.quantile(pooled, [0.1587, 0.5])
        width, hits = max(float(middle - low), 1.0), {}
        for key, total in sums.items():
            uneven = floor * _gain(cells[key], used[key], scale_pix)
            limit = config.threshold * float(np.hypot(width, uneven))
            hit = np.abs(total - middle) >= limit
            hits[key] = hit & used[key] & (total - middle > -_DEEPEST * limit)
        if any(h.any() for h in hits.values()):
            _grow(masks, hits, cells, config.grow * scale_pix)
    return masks


def _gain(cells: DetectorCells, used: Bool, scale_pix: float) -> float:
    """Return how many standard deviations of a sum an electron in all its cells makes."""
    if not used.any():
        return 0.0
    width = scale_pix / cells.cell_pix
    return float(np.sqrt(np.median(cells.weight[used])) * np.sqrt(4 * np.pi) * width)


def _filtered(pulls: Float64, there: Bool, width: float) -> Float64:
    """Return sums of pulls with Gaussian weights over their standard deviations."""
    from scipy.ndimage import gaussian_filter

    total = gaussian_filter(np.where(there, pulls, 0.0), width, mode="constant")
    # The filter's square is a Gaussian narrower by √2, of 1/(4πw²) the sum.
    share = gaussian_filter(there.astype(np.float64), width / np.sqrt(2), mode="constant")
    noise = np.sqrt(np.maximum(share, 1e-3) / (4 * np.pi)) / width
    return np.asarray(total / noise)


def _grow(masks: Bools, hits: Bools, cells: Mapping[int, DetectorCells], reach_pix: float) -> None:
    """Add the cells within a distance of hits, on neighbouring detectors too."""
    from scipy.ndimage import distance_transform_edt
    from scipy.spatial import cKDTree

    for key, c in cells.items():
        if hits[key].any():
            masks[key] |= distance_transform_edt(~hits[key]) <= reach_pix / c.cell_pix
    if len(cells) == 1 or reach_pix < _ACROSS_PIX:
        return
    near = np.concatenate([_places(c, hits[k]) for k, c in cells.items()])
    tree = cKDTree(near[::_THINNING])
    for key, c in cells.items():
        pitch_mm = float(np.hypot(np.ptp(c.x_mm), np.ptp(c.y_mm))) / np.hypot(*np.shape(c.x_mm))
        reach_mm = reach_pix * pitch_mm / c.cell_pix
        blocks = (slice(_BLOCK // 2, None, _BLOCK),) * 2
        distance, _ = tree.query(
            np.column_stack([c.x_mm[blocks].ravel(), c.y_mm[blocks].ravel()]),
            distance_upper_bound=reach_mm,
        )
        close = np.isfinite(distance).reshape(c.x_mm[blocks].shape)
        ny, nx = masks[key].shape
        spread = close.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
        spread = np.pad(spread, ((0, _BLOCK), (0, _BLOCK)), mode="edge")[:ny, :nx]
        masks[key] |= spread


def _places(cells: DetectorCells, chosen: Bool) -> Float64:
    """Return where on the focal plane cells are, mm, shape (n, 2)."""
    return np.column_stack([cells.x_mm[chosen], cells.y_mm[chosen]])
