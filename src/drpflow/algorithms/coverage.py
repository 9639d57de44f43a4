"""Which cells of HEALPix the usable part of a detector touches."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.healpix import pixel_centers_deg, pixel_radius_deg, pixels_in_circles
from drpflow.data.tan_projection import separation_deg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.geometry import ValidPolygon
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]

# Points along each side of a polygon, where its distance from the centre is looked up.
_ALONG = 16


def covered_cells(order: int, wcs: SkyWcs, polygon: ValidPolygon) -> NDArray[np.int64]:
    """Return the cells that a polygon of a detector touches, ascending.

    A cell counts if its centre is inside the polygon, or closer to it than a corner of the cell
    is to the centre: none that holds a point of the polygon is missing, and those in excess lie
    within that distance of it.

    Parameters
    ----------
    order
        Order of HEALPix.
    wcs
        Of the detector.
    polygon
        Its usable part, pixels.

    Notes
    -----
    4 ms for 5,000 cells.
    """
    x, y = _outline(polygon).T
    center = polygon.vertices.mean(axis=0)
    ra, dec = wcs.pixel_to_world_values(x, y)
    ra_0, dec_0 = (float(value) for value in wcs.pixel_to_world_values(*center))
    cell = pixel_radius_deg(order)
    reach = float(separation_deg(ra_0, dec_0, ra, dec).max()) + cell
    cells = pixels_in_circles(order, ra_0, dec_0, reach, finer=0)[1]
    at_x, at_y = wcs.world_to_pixel_values(*pixel_centers_deg(order, cells))
    cell_pix = cell * 3600 / float(wcs.pixel_scale_arcsec(*center))
    inside = polygon.contains(at_x, at_y)
    outside = np.flatnonzero(~inside & np.isfinite(at_x + at_y))
    near = _distance_pix(polygon, at_x[outside], at_y[outside]) <= cell_pix
    inside[outside[near]] = True
    return cells[inside]


def _outline(polygon: ValidPolygon) -> Floats:
    """Return points along the sides, shape (n, 2)."""
    start, end = polygon.vertices, np.roll(polygon.vertices, -1, axis=0)
    share = np.arange(_ALONG)[:, None, None] / _ALONG
    points: Floats = (start + share * (end - start)).reshape(-1, 2)
    return points


def _distance_pix(polygon: ValidPolygon, x: Floats, y: Floats) -> Floats:
    """Return the distances of points from the nearest side, pixels."""
    nearest = np.full(x.size, np.inf)
    corners = polygon.vertices
    for (xa, ya), (xb, yb) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length2 = (xb - xa) ** 2 + (yb - ya) ** 2
        along = ((x - xa) * (xb - xa) + (y - ya) * (yb - ya)) / max(length2, 1e-30)
        along = np.clip(along, 0.0, 1.0)
        apart = np.hypot(x - xa - along * (xb - xa), y - ya - along * (yb - ya))
        nearest = np.minimum(nearest, apart)
    return nearest
