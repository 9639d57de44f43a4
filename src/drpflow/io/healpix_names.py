"""Where a HEALPix pixel lies, from the number in a file's name.

Readers of sharded catalogues need the centre and the size of pixels and nothing else, for which
importing a HEALPix library (0.5 s) does not pay. Górski et al. (2005, ApJ 622, 759), section 5,
nested scheme.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

# Ring (in units of nside, from the north pole) and longitude (in units of 45°) of the southern
# corner of each base pixel.
_RING = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
_LONGITUDE = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])
_NAME = re.compile(r"order=(\d+)/pixel=(\d+)\.parquet$")


def pixel_path(folder: Path, order: int, pixel: int) -> Path:
    """Return the file of a pixel: ``<folder>/order=<order>/pixel=<pixel>.parquet``."""
    return folder / f"order={order}" / f"pixel={pixel}.parquet"


def pixel_of_path(path: Path) -> tuple[int, int] | None:
    """Return order and pixel that a file's name states, or None."""
    found = _NAME.search(path.as_posix())
    return None if found is None else (int(found[1]), int(found[2]))


def pixel_centers_deg(
    order: int, pixel: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right ascension and declination of the centres of nested pixels.

    Parameters
    ----------
    order
        Resolution; 4^order pixels in each of the 12 base pixels.
    pixel
        Numbers in the nested scheme.
    """
    nside, number = 1 << order, np.asarray(pixel, np.int64)
    face, inner = number >> 2 * order, number & (nside * nside - 1)
    x, y = _even_bits(inner, order), _even_bits(inner >> 1, order)
    ring = _RING[face] * nside - x - y - 1
    in_ring = np.minimum(np.minimum(ring, 4 * nside - ring), nside)
    height = np.where(
        in_ring == nside,
        (2 * nside - ring) * 2.0 / (3 * nside),
        np.sign(2 * nside - ring) * (1 - (in_ring / nside) ** 2 / 3),
    )
    longitude = 45.0 * (_LONGITUDE[face] + (x - y) / in_ring)
    return longitude % 360.0, np.degrees(np.arcsin(height))


def pixel_radius_deg(order: int) -> float:
    """Return the largest distance of a pixel's corner from its centre, over the sphere."""
    # Widest are the pixels that touch the corners of the polar caps: from z = 2/3 to the corner.
    nside = 1 << order
    z_corner = 1 - (1 - 1 / nside) ** 2 / 3
    angle = np.pi / (4 * nside)
    z = 2 / 3
    cosine = z * z_corner + np.sqrt((1 - z * z) * (1 - z_corner**2)) * np.cos(angle)
    return float(np.degrees(np.arccos(cosine)))


def _even_bits(number: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Return the number made of bits 0, 2, 4 and so on."""
    found = np.zeros_like(number)
    for bit in range(order):
        found |= ((number >> 2 * bit) & 1) << bit
    return found
