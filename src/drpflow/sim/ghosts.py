"""Ghosts: out-of-focus images of the pupil from light reflected twice on its way.

A ghost is a ring (the telescope's pupil with its central hole). Its centre lies on the line
through the star and the optical axis, at a multiple of the star's distance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from drpflow.sim.instrument import SimDetector

CENTRAL_HOLE = 0.36
"""Inner over outer radius."""


class Reflection(NamedTuple):
    """One pair of reflecting surfaces: where, how large and how bright its ghosts are."""

    magnification: float
    radius_mm: float
    share: float


# A filter's two faces; the window and the CCD; a lens and the CCD.
REFLECTIONS = (
    Reflection(1.08, 0.75, 0.35),
    Reflection(1.22, 1.35, 0.35),
    Reflection(-0.75, 2.1, 0.30),
)


def ghost_image(
    detector: SimDetector,
    star_mm: tuple[float, float],
    flux_electron: float,
) -> tuple[np.ndarray, int, int] | None:
    """Return all ghosts of a star that fall on a detector.

    Parameters
    ----------
    detector
        The detector.
    star_mm
        Place of the star's image in the focal plane.
    flux_electron
        Electrons in all its ghosts.

    Returns
    -------
    tuple or None
        The image of the part of the detector that holds them, and its first column and row.
    """
    parts = [_ring(detector, star_mm, flux_electron, r) for r in REFLECTIONS]
    found = [p for p in parts if p is not None]
    if not found:
        return None
    x0, y0 = min(p[1] for p in found), min(p[2] for p in found)
    x1 = max(p[1] + p[0].shape[1] for p in found)
    y1 = max(p[2] + p[0].shape[0] for p in found)
    image = np.zeros((y1 - y0, x1 - x0))
    for ring, x, y in found:
        image[y - y0 : y - y0 + ring.shape[0], x - x0 : x - x0 + ring.shape[1]] += ring
    return image, x0, y0


def _ring(
    detector: SimDetector,
    star_mm: tuple[float, float],
    flux_electron: float,
    reflection: Reflection,
) -> tuple[np.ndarray, int, int] | None:
    nx, ny = detector.size_pix
    m = reflection.magnification
    x, y = detector.focal_to_pixel(np.array(m * star_mm[0]), np.array(m * star_mm[1]))
    radius = reflection.radius_mm / detector.pixel_size_mm
    reach = radius + 6.0
    x0, x1 = max(int(x - reach), 0), min(int(x + reach) + 1, nx)
    y0, y1 = max(int(y - reach), 0), min(int(y + reach) + 1, ny)
    if x0 >= x1 or y0 >= y1:
        return None
    r = np.hypot(np.arange(y0, y1)[:, None] - float(y), np.arange(x0, x1)[None, :] - float(x))
    ring = _soft_edge(radius - r) * _soft_edge(r - CENTRAL_HOLE * radius)
    area = np.pi * radius**2 * (1 - CENTRAL_HOLE**2)
    return ring * (reflection.share * flux_electron / area), x0, y0


def _soft_edge(inside_pix: np.ndarray) -> np.ndarray:
    """Return a step blurred over two pixels."""
    return np.clip(0.5 + inside_pix / 4.0, 0.0, 1.0)
