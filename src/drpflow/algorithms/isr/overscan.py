"""The bias level of each row and column, from the overscan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from drpflow.algorithms.isr.linearity import natural_cubic
from drpflow.errors import AlgorithmError
from drpflow.kernels import overscan as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float64 = NDArray[np.float64]

SerialMethod = Literal["adaptive", "row", "spline", "constant", "none"]
ParallelMethod = Literal["none", "column", "constant"]

# Median absolute deviation to standard deviation of a Gaussian.
_MAD_TO_SIGMA = 1.4826
# var(step)/var(white) tried by the adaptive smoother: from a constant to no smoothing.
_RATIOS = 10.0 ** np.arange(-8.0, 3.01, 0.5)
# A row that stands out of the smooth level by this many sigma is a jump, and is followed.
_JUMP_SIGMA = 5.0


@dataclass(frozen=True, eq=False)
class OverscanLevel:
    """Level of an amplifier's rows (serial) or columns (parallel).

    Parameters
    ----------
    level
        adu, one a row or column.
    noise_adu
        Noise of an overscan pixel: read noise with digitisation; NaN if unknown.
    uncertainty_adu
        Typical standard error of `level`.
    contaminated
        Rows or columns with charge in the overscan, whose level is their neighbours'.
    """

    level: Float64
    noise_adu: float
    uncertainty_adu: float
    contaminated: NDArray[np.bool_]


def serial_level(
    pixels: NDArray[np.float32],
    *,
    method: SerialMethod = "adaptive",
    statistic: Literal["mean", "median"] = "mean",
    skip_leading: int = 4,
    skip_trailing: int = 1,
    clip_sigma: float = 4.0,
    spline_bin: int = 32,
    trail_sigma: float = 6.0,
) -> OverscanLevel:
    """Find the bias level of each row.

    ``adaptive`` takes the row levels as a random walk seen through white scatter. The part of
    the scatter that the noise of n pixels explains is averaged out, the rest (a bias that
    jumps from row to row) is kept: ``level = walk + w/(w + σ²/n) · (row - walk)``, with walk
    and white variance ``w + σ²/n`` of largest likelihood. A bias that stands still is averaged
    over many rows, one that does not is followed.

    Parameters
    ----------
    pixels
        Serial overscan in the order of readout, shape (rows, columns), adu; NaN allowed.
    method, statistic, skip_leading, skip_trailing, clip_sigma, spline_bin, trail_sigma
        See :class:`drpflow.config.isr.SerialOverscanConfig`.

    Raises
    ------
    ValueError
        If fewer than two columns are left.
    AlgorithmError
        If no row has a level.
    """
    used = pixels[:, skip_leading : pixels.shape[1] - skip_trailing]
    if used.shape[1] < 2:
        raise ValueError(
            f"{pixels.shape[1]} overscan columns less {skip_leading} leading and {skip_trailing} "
            "trailing ones leave fewer than 2"
        )
    used = _without_pattern(np.ascontiguousarray(used))
    medians, rows, counts, noise = _row_levels(used, clip_sigma)
    if statistic == "median":
        rows = medians
    known = np.isfinite(rows)
    # Strong trails leave few pixels near the median.
    few = counts < 0.5 * np.isfinite(used).sum(axis=1)
    trailed = known & (few | _is_trailed(used, noise, trail_sigma))
    known &= ~trailed
    if not known.any():
        raise AlgorithmError("no row of the serial overscan has a level", {"rows": len(rows)})
    # The median of a Gaussian sample scatters by √(π/2) more than its mean.
    variance = noise**2 / np.median(counts[known]) * (np.pi / 2 if statistic == "median" else 1.0)
    level, uncertainty = _smooth(rows, known, variance, method, spline_bin)
    return OverscanLevel(level, noise, uncertainty, trailed)


def _without_pattern(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take the fixed pattern of the columns off, but for its mean.

    The bias frame holds that pattern; here it would count as noise, and as trailed charge.
    """
    medians, deviations = np.empty(len(pixels)), np.empty(len(pixels))
    kernels.row_medians(pixels, medians, deviations)
    known = np.isfinite(medians)
    if not known.any():
        return pixels
    # Pulled in to 4 σ, so that cosmic rays and noise bursts make no pattern.
    limit = 4 * max(_MAD_TO_SIGMA * float(np.median(deviations[known])), 0.5)
    off = np.clip(pixels[known] - medians[known, None], -limit, limit)
    pattern = np.nanmean(off, axis=0)
    return pixels - (pattern - pattern.mean()).astype(np.float32)


def _row_levels(
    pixels: NDArray[np.float32], clip_sigma: float
) -> tuple[Float64, Float64, NDArray[np.int64], float]:
    """Return medians, clipped means and counts of the rows, and the noise of a pixel."""
    n = len(pixels)
    medians, deviations, means = np.empty(n), np.empty(n), np.empty(n)
    counts = np.empty(n, np.int64)
    kernels.row_medians(pixels, medians, deviations)
    finite = deviations[np.isfinite(deviations)]
    noise = _MAD_TO_SIGMA * float(np.median(finite)) if finite.size else 0.0
    # Values are whole numbers: the width of clipping must not fall below the digitisation.
    limit = clip_sigma * max(noise, 0.5)
    variance = kernels.clipped_row_means(pixels, medians, limit, means, counts)
    return medians, means, counts, float(np.sqrt(variance))


