"""Artifacts of all visits of a patch: light that is not on the sky.

The warps are gone through visit by visit, so that memory does not depend on their number: first
what differs is found in each and counted over all, then the counts decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.coadd.artifact_classes import USUAL_SHARPNESS, classify
from drpflow.algorithms.coadd.differences import difference_of, find_candidates
from drpflow.algorithms.coadd.epochs import epoch_limit, epoch_limits, keep_few
from drpflow.algorithms.coadd.ghosts import (
    count_uneven,
    few_squares,
    find_ghosts,
    ghost_bins,
    ghost_pixels,
)
from drpflow.algorithms.coadd.streaks import (
    Streaks,
    drop_persistent,
    find_streaks,
    line_reach_pix,
    streak_pixels,
)
from drpflow.data.footprints import span_pixels
from drpflow.kernels.coadd_artifacts import differing, static_peaks
from drpflow.kernels.detection import find_spans, paint_spans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.coadd.differences import Difference
    from drpflow.algorithms.coadd.static_sky import StaticSky
    from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
    from drpflow.data.geometry import Box
    from drpflow.data.warp_masks import WarpMask
    from drpflow.data.warps import Warp

    Bool: TypeAlias = NDArray[np.bool_]
    Float32: TypeAlias = NDArray[np.float32]
    Spans: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]

_PEAK_REACH_PIX = 3
_PROMISE_SIGMA, _PROMISE_SHARE = 5.0, 0.8
# Of the threshold of sources: the pixel of a direct warp holds less of a source than that of a
# matched one, and blends are resolved in it.
_DIRECT_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Suspects:
    """What differs in a visit, before visits are counted; small.

    Parameters
    ----------
    candidates, narrowest, variable
        Runs of pixels, of those that no count of visits makes a source, and of sources that vary.
    streaks
        Lines.
    ghosts
        Squares of wide light.
    bins
        Mean levels in all squares, in noises of a direct pixel; NaN where there are no data.
    level, sharp
        Differences, matched and direct, in noises of a direct pixel, at the pixels of any of these.
    spans
        Runs of those pixels.
    """

    candidates: Spans
    narrowest: Spans
    variable: Spans
    streaks: Streaks
    ghosts: Bool
    bins: Float32
    spans: Spans
    level: Float32
    sharp: Float32


@dataclass(frozen=True, eq=False)
class Counts:
    """In how many visits pixels and squares differ, and how many count as few.

    Parameters
    ----------
    pixels
        Number of visits that differ, shape (ny, nx).
    in_lines
        Number of visits that differ where they have a line.
    variable
        Where a source varies in some visit.
    squares
        Number of visits in which a square differs, as squares with more light count it and as
        those with less do (:func:`~drpflow.algorithms.coadd.ghosts.count_uneven`), shape
        (2, my, mx).
    limits, square_limit
        The largest numbers that count as few.
    """

    pixels: NDArray[np.uint16]
    in_lines: NDArray[np.uint16]
    variable: Bool
    squares: NDArray[np.uint16]
    limits: NDArray[np.int32]
    square_limit: int

    def beside_lines(self) -> NDArray[np.uint16]:
        """Return the number of visits that differ by anything but trails.

        Where lines are many they are on the sky, such as spikes of a star, and count.
        """
        trails = np.where(self.in_lines <= self.limits, self.in_lines, 0)
        return self.pixels - np.minimum(trails, self.pixels).astype(np.uint16)


@dataclass(frozen=True, eq=False)
class FoundArtifacts:
    """What :func:`find_artifacts` found.

    Parameters
    ----------
    masks
        Artifacts by visit, on the tract.
    persistent_pix
        By visit, candidate pixels that are kept, since too many visits differ there.
    """

    masks: dict[int, WarpMask]
    persistent_pix: dict[int, int]


def find_artifacts(
    warps: Sequence[Warp],
    sky: StaticSky,
    fwhm_pix: float,
    sharpness: Mapping[int, float],
    config: CompareWarpAssembleCoaddConfig,
) -> FoundArtifacts:
    """Return the artifacts of all visits.

    Parameters
    ----------
    warps
        The visits.
    sky
        What they have in common.
    fwhm_pix
        Of the matched PSF, the same on the whole tract.
    sharpness
        By visit, the central pixel of the PSF of the direct warp over that of the matched one.
    config
        The section ``compareWarpAssembleCoadd``.
    """
    peaks = _sources(sky, config.candidates.source_threshold)
    suspects, counts = {}, _no_counts(sky, len(warps), config)
    known = [s for s in sharpness.values() if np.isfinite(s)]
    usual = float(np.median(known)) if known else USUAL_SHARPNESS
    sky = replace(sky, direct_amplitude=_expected_amplitude(sky, usual))
    for warp in warps:
        own = sharpness.get(warp.visit, usual)
        difference = difference_of(warp, sky, own / usual, config)
        found = _suspects(difference, peaks, sky.box, fwhm_pix, own, config)
        suspects[warp.visit] = found
        _count(counts, difference, found, sky.box, fwhm_pix, config)
    few = counts.beside_lines()
    counts.squares[:] = count_uneven([s.bins for s in suspects.values()], config.ghosts)
    masks, kept = {}, {}
    for warp in warps:
        ratio = sharpness.get(warp.visit, usual)
        masks[warp.visit], kept[warp.visit] = _decide(
            suspects.pop(warp.visit), counts, few, sky.box, fwhm_pix, ratio, config
        )
    return FoundArtifacts(masks, kept)


def farthest_look_pix(fwhm_pix: float, config: CompareWarpAssembleCoaddConfig) -> int:
    """Return how far from a pixel lies what may decide about it.

    The noise of a visit comes from a cell, a trail from lines, and a candidate is judged by its
    neighbours, which lines may have been taken from.
    """
    lines = line_reach_pix(fwhm_pix, config.streaks) if config.streaks.enabled else 0
    grown = max(config.grow_pix, config.streaks.grow_pix)
    beside = config.epochs.window_pix + config.candidates.grow_pix + grown
    return config.static_sky.cell_pix + lines + beside


def _expected_amplitude(sky: StaticSky, sharpness: float) -> Float32:
    """Return the brightest of the direct sky near by, no less than the matched one promises.

    Of a source that shines in half of the visits the median is that of the poorest seeing.
    """
    expected = sky.amplitude - sky.signal_floor(_PROMISE_SIGMA)
    expected *= np.float32(_PROMISE_SHARE * sharpness)
    return np.fmax(sky.direct_amplitude, expected)


def _sources(sky: StaticSky, threshold: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return rows and columns of the sources of the static sky, matched and direct."""
    floor = sky.signal_floor(threshold)
    rows, columns = static_peaks(sky.mean, floor, _PEAK_REACH_PIX)
    with np.errstate(divide="ignore"):
        direct_floor = np.float32(_DIRECT_SHARE * threshold) / np.sqrt(sky.total)
    more_rows, more_columns = static_peaks(
        sky.direct, direct_floor.astype(np.float32), _PEAK_REACH_PIX
    )
    return np.concatenate([rows, more_rows]), np.concatenate([columns, more_columns])


