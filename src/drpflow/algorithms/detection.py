"""Detection of sources: matched filter, threshold, footprints, peaks.

The image is correlated with a round Gaussian of the width of the PSF, which is within 1 % of the
best filter for point sources of real profiles, and divided by the noise of that sum: the
*significance*, the signal-to-noise ratio of a point source at each pixel. The noise is that of
the surroundings of a pixel, not of its own photons; see :mod:`drpflow.algorithms.detection_noise`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.detection_noise import PeakNoise, steady_variance
from drpflow.algorithms.significance import compact_significance, gaussian_taps, smooth
from drpflow.data.footprints import Footprints, span_pixels
from drpflow.kernels.detection import (
    connect_spans,
    find_spans,
    local_maxima,
    paint_spans,
    prominences,
    ring_medians,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.detection import AdaptiveDetectionConfig

    Float32: TypeAlias = NDArray[np.float32]
    Bool: TypeAlias = NDArray[np.bool_]
    Spans: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]

# Ring about a peak, outside of pixels this near to detected ones, that tells of light on which it
# stands; how much of it has to be free, and the least light that noise does not explain, in sigma.
_RING_SIGMA = (5.0, 12.0)
_NEAR_SIGMA = 2.4
_LEAST_SHARE = 0.1
_LEAST_HALO = 0.3


@dataclass(frozen=True)
class Trial:
    """A threshold and what was found with it."""

    threshold: float
    n_footprints: int
    n_peaks: int
    n_isolated: int
    most_peaks: int


@dataclass(frozen=True, eq=False)
class Detection:
    """Sources of an image.

    Parameters
    ----------
    footprints
        Pixels and peaks of the sources.
    significance
        Signal-to-noise ratio of a point source at each pixel, float32, shape (ny, nx); with the
        noise of the surroundings from :func:`detect`. That of peaks holds a source's own photons.
    threshold
        Significance of the faintest pixel before footprints were grown.
    history
        Thresholds tried, in order; one entry for a fixed threshold.
    """

    footprints: Footprints
    significance: Float32
    threshold: float
    history: tuple[Trial, ...]


@dataclass(frozen=True)
class PeakRules:
    """What a detected source must be; see :class:`drpflow.config.detection.DetectionConfig`."""

    peak_threshold: float = 0.0
    grow_pix: float = 0.0
    min_area_pix: int = 1
    min_prominence: float = 3.5
    relative_prominence: float = 0.1
    pass_ratio: float = 1.0


def detect(
    image: Float32,
    variance: Float32,
    bad: Bool,
    sigma_pix: float,
    threshold: float,
    *,
    peak_threshold: float | None = None,
    grow_pix: float = 0.0,
    min_area: int = 1,
    min_prominence: float = 3.5,
    relative_prominence: float = 0.1,
    pass_ratio: float = 0.8,
) -> Detection:
    """Find sources above a threshold.

    The noise is that of the surroundings: the variance plane holds the photons that a pixel
    happened to receive, and with it upward fluctuations, faint sources among them, would count
    for less than they are.

    Parameters
    ----------
    image, variance, bad, sigma_pix
        As in :func:`drpflow.algorithms.significance.smooth`.
    threshold
        Least significance of the pixels of a source.
    peak_threshold
        Least significance of its highest peak; the threshold if not given.
    grow_pix
        Radius of the disc by which footprints grow. Those that then touch become one.
    min_area
        Least number of pixels above the threshold.
    min_prominence, relative_prominence
        A peak rises above the pass to a higher one by the first plus the second times the
        significance of the pass.
    pass_ratio
        Passes count down to this fraction of the threshold.
    """
    rules = PeakRules(
        peak_threshold or threshold,
        grow_pix,
        min_area,
        min_prominence,
        relative_prominence,
        pass_ratio,
    )
    unusable = bad | ~np.isfinite(image) | ~(variance > 0)
    steady = steady_variance(variance, unusable, sigma_pix)
    significance = smooth(image, steady, unusable, sigma_pix)
    compact = compact_significance(image, steady, unusable, sigma_pix, significance)
    noise = PeakNoise(variance, steady, unusable, gaussian_taps(sigma_pix))
    footprints = find_footprints(significance, threshold, rules, compact, sigma_pix, noise)
    return Detection(footprints, significance, threshold, (_trial(footprints, threshold),))


def detect_adaptive(
    image: Float32,
    variance: Float32,
    bad: Bool,
    sigma_pix: float,
    config: AdaptiveDetectionConfig,
) -> Detection:
    """Find bright sources with a threshold that suits the field.

    The threshold rises while sources are too many or too few of them stand alone, and falls
    while there are too few; between a threshold that was too low and one that was too high it is
    halved (in the logarithm). If no threshold passes, that with most isolated sources within the
    limits on peaks is taken, or else the highest tried.

    Parameters
    ----------
    image, variance, bad, sigma_pix
        As in :func:`drpflow.algorithms.significance.smooth`.
    config
        Limits.
    """
    significance = smooth(image, variance, bad, sigma_pix)
    low, high = 0.0, np.inf
    threshold = config.threshold
    trials: list[tuple[Trial, Footprints]] = []
    for _ in range(config.max_trials):
        rules = PeakRules(
            threshold * config.peak_ratio,
            config.grow_sigma * sigma_pix,
            config.min_area_pix,
            config.min_prominence,
            config.relative_prominence,
        )
        found = find_footprints(significance, threshold, rules)
        trial = _trial(found, threshold)
        trials.append((trial, found))
        verdict = _verdict(trial, config)
        if verdict == 0 or (verdict < 0 and threshold <= config.min_threshold):
            break
        if verdict > 0:
            low = threshold
            jump = max(threshold * config.step, _threshold_for(found, config.max_peaks))
            threshold = jump if np.isinf(high) else np.sqrt(low * high)
        else:
            high = threshold
            threshold = np.sqrt(low * high) if low else threshold / config.step
        threshold = max(threshold, config.min_threshold)
        if high / max(low, 1e-9) < 1.0 + 0.1 * (config.step - 1.0):
            break
    trial, found = _choose(trials, config)
    return Detection(found, significance, trial.threshold, tuple(t for t, _ in trials))


def find_footprints(
    significance: Float32,
    threshold: float,
    rules: PeakRules,
    compact: Float32 | None = None,
    sigma_pix: float = 0.0,
    noise: PeakNoise | None = None,
) -> Footprints:
    """Return the footprints of pixels at or above a threshold.

    Parameters
    ----------
    significance
        What :func:`drpflow.algorithms.significance.smooth` gave.
    threshold
        Least significance of a pixel, and least compact significance of a peak found by that.
    rules
        Which groups of pixels and which peaks are kept.
    compact
        What :func:`drpflow.algorithms.significance.compact_significance` gave, to find more peaks.
    sigma_pix
        Width of the PSF; such a peak is further than this from all others.
    noise
        Says by what the noise at a peak exceeds that of `significance`. Prominences and heights
        of peaks are then those in units of the noise at the peak.
    """
    above = significance >= np.float32(threshold)
    spans, row, column = _spans_and_peaks(significance, above, rules, noise)
    if rules.pass_ratio < 1.0:
        row, column = _peaks_above_passes(significance, threshold, spans, rules, noise)
    if compact is not None:
        # The footprints of before: what compact light there is has to lie in one.
        above = _painted(spans, 0.0, above.shape)
        above &= compact >= np.float32(threshold)
        anything = replace(rules, peak_threshold=0.0, min_area_pix=1)
        _, y, x = _spans_and_peaks(compact, above, anything, noise)
        clear = compact[y, x] - rules.relative_prominence * significance[y, x]
        high = _in_noise_of_peak(clear, y, x, noise) >= threshold
        row, column = _join(row, column, y[high], x[high], sigma_pix)
    mask = _painted(spans, rules.grow_pix, above.shape)
    if noise is not None:
        near = _painted(spans, max(rules.grow_pix, _NEAR_SIGMA * sigma_pix), above.shape)
        alone = _height_alone(significance, near | noise.bad, row, column, sigma_pix)
        row, column = row[alone >= threshold], column[alone >= threshold]
    height = _in_noise_of_peak(significance[row, column], row, column, noise)
    place = _vertex(significance, row, column)
    found = _footprints(mask, (row, column), *place, height)
    return found.select(np.flatnonzero(found.n_peaks()))


def _height_alone(
    significance: Float32,
    blocked: Bool,
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    sigma_pix: float,
) -> Float32:
    """Return the significance of peaks less that of the light on which they stand.

    Halos of bright stars and diffuse galaxies lift noise above the threshold. As the filter is
    linear, they add to a peak what the significance is in a ring about it, where no source is
    detected: its median, known to 0.23 sigma. Less than 0.3 is not taken off, lest noise cost
    depth, nor is anything where the field is too crowded for a ring.
    """
    inner, outer = (radius * sigma_pix for radius in _RING_SIGMA)
    halo = ring_medians(significance, blocked, row, column, inner, outer, _LEAST_SHARE)
    halo[halo < _LEAST_HALO] = 0.0
    return np.asarray(significance[row, column] - halo, np.float32)


def grown_mask(
    significance: Float32, threshold: float, grow_pix: float, *, both_signs: bool
) -> Bool:
    """Return the pixels within a disc about those at or above a threshold.

    With `both_signs`, those at or below minus the threshold count as well: noise is then masked
    evenly on both sides, and the mean of what is left stays that of the sky.
    """
    size = np.abs(significance) if both_signs else significance
    mask = np.zeros(significance.shape, bool)
    paint_spans(*find_spans(size >= np.float32(threshold)), _disc(grow_pix), mask)
    return mask


def _disc(radius_pix: float) -> NDArray[np.int64]:
    """Return the half width of a disc in each of its rows."""
    reach = int(radius_pix)
    offset = np.arange(-reach, reach + 1)
    return np.sqrt(radius_pix**2 - offset**2).astype(np.int64)


def _groups(where: Bool) -> tuple[Spans, NDArray[np.int64], int]:
    """Return the runs of pixels that are set, the connected group of each, and their number."""
    spans = find_spans(where)
    group, count = connect_spans(*spans)
    return spans, group, count


def _peaks_above_passes(
    significance: Float32,
    threshold: float,
    spans: Spans,
    rules: PeakRules,
    noise: PeakNoise | None,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return rows and columns of peaks in runs that rise above passes below the threshold too.

    In the wings of a bright star noise makes islands above the threshold. The wings join them to
    the star further down, and then they are no peaks.
    """
    wide = significance >= np.float32(rules.pass_ratio * threshold)
    _, row, column = _spans_and_peaks(significance, wide, replace(rules, min_area_pix=1), noise)
    inside = _painted(spans, 0.0, wide.shape)[row, column]
    return row[inside], column[inside]


