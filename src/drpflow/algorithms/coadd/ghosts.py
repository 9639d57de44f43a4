"""Ghosts and glints: light of a visit that is wide and faint.

Means of squares of a few PSFs reach surface brightnesses that no pixel shows; how faint is set by
how even the backgrounds of the visits are, not by noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.coadd.epochs import keep_few
from drpflow.config.compare_warp_assemble_coadd import EpochConfig
from drpflow.kernels.coadd_artifacts import bin_clipped, box_counts, grow_from, spread_marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.coadd.differences import Difference
    from drpflow.config.compare_warp_assemble_coadd import GhostConfig
    from drpflow.data.geometry import Box

    Bool: TypeAlias = NDArray[np.bool_]
    Float32: TypeAlias = NDArray[np.float32]

# Of the 3 x 3 squares about one, so many at least are bright: a star's residual fills one or two.
_NEIGHBORS = 5
# A lack of light that all visits have in common is of a ghost in the mean of the others. It counts
# in noises of the visit's own pixels, which differ by this factor.
_COMMON_LACK = 2.0
_MAJORITY = EpochConfig(window_pix=1)


def ghost_bins(difference: Difference, box: Box, config: GhostConfig) -> Float32:
    """Return mean levels in squares, in noises of a direct pixel; NaN where there are no data."""
    step = config.bin_pix
    return bin_clipped(
        difference.level, difference.there, step, box.y0 % step, box.x0 % step, config.clip_sigma
    )


def find_ghosts(bins: Float32, config: GhostConfig) -> Bool:
    """Return the squares of wide light, of either sign."""
    marks = np.zeros(bins.shape, bool)
    for sign in (1, -1):
        signed = np.fmax(sign * bins, np.float32(0))
        crowd = box_counts(signed >= config.low_threshold, 1) >= _NEIGHBORS
        core = np.where(crowd, signed, np.minimum(signed, config.low_threshold))
        grow_from(core, config.threshold, config.low_threshold, 1, (0.0, 0), marks)
    return marks


def count_uneven(bins: Sequence[Float32], config: GhostConfig) -> NDArray[np.uint16]:
    """Return in how many visits squares differ.

    A place whose level wanders up and down with the visits has no ghosts but uneven backgrounds,
    so that visits with less light count as well as those with more. A ghost is in the mean of the
    others, though, and by so much they all lack light: what they have in common does not count.

    Parameters
    ----------
    bins
        Of each visit, shape (my, mx), noises of a direct pixel; NaN without data.
    config
        The section ``compareWarpAssembleCoadd.ghosts``.

    Returns
    -------
    counts : ndarray, shape (2, my, mx)
        For squares with more light, and for those with less: any lack may be all there is of the
        ghost of another visit, and counts.
    """
    levels, low = np.array(bins), np.float32(config.low_threshold)
    more = np.count_nonzero(levels >= low, axis=0)
    lack = np.fmin(_lower_medians(levels), np.float32(0))
    deep = np.count_nonzero(levels <= _COMMON_LACK * lack - low, axis=0)
    less = np.count_nonzero(levels <= -low, axis=0)
    return np.stack([more + deep, more + less]).astype(np.uint16)


def _lower_medians(levels: Float32) -> Float32:
    """Return the median over the first axis, of two the lower; NaN where there are no values."""
    ordered = np.sort(levels, axis=0)
    middle = np.maximum(np.count_nonzero(~np.isnan(levels), axis=0) - 1, 0) // 2
    medians: Float32 = np.take_along_axis(ordered, middle[None], axis=0)[0]
    return medians


def few_squares(
    marks: Bool, bins: Float32, counts: NDArray[np.uint16], limit: int, config: GhostConfig
) -> Bool:
    """Return the squares of wide light, and of its lack, that are of few visits.

    Parameters
    ----------
    marks, bins
        Of the visit: what :func:`find_ghosts` found in what :func:`ghost_bins` gave.
    counts
        Of all visits, by :func:`count_uneven`.
    limit
        The largest number that counts as few.
    config
        The section ``compareWarpAssembleCoadd.ghosts``.
    """
    limits, squares = np.full(marks.shape, limit, np.int32), np.zeros_like(marks)
    for sign, number in zip((1, -1), counts, strict=True):
        of_sign = marks & (sign * bins >= np.float32(config.low_threshold))
        squares |= keep_few(of_sign, number, limits, _MAJORITY)
    return squares


def ghost_pixels(marks: Bool, box: Box, config: GhostConfig) -> Bool:
    """Return the pixels of squares."""
    pixels = np.zeros(box.shape, bool)
    step = config.bin_pix
    spread_marks(marks, step, box.y0 % step, box.x0 % step, pixels)
    return pixels
