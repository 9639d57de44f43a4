"""What the background leaves under the stars, as far as it differs from star to star.

In a cluster that is the light of stars too faint to be detected, elsewhere an error of the
background. Left in, it widens faint stars and flattens their wings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.psf_fit.stars import Comparison, Places

    Floats: TypeAlias = NDArray[np.float64]

# The rim of an image begins at this part of its half size.
_RIM = 0.63
_FEWEST = 10
# Of the square of a normal variable.
_MEDIAN_CHI2 = 0.4549
_BISECTIONS = 50


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
