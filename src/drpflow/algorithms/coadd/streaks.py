"""Streaks: straight trails, found by the mean significance along lines.

The differences of a visit are binned to half the FWHM of the matched PSF, held within a few sigma,
and averaged along lines of many directions about each bin: short ones, and where these tell too
little, long ones. A trail stands out

- above the lines beside it, which a ghost or an uneven background does not;
- in three of four quarters of the line, which a row of spots does not;
- at places where other visits do not differ, which a spike of a bright star does not.

Where a visit is alone, its own light is looked at, for long lines without gaps.

A trail is then widened by its wings: parallel lines whose mean is small, but not noise. All of this
looks no further than one line from a pixel, so that two patches find the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.kernels.coadd_artifacts import bin_clipped, box_means, spread_marks
from drpflow.kernels.coadd_lines import find_lines, line_widths, paint_lines, persistent_shares

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.coadd.differences import Difference
    from drpflow.config.compare_warp_assemble_coadd import StreakConfig
    from drpflow.data.geometry import Box

    Bool: TypeAlias = NDArray[np.bool_]
    Float32: TypeAlias = NDArray[np.float32]
    Lines: TypeAlias = tuple[
        NDArray[np.int32], NDArray[np.int32], NDArray[np.int16], NDArray[np.int16]
    ]

# Lines are tried where the mean of 5 x 5 bins is above this share of a line's threshold.
_NEARBY_SHARE = 0.15
_NEARBY_REACH = 2
_DIRECT_CLIP_SIGMA = 3.0
# Where a visit is alone its sources are seen as well: bins are held within this, and a line has to
# have so much of it above those beside, and in its pieces. A row of sources leaves gaps, a wide one
# is bright beside.
_ALONE_CLIP_SIGMA, _ALONE_LEAST, _ALONE_PIECES = 1.5, 0.9, 1.2
# Held so low, lines beside the ridge are as bright, and sources widen it.
_ALONE_WINGS = 1
# A kernel of matching takes a strip of half its size at the edge of a detector, and a trail may run
# along it. With half a long line, as many bins of half a FWHM as decisions may look.
_CONTINUED_BINS = 14


@dataclass(frozen=True, eq=False)
class Streaks:
    """Lines of a visit.

    Parameters
    ----------
    lines
        Rows, columns and directions of the bins in the middle of lines, half the lengths of these.
    widths
        How far their wings reach on both sides, and how far they are continued where there are no
        matched pixels, bins, shape (n, 4).
    """

    lines: Lines
    widths: NDArray[np.int16]

    @classmethod
    def none(cls) -> Streaks:
        """Return no lines."""
        rows = np.zeros(0, np.int32)
        lines = rows, rows.copy(), np.zeros(0, np.int16), np.zeros(0, np.int16)
        return cls(lines, np.zeros((0, 4), np.int16))

    def select(self, which: Bool) -> Streaks:
        """Return some of the lines."""
        rows, columns, direction, half = self.lines
        lines = rows[which], columns[which], direction[which], half[which]
        return Streaks(lines, self.widths[which])

    def joined(self, other: Streaks) -> Streaks:
        """Return these lines and others."""
        (rows, columns, direction, half), more = self.lines, other.lines
        lines = (
            np.concatenate([rows, more[0]]),
            np.concatenate([columns, more[1]]),
            np.concatenate([direction, more[2]]),
            np.concatenate([half, more[3]]),
        )
        return Streaks(lines, np.concatenate([self.widths, other.widths]))


def bin_size(fwhm_pix: float) -> int:
    """Return the side of the bins, pixels."""
    return max(2, round(fwhm_pix / 2))


def line_reach_pix(fwhm_pix: float, config: StreakConfig) -> int:
    """Return how far from a pixel of a trail lies what it was found by."""
    along = config.bins_per_long_line // 2 + _CONTINUED_BINS
    across = config.wing_bins + config.beside_bins
    return int(np.ceil(bin_size(fwhm_pix) * np.hypot(along, across)))


def directions(number: int) -> NDArray[np.float64]:
    """Return unit vectors (dy, dx) over half a turn, shape (number, 2)."""
    angle = np.pi * np.arange(number) / number
    return np.column_stack([np.sin(angle), np.cos(angle)])


def find_streaks(
    difference: Difference, box: Box, fwhm_pix: float, config: StreakConfig
) -> Streaks:
    """Return the lines in the differences of a visit.

    Parameters
    ----------
    difference
        Of the visit.
    box
        The pixels, on the tract.
    fwhm_pix
        Of the matched PSF.
    config
        The section ``compareWarpAssembleCoadd.streaks``.
    """
    step = bin_size(fwhm_pix)
    grid = step, box.y0 % step, box.x0 % step
    bins = bin_clipped(difference.significance, difference.there, *grid, config.clip_sigma)
    # The matched PSF spreads a trail: how wide it is, the direct warp tells.
    as_it_is = bin_clipped(difference.sharp, difference.sharp_there, *grid, _DIRECT_CLIP_SIGMA)
    halves = config.bins_per_line // 2, config.bins_per_long_line // 2
    limits = config.threshold, config.long_threshold
    streaks = _lines(bins, as_it_is, halves, limits, config, config.piece_share)
    if difference.alone is None:
        return streaks
    own, sharp = difference.alone
    there = np.isfinite(own)
    alone = bin_clipped(own, there, *grid, _ALONE_CLIP_SIGMA)
    direct = bin_clipped(sharp, there, *grid, _DIRECT_CLIP_SIGMA)
    lonely = np.isfinite(alone)
    alone = np.where(lonely, alone, np.minimum(bins, np.float32(_ALONE_CLIP_SIGMA)))
    direct = np.where(lonely, direct, as_it_is)
    limits, share = (np.inf, _ALONE_LEAST), _ALONE_PIECES / _ALONE_LEAST
    more = _lines(alone, direct, halves, limits, config, share)
    more.widths[:, :2] = np.minimum(more.widths[:, :2], _ALONE_WINGS)
    return streaks.joined(more.select(lonely[more.lines[0], more.lines[1]]))


def _lines(
    bins: Float32,
    as_it_is: Float32,
    halves: tuple[int, int],
    limits: tuple[float, float],
    config: StreakConfig,
    piece_share: float,
) -> Streaks:
    """Return lines in bins of matched differences, as wide as they are in those of direct ones."""
    vectors, nearby = directions(2 * config.directions), box_means(bins, _NEARBY_REACH)
    levels = *limits, piece_share, _NEARBY_SHARE * limits[1]
    lines = find_lines(bins, nearby, vectors, halves, config.beside_bins, levels)
    reaches = config.wing_bins, _CONTINUED_BINS
    widths = line_widths(as_it_is, np.isnan(bins), lines, vectors, reaches, config.wing_threshold)
    # The halo of a bright trail in the matched warp is a line as well; the direct one has none.
    return Streaks(lines, widths).select(widths[:, 0] >= 0)


def drop_persistent(
    streaks: Streaks,
    counts: NDArray[np.uint16],
    limits: NDArray[np.int32],
    box: Box,
    fwhm_pix: float,
    config: StreakConfig,
) -> Streaks:
    """Return the lines that are not on the sky.

    Parameters
    ----------
    streaks
        Of the visit.
    counts, limits
        Number of visits that differ, and the largest that counts as few; shape ``box.shape``.
    box, fwhm_pix, config
        As in :func:`find_streaks`.
    """
    step = bin_size(fwhm_pix)
    grid = step, box.y0 % step, box.x0 % step
    vectors = directions(2 * config.directions)
    shares = persistent_shares(counts, limits, streaks.lines, vectors, grid)
    return streaks.select(shares <= config.max_persistent)


def streak_pixels(
    streaks: Streaks, box: Box, fwhm_pix: float, config: StreakConfig, wider: int = 0
) -> Bool:
    """Return the pixels of lines, with their wings, and some bins more on both sides."""
    widths = streaks.widths + np.array([wider, wider, 0, 0], np.int16)
    step = bin_size(fwhm_pix)
    row0, column0 = box.y0 % step, box.x0 % step
    marks = np.zeros(((row0 + box.height) // step + 1, (column0 + box.width) // step + 1), bool)
    paint_lines(streaks.lines, widths, directions(2 * config.directions), marks)
    pixels = np.zeros(box.shape, bool)
    spread_marks(marks, step, row0, column0, pixels)
    return pixels