def _is_trailed(pixels: NDArray[np.float32], noise: float, sigma: float) -> NDArray[np.bool_]:
    """Find rows whose first columns lie above their last ones: charge trails into them."""
    half = pixels.shape[1] // 2
    first, last, deviations = (np.empty(len(pixels)) for _ in range(3))
    kernels.row_medians(np.ascontiguousarray(pixels[:, :half]), first, deviations)
    kernels.row_medians(np.ascontiguousarray(pixels[:, half:]), last, deviations)
    error = noise * np.sqrt(np.pi / 2 * (1.0 / half + 1.0 / (pixels.shape[1] - half)))
    return first - last > sigma * error


def _smooth(
    rows: Float64, known: NDArray[np.bool_], variance: float, method: SerialMethod, spline_bin: int
) -> tuple[Float64, float]:
    """Return the level of all rows by the method wanted, and its typical error."""
    if method == "constant":
        level = np.full(len(rows), np.mean(rows[known]))
        return level, float(np.sqrt(variance / known.sum()))
    if method == "row":
        index = np.arange(len(rows))
        return np.interp(index, index[known], rows[known]), float(np.sqrt(variance))
    if method == "spline":
        return _spline(rows, known, spline_bin), float(np.sqrt(variance / spline_bin))
    return _adaptive(rows, known, variance)


def _spline(rows: Float64, known: NDArray[np.bool_], spline_bin: int) -> Float64:
    """Draw a natural cubic spline through the means of bins of rows."""
    index = np.flatnonzero(known)
    parts = np.array_split(index, max(len(index) // spline_bin, 1))
    at = np.array([part.mean() for part in parts])
    level = np.array([rows[part].mean() for part in parts])
    y = np.arange(len(rows))
    if len(at) < 3:
        return np.interp(y, at, level)
    return natural_cubic(at, level)(y)


def _adaptive(rows: Float64, known: NDArray[np.bool_], variance: float) -> tuple[Float64, float]:
    """Smooth row levels as much as their own scatter says they may be."""
    fits = [kernels.local_level_likelihood(rows, known, ratio) for ratio in _RATIOS]
    best = int(np.argmax([likelihood for _, likelihood in fits]))
    white = fits[best][0]
    walk = np.empty(len(rows))
    kernels.smooth_local_level(rows, known, _RATIOS[best], walk)
    # Noise of the pixels is part of the white scatter, so white < variance is chance.
    real = max(white - variance, 0.0)
    share = real / (real + variance) if real + variance > 0 else 0.0
    off = np.where(known, rows - walk, 0.0)
    jump = np.abs(off) > _JUMP_SIGMA * np.sqrt(real + variance)
    level = walk + np.where(jump, 1.0, share) * off
    # Rows that a walk of this ratio averages over: 2/√ratio (steady state of the smoother).
    averaged = max(2.0 / np.sqrt(_RATIOS[best]), 1.0)
    error = variance * (share + (1.0 - share) / min(averaged, known.sum()))
    return level, float(np.sqrt(error))


def parallel_level(
    pixels: NDArray[np.float32],
    *,
    method: ParallelMethod = "column",
    skip_leading: int = 2,
    bleed_sigma: float = 6.0,
) -> OverscanLevel:
    """Find the level of each column in the parallel overscan.

    Columns that bled hold charge there. They exceed the median of the columns around, and
    their level is interpolated from the columns beside them.

    Parameters
    ----------
    pixels
        Parallel overscan in the order of readout, serial level taken off, shape
        (rows, columns), adu.
    method, skip_leading, bleed_sigma
        See :class:`drpflow.config.isr.ParallelOverscanConfig`.

    Raises
    ------
    ValueError
        If no rows are left.
    """
    used = pixels[skip_leading:]
    if len(used) == 0:
        raise ValueError(f"{len(pixels)} overscan rows less {skip_leading} leading ones leave none")
    medians, deviations = np.empty(pixels.shape[1]), np.empty(pixels.shape[1])
    kernels.row_medians(np.ascontiguousarray(used.T), medians, deviations)
    center = float(np.nanmedian(medians))
    noise = _MAD_TO_SIGMA * float(np.nanmedian(deviations))
    scatter = _MAD_TO_SIGMA * float(np.nanmedian(np.abs(medians - center)))
    error = noise * np.sqrt(np.pi / 2 / len(used))
    bled = ~(medians - center <= bleed_sigma * max(scatter, error))
    # Charge of a bleed also reaches the columns next to it.
    bled[1:] |= bled[:-1].copy()
    bled[:-1] |= bled[1:].copy()
    index = np.arange(len(medians))
    level = np.full(len(medians), center)
    if method == "column" and not bled.all():
        level = np.interp(index, index[~bled], medians[~bled])
    return OverscanLevel(level, noise, float(error), bled)