def _in_noise_of_peak(
    values: Float32, row: NDArray[np.int32], column: NDArray[np.int32], noise: PeakNoise | None
) -> Float32:
    """Return values at pixels in units of the noise there, photons of the source included."""
    return values if noise is None else values / noise.ratio(row, column)


def _spans_and_peaks(
    values: Float32, where: Bool, rules: PeakRules, noise: PeakNoise | None = None
) -> tuple[Spans, NDArray[np.int32], NDArray[np.int32]]:
    """Return the runs of the groups of pixels that are kept, and rows and columns of peaks."""
    (rows, starts, ends), group, n_groups = _groups(where)
    column, row, span = local_maxima(values, rows, starts, ends)
    owner, height = group[span], values[row, column]
    highest = np.zeros(n_groups, np.float32)
    np.maximum.at(highest, owner, height)
    area = np.bincount(group, ends - starts, n_groups)
    keep = (highest >= rules.peak_threshold) & (area >= rules.min_area_pix)
    kept = keep[group]
    blended = kept & (np.bincount(owner, minlength=n_groups) > 1)[group]
    in_blend = blended[span]
    rise = np.full(row.size, np.inf, np.float32)
    if in_blend.any():
        pixels = span_pixels(rows[blended], starts[blended], ends[blended])
        rise[in_blend] = _prominence(values, pixels, row[in_blend], column[in_blend])
    # rise = peak - pass, so the pass is known from both.
    saddle = np.where(np.isfinite(rise), height - rise, 0.0)
    clear = (rise - rules.relative_prominence * saddle).astype(np.float32)
    rise = _in_noise_of_peak(clear, row, column, noise)
    real = keep[owner] & (rise >= rules.min_prominence)
    return (rows[kept], starts[kept], ends[kept]), row[real], column[real]


