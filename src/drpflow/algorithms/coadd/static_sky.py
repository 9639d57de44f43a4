"""The static sky: what the visits of a patch have in common.

For each pixel the weighted mean of the values that are near the median over the visits. The
noise of each visit is measured on cells from its differences from the others, since the variance
plane of a resampled and convolved image does not know how its input pixels were correlated.

Everything here looks at a pixel over the visits, or at the cell of a pixel: what is found for a
pixel does not depend on the patch that it is looked at from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.coadd.warps import cell_box, read_pixels, tiles
from drpflow.kernels.coadd import VOID, box_maxima, cell_scales, clipped_means, medians

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.coadd.warps import WarpPixels
    from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
    from drpflow.data.exposure import Exposure
    from drpflow.data.geometry import Box
    from drpflow.data.warps import Warp

    Float32: TypeAlias = NDArray[np.float32]

# Bytes a pixel of a visit: image, variance, mask as read, and once more in the stack.
_BYTES_IN_STACK = 22
# Of a median over that of a mean, for many Gaussian values.
_MEDIAN_NOISE = 1.2533
_ABOVE_NOISE = 3.0


@dataclass(frozen=True, eq=False)
class StaticSky:
    """What the visits have in common.

    Parameters
    ----------
    box
        The pixels, on the tract.
    mean, total, noise
        Of the PSF-matched warps: Σ w I / Σ w, Σ w, Σ w² σ² of the values that were kept; shape
        ``box.shape``. NaN, 0, 0 where there is nothing.
    start
        Where the mean began: the median of the matched warps.
    good, count
        Number of visits that have a good value, and that have any.
    amplitude
        The brightest ``|mean|`` near by.
    direct, direct_noise, direct_amplitude
        The median of the direct warps, its noise, and the brightest above noise near by.
    scales
        By visit: by what its noise exceeds the square root of its variance, by cells.
    """

    box: Box
    mean: Float32
    total: Float32
    noise: Float32
    start: Float32
    good: NDArray[np.uint16]
    count: NDArray[np.uint16]
    amplitude: Float32
    direct: Float32
    direct_noise: Float32
    direct_amplitude: Float32
    scales: dict[int, Float32]

    def signal_floor(self, threshold: float) -> Float32:
        """Return the mean that is `threshold` times its own noise, shape ``box.shape``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.float32(threshold) * np.sqrt(self.noise) / self.total


def find_static_sky(
    warps: Sequence[Warp], box: Box, config: CompareWarpAssembleCoaddConfig
) -> StaticSky:
    """Return the static sky of a box, which every warp covers.

    Warps are read by parts that together take ``memory_mb``.
    """
    sky, cells = _empty(warps, box, config.static_sky.cell_pix)
    matched = [w for w in warps if w.matched is not None]
    per_pixel = _BYTES_IN_STACK * max(1, len(warps))
    pixels = config.memory_mb * 1_000_000 // per_pixel
    for part in tiles(box, config.static_sky.cell_pix, pixels):
        if matched:
            _fill_matched(sky, cells, matched, part, config)
        _fill_direct(sky, [w.direct for w in warps], part, config)
    candidates = config.candidates
    box_maxima(sky.mean, candidates.amplitude_reach_pix, sky.amplitude)
    # What is noise is no star in whose light the visits may differ.
    stars = np.where(np.abs(sky.direct) > _ABOVE_NOISE * sky.direct_noise, sky.direct, 0)
    box_maxima(stars, candidates.direct_reach_pix, sky.direct_amplitude)
    return sky


def _empty(warps: Sequence[Warp], box: Box, cell: int) -> tuple[StaticSky, Box]:
    cells = cell_box(box, cell)

    def plane(value: float = 0.0) -> Float32:
        return np.full(box.shape, value, np.float32)

    sky = StaticSky(
        box,
        mean=plane(np.nan),
        total=plane(),
        noise=plane(),
        start=plane(np.nan),
        good=np.zeros(box.shape, np.uint16),
        count=np.zeros(box.shape, np.uint16),
        amplitude=plane(),
        direct=plane(np.nan),
        direct_noise=plane(np.inf),
        direct_amplitude=plane(),
        scales={w.visit: np.zeros(cells.shape, np.float32) for w in warps if w.matched is not None},
    )
    return sky, cells


def _stack(
    exposures: Sequence[Exposure], part: Box, doubtful: Sequence[str]
) -> tuple[Float32, Float32, NDArray[np.uint8]]:
    """Return values, variances and states of all visits, each of shape (N, ny, nx)."""
    shape = len(exposures), *part.shape
    values, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
    state = np.empty(shape, np.uint8)
    for k, exposure in enumerate(exposures):
        pixels: WarpPixels = read_pixels(exposure, part, doubtful)
        values[k], variance[k], state[k] = pixels.image, pixels.variance, pixels.state
    return values, variance, state


def _fill_matched(
    sky: StaticSky,
    cells: Box,
    warps: Sequence[Warp],
    part: Box,
    config: CompareWarpAssembleCoaddConfig,
) -> None:
    rules = config.static_sky
    exposures = [w.matched for w in warps if w.matched is not None]
    values, variance, state = _stack(exposures, part, rules.doubtful_planes)
    window, cell = part.slices(sky.box.xy0), rules.cell_pix
    here = cell_box(part, cell)
    start, good = sky.start[window], sky.good[window]
    sky.count[window] = np.count_nonzero(state, axis=0)
    medians(values, state, start, good)
    weights = np.array([w.weight for w in warps])
    limits = (rules.clip_sigma, rules.tolerance, cell, part.y0 % cell, part.x0 % cell)
    sums = sky.mean[window], sky.total[window], sky.noise[window]
    scales = np.ones((len(warps), *here.shape), np.float32)
    # The first mean is clipped with the noise of the variance plane, which may be too small: it
    # is then nearer to the median, and serves.
    for _ in range(2):
        clipped_means(values, variance, state, good, start, scales, weights, limits, *sums)
        better = np.empty_like(scales)
        cell_scales(values, variance, state, good, start, scales, weights, limits, sums,
                    rules.sample_step_pix, better)  # fmt: skip
        scales = better
    if len(warps) > 1:
        clipped_means(values, variance, state, good, start, scales, weights, limits, *sums)
    for warp, found in zip(warps, scales, strict=True):
        sky.scales[warp.visit][here.slices(cells.xy0)] = found


def _fill_direct(
    sky: StaticSky,
    exposures: Sequence[Exposure],
    part: Box,
    config: CompareWarpAssembleCoaddConfig,
) -> None:
    values, variance, state = _stack(exposures, part, config.static_sky.doubtful_planes)
    good, window = np.empty(part.shape, np.uint16), part.slices(sky.box.xy0)
    medians(values, state, sky.direct[window], good)
    with np.errstate(divide="ignore"):
        np.divide(1, variance, out=variance)
        variance[state == VOID] = 0
        sky.direct_noise[window] = _MEDIAN_NOISE / np.sqrt(variance.sum(axis=0))