def _no_counts(sky: StaticSky, n: int, config: CompareWarpAssembleCoaddConfig) -> Counts:
    step = config.ghosts.bin_pix
    box = sky.box
    squares = (
        (box.y0 % step + box.height - 1) // step + 1,
        (box.x0 % step + box.width - 1) // step + 1,
    )
    return Counts(
        np.zeros(box.shape, np.uint16),
        np.zeros(box.shape, np.uint16),
        np.zeros(box.shape, bool),
        np.zeros((2, *squares), np.uint16),
        epoch_limits(np.maximum(sky.count, 1), config.epochs),
        epoch_limit(n, config.epochs),
    )


def _count(
    counts: Counts,
    difference: Difference,
    found: Suspects,
    box: Box,
    fwhm_pix: float,
    config: CompareWarpAssembleCoaddConfig,
) -> None:
    """Add a visit to the counts."""
    candidates = config.candidates
    here = differing(
        difference.significance,
        difference.direct,
        candidates.low_threshold,
        candidates.direct_threshold,
    )
    counts.pixels[:] += here
    paint_spans(*found.variable, _ALONE, counts.variable)
    # The matched PSF spreads a trail further than it is masked.
    here &= streak_pixels(found.streaks, box, fwhm_pix, config.streaks, wider=_SPREAD_BINS)
    counts.in_lines[:] += here