def _join(
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    more_row: NDArray[np.int32],
    more_column: NDArray[np.int32],
    radius_pix: float,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return peaks and those further ones that are not within a radius of one of them."""
    from scipy.spatial import cKDTree

    if row.size and more_row.size:
        tree = cKDTree(np.column_stack([column, row]))
        distance, _ = tree.query(np.column_stack([more_column, more_row]))
        far = distance > max(1.5, radius_pix)
        more_row, more_column = more_row[far], more_column[far]
    return np.concatenate([row, more_row]), np.concatenate([column, more_column])


def _painted(spans: Spans, radius_pix: float, shape: tuple[int, ...]) -> Bool:
    """Return the pixels within a radius of those of runs."""
    mask = np.zeros(shape, bool)
    paint_spans(*spans, _disc(radius_pix), mask)
    return mask


def _prominence(
    values: Float32,
    pixels: tuple[NDArray[np.int32], NDArray[np.int32]],
    row: NDArray[np.int32],
    column: NDArray[np.int32],
) -> Float32:
    y, x = pixels
    # Equal pixels follow each other in falling raster order, as local_maxima ranks them.
    order = np.argsort(values[y, x], kind="stable")[::-1]
    slot = np.full(values.shape, -1, np.int32)
    return prominences(values, y[order], x[order], row, column, slot)


def _vertex(
    values: Float32, row: NDArray[np.int32], column: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the places of maxima from the parabolas through three pixels along each axis."""
    padded = [
        [values[np.clip(row + dy, 0, values.shape[0] - 1), column] for dy in (-1, 0, 1)],
        [values[row, np.clip(column + dx, 0, values.shape[1] - 1)] for dx in (-1, 0, 1)],
    ]
    offsets = []
    for before, here, after in padded:
        curvature = 2.0 * here.astype(np.float64) - before - after
        slope = 0.5 * (after.astype(np.float64) - before)
        usable = curvature > 0
        offset = np.divide(slope, curvature, out=np.zeros(row.size), where=usable)
        # Short of half a pixel, so that a peak stays in its pixel and on the image.
        offsets.append(np.clip(offset, -0.49, 0.49))
    return column + offsets[1], row + offsets[0]


def _footprints(
    mask: Bool,
    pixel: tuple[NDArray[np.int32], NDArray[np.int32]],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    height: Float32,
) -> Footprints:
    """Return the connected pixels of a mask with the peaks in them, peaks brightest first."""
    (rows, starts, ends), group, count = _groups(mask)
    order = np.argsort(group, kind="stable")
    first_span = np.searchsorted(group[order], np.arange(count + 1))
    # Runs are in raster order, so that of a pixel is the last that starts no later.
    width = mask.shape[1]
    key = rows.astype(np.int64) * width + starts
    run = np.searchsorted(key, pixel[0].astype(np.int64) * width + pixel[1], side="right") - 1
    owner = group[run]
    ranked = np.lexsort((-height, owner))
    first_peak = np.searchsorted(owner[ranked], np.arange(count + 1))
    return Footprints(
        rows[order],
        starts[order],
        ends[order],
        first_span,
        x[ranked],
        y[ranked],
        height[ranked],
        first_peak,
    )


def _trial(footprints: Footprints, threshold: float) -> Trial:
    peaks = footprints.n_peaks()
    isolated = int(np.count_nonzero(peaks == 1))
    most = int(peaks.max(initial=0))
    return Trial(float(threshold), len(footprints), int(peaks.sum()), isolated, most)


def _verdict(trial: Trial, config: AdaptiveDetectionConfig) -> int:
    """Return 1 where the threshold is too low, -1 where it is too high, 0 where it suits."""
    if trial.n_peaks > config.max_peaks or trial.most_peaks > config.max_peaks_in_footprint:
        return 1
    if trial.n_footprints < config.min_footprints:
        # One footprint that holds many peaks is a crowd, not an empty field.
        return 1 if trial.most_peaks >= config.min_footprints else -1
    enough = trial.n_isolated >= config.enough_isolated
    return 0 if enough or trial.n_isolated >= config.isolated_fraction * trial.n_footprints else 1


def _threshold_for(found: Footprints, max_peaks: int) -> float:
    """Return the threshold above which at most so many of these peaks lie."""
    if found.peak_significance.size <= max_peaks:
        return 0.0
    return float(np.sort(found.peak_significance)[-max_peaks])


def _choose(
    trials: list[tuple[Trial, Footprints]], config: AdaptiveDetectionConfig
) -> tuple[Trial, Footprints]:
    """Return the last trial if it suits, or else the best of all."""
    if _verdict(trials[-1][0], config) == 0:
        return trials[-1]
    within = [
        item
        for item in trials
        if item[0].n_peaks <= config.max_peaks
        and item[0].most_peaks <= config.max_peaks_in_footprint
    ]
    if within:
        return max(within, key=lambda item: item[0].n_isolated)
    return max(trials, key=lambda item: item[0].threshold)
