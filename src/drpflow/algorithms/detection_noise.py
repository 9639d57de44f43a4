"""The noise that sources are detected against, without the photons of the pixel itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.kernels.detection import bin_means, local_medians, spread_bins, variance_ratios

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32: TypeAlias = NDArray[np.float32]
    Bool: TypeAlias = NDArray[np.bool_]

_BIN_SIGMA = 4.0
_LEAST_BIN_PIX = 8
_REACH_BINS = 2
"""Medians over 5 × 5 bins: a star that is not saturated fills a minority of them."""


def steady_variance(variance: Float32, bad: Bool, sigma_pix: float) -> Float32:
    """Return the variance of the surroundings of each pixel.

    A variance estimated from the counts of the pixel itself rises with every upward fluctuation
    and under every faint source. Means over bins of 4 σ hold the noise of many pixels; medians of
    5 × 5 such bins leave out stars, but follow what is wide: the sky, amplifiers, galaxies, the
    wings of bright stars. A median of a slope is its middle, so no ring appears about a star.

    Parameters
    ----------
    variance
        Estimated pixel by pixel, float32, shape (ny, nx).
    bad
        Pixels that do not count: all whose variance is not a positive number, same shape.
    sigma_pix
        Width of the PSF's core.

    Returns
    -------
    ndarray, float32, shape (ny, nx)
        Positive everywhere; where there is no good pixel within two bins, the median of all bins.
    """
    step = max(_LEAST_BIN_PIX, round(_BIN_SIGMA * sigma_pix))
    bins = local_medians(bin_means(variance, bad, step), _REACH_BINS)
    known = np.isfinite(bins)
    bins[~known] = np.median(bins[known]) if known.any() else 1.0
    steady = np.empty(variance.shape, np.float32)
    spread_bins(bins, step, steady)
    return steady


@dataclass(frozen=True, eq=False)
class PeakNoise:
    """Noise at peaks, the photons of what is there included, against that of the surroundings.

    Parameters
    ----------
    variance, steady
        Of each pixel, and what :func:`steady_variance` made of it, shape (ny, nx).
    bad
        Pixels that do not count, same shape.
    taps
        Kernel of the matched filter along one axis.
    """

    variance: Float32
    steady: Float32
    bad: Bool
    taps: Float32

    def ratio(self, row: NDArray[np.int32], column: NDArray[np.int32]) -> Float32:
        """Return the noise of a filtered pixel over that which `steady` gives, shape (n,)."""
        ratios = variance_ratios(self.variance, self.steady, self.bad, self.taps, row, column)
        return np.asarray(np.sqrt(ratios), np.float32)
