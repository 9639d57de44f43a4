"""Cells that a detector touches, against its own points."""

from __future__ import annotations

import healpy
import numpy as np
import pytest

from drpflow.algorithms.coverage import covered_cells
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.moc import Moc
from tests.data.wcs_cases import NX, NY, wcs_at

ORDER = 13
NOTCHED = np.array([(0, 0), (2000, 0), (2000, 1500), (1000, 1600), (900, 4000), (0, 4000)], float)
POLYGONS = [ValidPolygon.from_box(Box(0, NX, 0, NY)), ValidPolygon(NOTCHED)]


@pytest.mark.parametrize("polygon", POLYGONS, ids=["whole", "notched"])
@pytest.mark.parametrize(("ra", "dec"), [(150.0, 2.0), (0.002, -42.0), (77.0, 89.9)])
def test_every_point_is_covered_and_little_else(ra, dec, polygon):
    wcs = wcs_at(ra, dec)
    moc = Moc(ORDER, covered_cells(ORDER, wcs, polygon))
    x, y = np.random.default_rng(3).uniform([[-0.5], [-0.5]], [[NX - 0.5], [NY - 0.5]], (2, 50_000))
    inside = polygon.contains(x, y)
    lon, lat = wcs.pixel_to_world_values(x, y)
    assert moc.contains(lon[inside], lat[inside]).all()
    # Cells reach at most two of their radii beyond the polygon.
    cell = healpy.max_pixrad(1 << ORDER, degrees=True)
    scale_deg = float(wcs.pixel_scale_arcsec(NX / 2, NY / 2)) / 3600
    least = polygon.area_pix * scale_deg**2
    sides = np.linalg.norm(polygon.vertices - np.roll(polygon.vertices, 1, axis=0), axis=1).sum()
    assert least < moc.area_deg2 < least + 2 * cell * (sides * scale_deg + 4 * cell)
    far = ~inside & (np.hypot(x - 1700, y - 3000) < 200)
    assert not moc.contains(lon[far], lat[far]).any()


def test_a_finer_order_hugs_the_polygon():
    wcs, polygon = wcs_at(30.0, -30.0), POLYGONS[1]
    areas = [Moc(k, covered_cells(k, wcs, polygon)).area_deg2 for k in (11, 13, 15)]
    assert areas[0] > areas[1] > areas[2]
    scale_deg = float(wcs.pixel_scale_arcsec(NX / 2, NY / 2)) / 3600
    assert areas[2] == pytest.approx(polygon.area_pix * scale_deg**2, rel=0.06)
