"""Ghosts and glints: light of a visit that is wide and faint.

Means of squares of a few PSFs reach surface brightnesses that no pixel shows; how faint is set by
how even the backgrounds of the visits are, not by noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.kernels.coadd_artifacts import bin_clipped, box_counts, grow_from, spread_marks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.coadd.differences import Difference
    from drpflow.config.compare_warp_assemble_coadd import GhostConfig
    from drpflow.data.geometry import Box

    Bool: TypeAlias = NDArray[np.bool_]
    Float32: TypeAlias = NDArray[np.float32]

# Of the 3 x 3 squares about one, so many at least are bright: a star's residual fills one or two.
_NEIGHBORS = 5


def ghost_bins(difference: Difference, box: Box, config: GhostConfig) -> Float32:
    """Return mean levels in squares, in noises of a direct pixel; 0 where there are no data."""
    step = config.bin_pix
    bins = bin_clipped(
        difference.level, difference.there, step, box.y0 % step, box.x0 % step, config.clip_sigma
    )
    return np.nan_to_num(bins, copy=False)


def find_ghosts(bins: Float32, config: GhostConfig) -> Bool:
    """Return the squares of wide light, of either sign."""
    marks = np.zeros(bins.shape, bool)
    for sign in (1, -1):
        signed = np.maximum(sign * bins, 0)
        crowd = box_counts(signed >= config.low_threshold, 1) >= _NEIGHBORS
        core = np.where(crowd, signed, np.minimum(signed, config.low_threshold))
        grow_from(core, config.threshold, config.low_threshold, 1, (0.0, 0), marks)
    return marks


def ghost_pixels(marks: Bool, box: Box, config: GhostConfig) -> Bool:
    """Return the pixels of squares."""
    pixels = np.zeros(box.shape, bool)
    step = config.bin_pix
    spread_marks(marks, step, box.y0 % step, box.x0 % step, pixels)
    return pixels
