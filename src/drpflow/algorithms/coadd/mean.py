"""The weighted mean of the direct warps, without what is not on the sky.

    I = Σ w I_v / Σ w,   V = Σ w² V_v / (Σ w)²,

with one weight a visit on the whole tract, so that the PSF of the coadd is the same sum of PSFs on
both sides of every edge of a patch. Where no visit has an acceptable pixel, the rejected ones stand
in, marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.geometry import Box
from drpflow.data.mask import BITS, Mask
from drpflow.data.warp_masks import WarpMask
from drpflow.kernels.coadd import add_warp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
    from drpflow.data.geometry import ValidPolygon
    from drpflow.data.warps import Warp

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]
    Int32: TypeAlias = NDArray[np.int32]

_CLIPPED, _REJECTED, _ENDS = 1, 2, 4
# Bytes a pixel of the sums, and of one visit beside them.
_BYTES = 110
# Planes of warps that say nothing about a coadd's pixel.
_DROPPED = ("DETECTED", "DETECTED_NEGATIVE", "NOT_DEBLENDED", "EDGE", "NO_DATA")


@dataclass(frozen=True, eq=False)
class Mean:
    """A coadd's pixels.

    Parameters
    ----------
    image, variance
        Float32, shape (ny, nx); NaN where there are no data.
    mask
        Its planes.
    count
        Number of visits in each pixel.
    used_pix
        By visit, number of its pixels that were used.
    noise
        By visit, mean of what it adds to Σ w² V.
    """

    image: Float32
    variance: Float32
    mask: Mask
    count: Int32
    used_pix: dict[int, int]
    noise: dict[int, float]


class _Sums:
    """Sums over visits of one part of a coadd."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.used = np.zeros((3, *shape))
        self.spare = np.zeros((3, *shape))
        self.saturated = np.zeros(shape)
        self.count = np.zeros(shape, np.int32)
        self.planes = np.zeros((2, *shape), np.int32)
        self.marks = np.zeros(shape, np.uint8)


def weighted_mean(
    warps: Sequence[Warp],
    artifacts: Mapping[int, WarpMask],
    box: Box,
    polygons: Sequence[ValidPolygon],
    config: CompareWarpAssembleCoaddConfig,
) -> Mean:
    """Return the weighted mean of direct warps.

    Parameters
    ----------
    warps
        The visits; their boxes hold `box`.
    artifacts
        By visit, what is left out, on the tract.
    box
        The pixels of the coadd.
    polygons
        Outlines on the tract of all inputs of the coadd's PSF.
    config
        The section ``compareWarpAssembleCoadd``.
    """
    image = np.full(box.shape, np.nan, np.float32)
    variance, count = image.copy(), np.zeros(box.shape, np.int32)
    mask = Mask.zeros(box.shape)
    used, noise = {w.visit: 0 for w in warps}, {w.visit: 0.0 for w in warps}
    rows = max(16, config.memory_mb * 1_000_000 // (_BYTES * max(1, box.width)))
    for strip in _strips(box, rows):
        sums = _Sums(strip.shape)
        for warp in warps:
            before = int(sums.count.sum()), float(sums.used[2].sum())
            _add(sums, warp, artifacts.get(warp.visit, WarpMask.empty()), strip, config)
            used[warp.visit] += int(sums.count.sum()) - before[0]
            noise[warp.visit] += float(sums.used[2].sum()) - before[1]
        window = strip.slices(box.xy0)
        covered = np.zeros(strip.shape, np.int32)
        for polygon in polygons:
            _cover(covered, polygon, strip)
        image[window], variance[window] = _quotients(sums)
        count[window] = sums.count
        mask.array[window] = _planes(sums, covered, config.saturated_fraction)
    mean_noise = {v: noise[v] / n for v, n in used.items() if n}
    return Mean(image, variance, mask, count, used, mean_noise)


def _strips(box: Box, rows: int) -> Iterator[Box]:
    for y0 in range(box.y0, box.y1, rows):
        yield Box(box.x0, box.x1, y0, min(y0 + rows, box.y1))


def _add(
    sums: _Sums, warp: Warp, artifacts: WarpMask, strip: Box, config: CompareWarpAssembleCoaddConfig
) -> None:
    """Add a visit to the sums of a strip."""
    image, variance, mask = _with_rim(warp, strip)
    bits = tuple(
        int(mask.bit(names)) for names in ("NO_DATA", config.rejected_planes, "SAT", "EDGE")
    )
    add_warp(
        image,
        variance,
        mask.array,
        artifacts.paint(strip),
        warp.weight,
        bits,
        tuple(sums.used),
        tuple(sums.spare),
        sums.saturated,
        sums.count,
        (sums.planes[0], sums.planes[1], sums.marks),
    )


def _with_rim(warp: Warp, strip: Box) -> tuple[Float32, Float32, Mask]:
    """Return a strip of a visit with a pixel more on all sides; what the warp lacks is repeated."""
    wanted = strip.grow(1)
    part = wanted.intersect(warp.direct.box)
    exposure = warp.direct.cutout(part)
    image, variance, mask = exposure.image, exposure.variance, exposure.mask
    if part != wanted:
        rim = (
            (part.y0 - wanted.y0, wanted.y1 - part.y1),
            (part.x0 - wanted.x0, wanted.x1 - part.x1),
        )
        image, variance = np.pad(image, rim, "edge"), np.pad(variance, rim, "edge")
        mask = Mask(np.pad(mask.array, rim, "edge"), mask.planes)
    return image, variance, in_own_bits(mask)


def in_own_bits(mask: Mask) -> Mask:
    """Return a mask whose planes have drpflow's own bits; planes that drpflow does not know end."""
    if mask.planes == dict(BITS):
        return mask
    own = Mask.zeros(mask.shape)
    for name in mask.planes:
        if name in BITS:
            own.set(name, mask.any(name))
    return own


def _cover(covered: Int32, polygon: ValidPolygon, strip: Box) -> None:
    """Count an outline at the pixels within it."""
    low, high = polygon.vertices.min(axis=0), polygon.vertices.max(axis=0)
    x0, y0 = np.floor(low).astype(int)
    x1, y1 = np.ceil(high).astype(int) + 1
    part = Box(x0, x1, y0, y1).intersect(strip)
    if not part.is_empty:
        covered[part.slices(strip.xy0)] += polygon.rasterize(part)


def _quotients(sums: _Sums) -> tuple[Floats, Floats]:
    """Return image and variance."""
    instead = sums.used[1] == 0
    signal, total, variances = (
        np.where(instead, s, u) for s, u in zip(sums.spare, sums.used, strict=True)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return signal / total, variances / total**2


def _planes(sums: _Sums, covered: Int32, saturated_fraction: float) -> Int32:
    """Return the mask of a strip."""
    own = Mask(np.where(sums.count > 0, sums.planes[0], sums.planes[1]).astype(np.int32))
    own.array &= ~own.bit(_DROPPED)
    weight = sums.used[1] + sums.spare[1]
    own.set("SAT", sums.saturated > saturated_fraction * np.maximum(weight, 1e-300))
    own.set("NO_DATA", weight == 0)
    own.set("CLIPPED", (sums.marks & _CLIPPED) != 0)
    own.set("REJECTED", (sums.marks & _REJECTED) != 0)
    own.set("SENSOR_EDGE", (sums.marks & _ENDS) != 0)
    own.set("INEXACT_PSF", (sums.marks != 0) | (covered != sums.count))
    return own.array
