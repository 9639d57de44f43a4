"""The noise of an image tile by tile, as if nothing but sky were in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.tiled_plane import tiles_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Bools = NDArray[np.bool_]

# Median absolute value of a normal deviate.
_MAD_PER_SIGMA = 0.6744897501960817
# A tile with fewer pairs of empty pixels gets its noise from its variance instead. Of so many
# pairs the noise is known to 5 %.
_MIN_PAIRS = 250
# Every so many rows of a tile are enough.
_ROW_STEP = 2
# In a tile full of sources the sky is about this quantile of the variance.
_SKY_QUANTILE = 0.25


@dataclass(frozen=True, eq=False)
class TileNoise:
    """Noise and variance of the sky in each tile.

    Parameters
    ----------
    sigma
        Standard deviation of a pixel, shape (n,); NaN for tiles without a pixel that counts.
    variance
        Variance of the sky according to the variance plane, shape (n,); NaN as above.
    n_measured
        Tiles whose noise was measured; that of the others follows from their variance.
    """

    sigma: Float64
    variance: Float64
    n_measured: int


def tile_noise(
    image: Float32,
    variance: Float32,
    sources: Bools,
    unusable: Bools,
    tile_shape: tuple[int, int],
) -> TileNoise:
    """Measure the noise of each tile from its pixels without sources.

    It is the median absolute difference of neighbours along rows, over √2 · 0.6745: neither a
    gradient of the sky nor a halo counts. In tiles that are full of sources it is
    κ √v, v the lower quartile of the variance, κ the median of σ / √v over the tiles that were
    measured.

    Parameters
    ----------
    image, variance
        Shape (ny, nx).
    sources
        Pixels of detected sources.
    unusable
        Pixels whose values say nothing of the noise: without data, defective, saturated, filled.
    tile_shape
        Rows and columns of a tile.
    """
    good = ~unusable & np.isfinite(image) & np.isfinite(variance)
    empty = good & ~sources
    tiles = list(tiles_of(image.shape, tile_shape))
    sigma = np.full(len(tiles), np.nan)
    sky = np.full(len(tiles), np.nan)
    for t, tile in enumerate(tiles):
        rows = slice(tile[0].start, tile[0].stop, _ROW_STEP), tile[1]
        sigma[t] = _sigma(image[rows], empty[rows])
        sky[t] = _sky_variance(variance[rows], empty[rows], good[rows])
    measured = np.isfinite(sigma)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = sigma / np.sqrt(sky)
        ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
        kappa = float(np.median(ratio)) if ratio.size else 1.0
        sigma = np.where(measured, sigma, kappa * np.sqrt(sky))
    return TileNoise(sigma, sky, int(measured.sum()))


def _sigma(image: Float32, empty: Bools) -> float:
    """Return the noise of some rows, NaN if they have too few pairs of empty neighbours."""
    pairs = empty[:, 1:] & empty[:, :-1]
    if np.count_nonzero(pairs) < _MIN_PAIRS:
        return float("nan")
    difference = image[:, 1:][pairs] - image[:, :-1][pairs]
    return float(np.median(np.abs(difference))) / _MAD_PER_SIGMA / 2**0.5


def _sky_variance(variance: Float32, empty: Bools, good: Bools) -> float:
    """Return the median variance of the empty pixels, or the lower quartile of all good ones."""
    if np.count_nonzero(empty) >= _MIN_PAIRS:
        return float(np.median(variance[empty]))
    if not good.any():
        return float("nan")
    return float(np.quantile(variance[good], _SKY_QUANTILE))
