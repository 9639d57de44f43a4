"""What the background leaves under the stars, as far as it differs from star to star.

In a cluster that is the light of stars too faint to be detected, elsewhere an error of the
background. Left in, it widens faint stars and flattens their wings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.psf_fit.stamps import cut
from drpflow.algorithms.psf_fit.stars import Places, compare, improve_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.final_characterization.cutouts import DetectorPixels
    from drpflow.algorithms.psf_fit.neighbors import Neighbors
    from drpflow.algorithms.psf_fit.stars import Comparison
    from drpflow.config.final_psf import FinalPsfConfig
    from drpflow.data.psf import PixelGridPsf

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]

# The rim of an image begins at this part of its half size.
_RIM = 0.63
_FEWEST = 10
# Of the square of a normal variable.
_MEDIAN_CHI2 = 0.4549
_BISECTIONS = 50
_ROUNDS = 3
# Part of the noise of a pixel up to which levels may be the far light of the stars themselves:
# taken off in a sparse field (levels of 0.03 to 0.05), it leaves aperture corrections 1 to 2 mmag
# too small. Crowded fields have 0.35 and more.
_OWN_LIGHT = 0.1
_STRIDE = 8
# Stars at a time: 30 MB with 41 x 41 pixels.
_STACK = 128


def level_error(seen: Sequence[Comparison]) -> float:
    """Return the expected size of levels, electrons a pixel; 0 if noise explains the rims.

    Parameters
    ----------
    seen
        Models beside the stars.

    Notes
    -----
    On the rim of its image a star shows what the background leaves and, in proportion to its
    flux, what the model lacks; the latter is told by the brighter half of the stars. The size is
    that for which the median of χ² is that of a normal variable, so that a few stars beside
    something bright do not count.
    """
    rims = [_rim(s) for s in seen if len(s.residual)]
    value, error2, flux = (np.concatenate(part) for part in zip(*rims, strict=True))
    good = np.isfinite(value) & (flux > 0)
    value, error2, flux = value[good], error2[good], flux[good]
    if len(value) < _FEWEST:
        return 0.0
    bright = flux >= np.median(flux)
    off2 = np.square(value - flux * np.median(value[bright] / flux[bright]))
    if np.median(off2 / error2) <= _MEDIAN_CHI2:
        return 0.0
    low, high = 0.0, float(off2.max()) / _MEDIAN_CHI2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        wide = np.median(off2 / (error2 + middle)) < _MEDIAN_CHI2
        low, high = (low, middle) if wide else (middle, high)
    return float(np.sqrt(low))


def _rim(seen: Comparison) -> tuple[Floats, Floats, Floats]:
    """Return the mean residual on the rim of each star, its variance, and the flux."""
    half = seen.model.shape[1] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    weight = np.where(np.hypot(x, y) > _RIM * half, seen.weight, 0.0)
    total = weight.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (weight * seen.residual).sum(axis=(1, 2)) / total
    if seen.places.level is not None:
        value = value + seen.places.level
    return value, 1 / np.where(total > 0, total, np.nan), seen.places.flux


def with_levels(places: Places, error: float) -> Places:
    """Return places that have levels if these have a size, and none otherwise."""
    if error <= 0:
        return replace(places, level=None)
    if places.level is not None:
        return places
    return replace(places, level=np.zeros(len(places.flux)))


def levels_under(
    pixels: DetectorPixels,
    neighbors: Neighbors,
    psf: PixelGridPsf,
    start: tuple[Floats, Floats, Floats],
    color: Floats,
    error: float,
    half_size: int,
    config: FinalPsfConfig,
) -> Floats:
    """Return what the background leaves under each star of a detector, electrons a pixel, (N,).

    Flux, place and level of each star are fitted together with a known PSF, as when that was
    made: a level that the star does not show is that of the prior, zero. The variance of the
    prior is what levels have beyond a tenth of the noise of a pixel; up to that there are none.

    Parameters
    ----------
    pixels, neighbors, psf
        The detector's.
    start
        x, y [pix] and flux [electron], good to a pixel and a factor of two, shape (N,). A star
        that has none of these has no level.
    color
        Mag; NaN where unknown.
    error
        Expected size of levels, electrons a pixel.
    half_size
        Of the images, pixels.
    config
        How.
    """
    levels = np.zeros(len(color))
    x, y, flux = (np.asarray(v, np.float64) for v in start)
    rows = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (flux > 0) & np.isfinite(flux))
    left = error**2 - _OWN_LIGHT**2 * _sky_variance(pixels)
    if left <= 0:
        return levels
    known = None
    if psf.color_ref is not None:
        known = np.where(np.isfinite(color), color, psf.color_ref)
    spoiled = pixels.spoiled
    for first in range(0, len(rows), _STACK):
        k = rows[first : first + _STACK]
        stamps = cut(pixels.image, pixels.variance, spoiled, x[k], y[k], half_size, neighbors)
        at = x[k] - stamps.column, y[k] - stamps.row
        places = Places(flux[k], *at, np.zeros(len(k)))
        limits = config.relative_error, config.outlier_sigma
        for _ in range(_ROUNDS):
            seen = compare(psf, stamps, places, *limits, None if known is None else known[k])
            places = improve_places(seen, level_error=left**0.5)
        assert places.level is not None
        levels[k] = np.where(np.isfinite(places.level), places.level, 0.0)
    return levels


def _sky_variance(pixels: DetectorPixels) -> float:
    """Return the variance of the median pixel; 0 if none has one."""
    variance = pixels.variance[::_STRIDE, ::_STRIDE]
    good = np.isfinite(variance) & (variance > 0)
    return float(np.median(variance[good])) if good.any() else 0.0


def level_image(
    shape: tuple[int, int], x: Floats, y: Floats, levels: Floats, reach: float
) -> Float32:
    """Return the levels as an image: of the nearest star, zero further than `reach` from all.

    Parameters
    ----------
    shape
        (ny, nx).
    x, y, levels
        Of the stars, pixels and electrons a pixel, shape (N,).
    reach
        Pixels.
    """
    image, nearest = np.zeros(shape, np.float32), np.full(shape, reach**2, np.float32)
    half = int(np.ceil(reach))
    for k in np.flatnonzero(levels):
        row, column = round(y[k]), round(x[k])
        part = np.s_[
            max(row - half, 0) : max(row + half + 1, 0),
            max(column - half, 0) : max(column + half + 1, 0),
        ]
        rows, columns = (np.arange(n)[p] for n, p in zip(shape, part, strict=True))
        distance2 = np.square(rows - y[k])[:, None] + np.square(columns - x[k])
        nearer = distance2 < nearest[part]
        image[part][nearer] = levels[k]
        nearest[part][nearer] = distance2[nearer]
    return image