def _suspects(
    difference: Difference,
    peaks: tuple[NDArray[np.int32], NDArray[np.int32]],
    box: Box,
    fwhm_pix: float,
    sharpness: float,
    config: CompareWarpAssembleCoaddConfig,
) -> Suspects:
    """Return what differs in a visit."""
    candidates = find_candidates(difference, peaks, fwhm_pix, sharpness, config.candidates)
    difference.there[candidates.variable] = False
    suspect = candidates.where.copy()
    streaks = Streaks.none()
    if config.streaks.enabled:
        streaks = find_streaks(difference, box, fwhm_pix, config.streaks)
        suspect |= streak_pixels(streaks, box, fwhm_pix, config.streaks)
        # A bright trail fills squares like a ghost does, and is wider in the matched warp.
        lines = streak_pixels(streaks, box, fwhm_pix, config.streaks, wider=_SPREAD_BINS)
        difference.there[lines] = False
    bins = ghost_bins(difference, box, config.ghosts)
    marks = find_ghosts(bins, config.ghosts) & config.ghosts.enabled
    suspect |= ghost_pixels(marks, box, config.ghosts)
    spans = find_spans(suspect)
    at = span_pixels(*spans)
    varies = candidates.variable | candidates.blended
    return Suspects(
        find_spans(candidates.where),
        find_spans(candidates.narrowest),
        find_spans(varies),
        streaks,
        marks,
        bins,
        spans,
        difference.level[at],
        difference.sharp[at],
    )


def _decide(
    found: Suspects,
    counts: Counts,
    beside_lines: NDArray[np.uint16],
    box: Box,
    fwhm_pix: float,
    sharpness: float,
    config: CompareWarpAssembleCoaddConfig,
) -> tuple[WarpMask, int]:
    """Return the artifacts of a visit, and how many candidate pixels are none."""
    candidates, narrow = (np.zeros(box.shape, bool) for _ in range(2))
    paint_spans(*found.candidates, _ALONE, candidates)
    paint_spans(*found.narrowest, _ALONE, narrow)
    # The best seeing of a source that is fainter in another visit is narrow beside their median.
    narrow &= ~(counts.variable & (beside_lines > counts.limits))
    level, sharp = (np.zeros(box.shape, np.float32) for _ in range(2))
    at = span_pixels(*found.spans)
    level[at], sharp[at] = found.level, found.sharp
    few = keep_few(candidates, beside_lines, counts.limits, config.epochs, level**2 + sharp**2)
    persistent = int(np.count_nonzero(candidates & ~few & ~narrow))
    streaks = drop_persistent(
        found.streaks, counts.pixels, counts.limits, box, fwhm_pix, config.streaks
    )
    streak = streak_pixels(streaks, box, fwhm_pix, config.streaks)
    squares = few_squares(
        found.ghosts, found.bins, counts.squares, counts.square_limit, config.ghosts
    )
    ghost = ghost_pixels(squares, box, config.ghosts)
    grown = np.zeros(box.shape, bool)
    paint_spans(*find_spans(streak), disc(config.streaks.grow_pix), grown)
    paint_spans(*find_spans(few | ghost | narrow), disc(config.grow_pix), grown)
    return classify(grown, streak, ghost, level, sharp, sharpness, box), persistent


_ALONE = np.zeros(1, np.int64)
_SPREAD_BINS = 2


def disc(radius_pix: int) -> NDArray[np.int64]:
    """Return the half width of a disc in each of its rows."""
    offset = np.arange(-radius_pix, radius_pix + 1)
    return np.sqrt(radius_pix**2 - offset**2).astype(np.int64)
