"""Cosmic rays in masks against the charge that they left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class CosmicRayCounts:
    """Pixels counted on one frame."""

    hit: int
    """Hit by more than the threshold."""
    hit_masked: int
    core: int
    """In the cores of stars, and not hit."""
    core_masked: int

    def __add__(self, other: CosmicRayCounts) -> CosmicRayCounts:
        return CosmicRayCounts(
            self.hit + other.hit,
            self.hit_masked + other.hit_masked,
            self.core + other.core,
            self.core_masked + other.core_masked,
        )


def count_cosmic_rays(
    masked: Bools,
    electron: NDArray[Any],
    sigma_electron: float,
    cores: Bools,
    usable: Bools,
    threshold: float = 10.0,
) -> CosmicRayCounts:
    """Compare a mask with the charge that cosmic rays left.

    Parameters
    ----------
    masked
        What was taken for cosmic rays.
    electron
        Charge of cosmic rays, electrons.
    sigma_electron
        Noise of the sky.
    cores
        Pixels in the cores of stars.
    usable
        Pixels that count: neither saturated nor defective.
    threshold
        Charge in units of the noise above which a pixel should be found. A core pixel with more
        than half a sigma of it is not counted as falsely masked, nor are its neighbours.
    """
    from scipy.ndimage import binary_dilation

    hit = usable & (electron > threshold * sigma_electron)
    touched = binary_dilation(electron > 0.5 * sigma_electron, np.ones((3, 3), bool))
    clean = usable & cores & ~touched
    return CosmicRayCounts(
        int(hit.sum()), int((hit & masked).sum()), int(clean.sum()), int((clean & masked).sum())
    )


def star_cores(shape: tuple[int, int], x: ArrayLike, y: ArrayLike, radius_pix: float) -> Bools:
    """Return the pixels whose centres lie within a radius of stars."""
    cores = np.zeros(shape, bool)
    reach = int(np.ceil(radius_pix))
    for cx, cy in zip(np.asarray(x, float), np.asarray(y, float), strict=True):
        column, row = round(cx), round(cy)
        x0, x1 = max(column - reach, 0), min(column + reach + 1, shape[1])
        y0, y1 = max(row - reach, 0), min(row + reach + 1, shape[0])
        v, u = np.mgrid[y0:y1, x0:x1]
        cores[y0:y1, x0:x1] |= (u - cx) ** 2 + (v - cy) ** 2 <= radius_pix**2
    return cores
