"""Bright objects: circles and boxes on the sky within which a coadd is not to be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.geometry import Box, ValidPolygon

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drpflow.data.sky_wcs import SkyWcs

    Bool: TypeAlias = NDArray[np.bool_]

_DEG_TO_ARCSEC = 3600.0
# Corners of the polygon that stands for a circle: it is 0.2 % of the radius too small at most.
_CORNERS = 48


@dataclass(frozen=True)
class BrightObject:
    """A circle or a box.

    Parameters
    ----------
    ra_deg, dec_deg
        Its centre.
    width_deg, height_deg
        Its size along east and north before it is turned; both the diameter of a circle.
    angle_deg
        Position angle of its height, from north through east.
    is_circle
        Whether it is a circle.

    Raises
    ------
    ValueError
        If a number is not finite, or a size not positive.
    """

    ra_deg: float
    dec_deg: float
    width_deg: float
    height_deg: float
    angle_deg: float = 0.0
    is_circle: bool = False

    def __post_init__(self) -> None:
        numbers = self.ra_deg, self.dec_deg, self.width_deg, self.height_deg, self.angle_deg
        if not np.isfinite(numbers).all():
            raise ValueError(f"a bright object has finite numbers, not {numbers}")
        if not (self.width_deg > 0 and self.height_deg > 0 and -90 <= self.dec_deg <= 90):
            raise ValueError(f"a bright object has a size and a declination, not {numbers}")

    @classmethod
    def circle(cls, ra_deg: float, dec_deg: float, radius_deg: float) -> BrightObject:
        """Return a circle."""
        return cls(ra_deg, dec_deg, 2 * radius_deg, 2 * radius_deg, is_circle=True)

    def outline(self, wcs: SkyWcs) -> ValidPolygon | None:
        """Return the outline in pixels of an image; None if it does not lie on its plane."""
        x, y = wcs.world_to_pixel_values(self.ra_deg, self.dec_deg)
        if not np.isfinite([x, y]).all():
            return None
        if self.is_circle:
            turn = 2 * np.pi * np.arange(_CORNERS) / _CORNERS
            corners = np.array([np.sin(turn), np.cos(turn)]) * self.height_deg / 2
        else:
            signs = np.array([(-1, 1, 1, -1), (-1, -1, 1, 1)])
            half = np.array([[self.width_deg], [self.height_deg]]) / 2
            t = np.deg2rad(self.angle_deg)
            # The height points to (sin t, cos t) in (east, north), the width to (cos t, -sin t).
            turn_by = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
            corners = turn_by @ (signs * half)
        pixels = np.linalg.solve(wcs.linearize(x, y), corners * _DEG_TO_ARCSEC)
        return ValidPolygon(np.column_stack([x + pixels[0], y + pixels[1]]))


def paint_objects(objects: Iterable[BrightObject], wcs: SkyWcs, box: Box) -> Bool:
    """Return which pixels of a box lie in bright objects.

    Parameters
    ----------
    objects
        The objects; those far away cost nothing but their place.
    wcs
        Of the image.
    box
        The pixels.
    """
    marked = np.zeros(box.shape, bool)
    for item in objects:
        outline = item.outline(wcs)
        if outline is None:
            continue
        low, high = outline.vertices.min(axis=0), outline.vertices.max(axis=0)
        if (high < (box.x0 - 1, box.y0 - 1)).any() or (low > (box.x1, box.y1)).any():
            continue
        x0, y0 = np.floor(low).astype(int)
        x1, y1 = np.ceil(high).astype(int) + 1
        part = Box(x0, x1, y0, y1).intersect(box)
        if not part.is_empty:
            marked[part.slices(box.xy0)] |= outline.rasterize(part)
    return marked
