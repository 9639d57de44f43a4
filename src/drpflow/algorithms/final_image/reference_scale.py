"""The scale of the reference flux of an image, where another flux was calibrated.

In crowded fields zero points hold for PSF fluxes. The reference flux, a sum over an aperture, is on
their scale as far as the aperture correction of the image is right, and that is the median over
stars that have neighbours in the aperture: some per cent off, for all sources of the image alike.
What a star has more in the aperture than by the PSF is much the same in all visits, and tells by
how much an image is off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.flux_ratios import FluxRatios

    Floats = NDArray[np.float64]

_ROUNDS = 20
_FEWEST_IMAGES, _FEWEST_STARS = 3, 5
_SETTLED = 1e-5


def reference_offset(ratios: FluxRatios) -> tuple[float, int]:
    """Return by how much ln of the reference flux is off on the image, and how many stars tell.

    The medians of two ways (Tukey 1977, Exploratory Data Analysis, ch. 11): ratio = excess of the
    star + offset of the image, the median offset of the images zero. Stars count that are on three
    images at least; 0 and 0 where fewer than five are.
    """
    good = np.isfinite(ratios.log_ratio)
    _, row, number = np.unique(ratios.star[good], return_inverse=True, return_counts=True)
    good[good] = number[row] >= _FEWEST_IMAGES
    values, here = ratios.log_ratio[good], ratios.here[good]
    if np.count_nonzero(here) < _FEWEST_STARS:
        return 0.0, 0
    star, image = (
        np.unique(ids[good], return_inverse=True)[1] for ids in (ratios.star, ratios.image)
    )
    offset = np.zeros(image.max() + 1)
    for _ in range(_ROUNDS):
        excess = _medians(star, values - offset[image])
        new = _medians(image, values - excess[star])
        new -= np.median(new)
        moved, offset = float(np.abs(new - offset).max()), new
        if moved < _SETTLED:
            break
    return float(offset[image[here][0]]), int(np.count_nonzero(here))


def _medians(group: NDArray[np.intp], values: Floats) -> Floats:
    """Return the median of each group; groups are numbered without a gap."""
    order = np.argsort(group, kind="stable")
    parts = np.split(values[order], np.flatnonzero(np.diff(group[order])) + 1)
    return np.array([np.median(part) for part in parts])
