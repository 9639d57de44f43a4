"""Connected artifacts, each with its class and its signal-to-noise ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.coadd.differences import NARROWER
from drpflow.data.footprints import span_pixels
from drpflow.data.warp_masks import ON_PATCH, WarpMask
from drpflow.kernels.detection import connect_spans, find_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.geometry import Box

    Bool: TypeAlias = NDArray[np.bool_]
    Float32: TypeAlias = NDArray[np.float32]
    Floats: TypeAlias = NDArray[np.float64]

# An artifact is a streak, a ghost, if at least this share of its pixels is of one.
_STREAK_SHARE, _GHOST_SHARE = 0.3, 0.5
USUAL_SHARPNESS = 4.0
"""Central pixel of a PSF over that of the matched one, where nothing is known."""
# A point of light covers no more than this many pixels.
_LARGEST_POINT_PIX = 2500


def classify(
    where: Bool,
    streak: Bool,
    ghost: Bool,
    level: Float32,
    sharp: Float32,
    sharpness: float,
    box: Box,
) -> WarpMask:
    """Return the artifacts of a visit.

    Parameters
    ----------
    where
        Their pixels, shape ``box.shape``.
    streak, ghost
        Pixels of trails, and of wide light.
    level, sharp
        Differences of the matched and of the direct warps, in noises of a direct pixel.
    sharpness
        Central pixel of the PSF of the direct warp over that of the matched one.
    box
        The pixels, on the tract.

    Notes
    -----
    The signal-to-noise ratio is |Σ d| / (σ √n) over the n pixels of an artifact, of the matched or
    of the direct differences, whichever is larger; σ is the noise of a direct pixel.
    """
    rows, starts, ends = find_spans(where)
    group, n = connect_spans(rows, starts, ends)
    if not n:
        return WarpMask.empty()
    at = span_pixels(rows, starts, ends)
    owner = np.repeat(group, ends - starts)
    area = np.bincount(owner, minlength=n)
    shares = [np.bincount(owner, part[at], n) / area for part in (streak, ghost)]
    sums = [np.bincount(owner, part[at], n) for part in (level, sharp)]
    peaks = [_greatest(owner, part[at], n) for part in (level, sharp)]
    snr = np.maximum(np.abs(sums[0]), np.abs(sums[1])) / np.sqrt(area)
    narrow = peaks[1] > NARROWER * sharpness * peaks[0]
    kinds = _kinds(shares, narrow, np.where(narrow, sums[1], sums[0]), area)
    order = np.argsort(group, kind="stable")
    return WarpMask(
        kinds,
        snr.astype(np.float32),
        np.full(rows.size, ON_PATCH, np.int32),
        group[order].astype(np.int32),
        rows[order] + np.int32(box.y0),
        starts[order] + np.int32(box.x0),
        ends[order] + np.int32(box.x0),
    )


def _greatest(owner: NDArray[np.int64], values: Float32, n: int) -> Floats:
    """Return the greatest |value| of each group."""
    peak = np.zeros(n)
    np.maximum.at(peak, owner, np.abs(values))
    return peak


def _kinds(
    shares: list[Floats], narrow: Bool, total: Floats, area: NDArray[np.int64]
) -> tuple[str, ...]:
    """Return the class of each artifact."""
    kinds = np.full(area.size, "other", dtype="U10")
    kinds[(total > 0) & (area <= _LARGEST_POINT_PIX)] = "transient"
    kinds[narrow & (total > 0)] = "cosmic_ray"
    kinds[shares[1] >= _GHOST_SHARE] = "ghost"
    kinds[shares[0] >= _STREAK_SHARE] = "streak"
    return tuple(str(k) for k in kinds)
