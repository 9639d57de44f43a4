"""Circles and boxes on the sky, as pixels."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.bright_objects import BrightObject, paint_objects
from drpflow.data.geometry import Box
from drpflow.data.plane_maps import AffineMap
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection

ARCSEC = 1 / 3600
BOX = Box(-100, 100, -80, 90)
# East is to the left, pixels are 0.5 arcsec.
WCS = SkyWcs(
    (("detector", AffineMap(np.diag([-0.5, 0.5]) * ARCSEC, np.zeros(2))),),
    TanProjection(30.0, -60.0),
    (200, 200),
)


def _pixels(item: BrightObject) -> np.ndarray:
    return paint_objects([item], WCS, BOX)


def test_circle() -> None:
    marked = _pixels(BrightObject.circle(30.0, -60.0, 15 * ARCSEC))
    y, x = np.mgrid[BOX.y0 : BOX.y1, BOX.x0 : BOX.x1]
    distance = np.hypot(x, y)
    assert marked[distance < 29.7].all()
    assert not marked[distance > 30.3].any()


def test_box_is_turned_from_north_to_east() -> None:
    """A box that is long to the north, turned by 30 degrees, points to the upper left."""
    item = BrightObject(30.0, -60.0, 5 * ARCSEC, 40 * ARCSEC, 30.0)
    marked = _pixels(item)
    assert marked.sum() == pytest.approx(10 * 80, rel=0.03)
    y, x = np.nonzero(marked)
    slope = np.polyfit(y, x, 1)[0]
    assert slope == pytest.approx(-np.tan(np.radians(30)), rel=0.1)
    straight = _pixels(BrightObject(30.0, -60.0, 40 * ARCSEC, 5 * ARCSEC))
    assert straight.any(axis=0).sum() == 80
    assert straight.any(axis=1).sum() == pytest.approx(10, abs=1)


def test_what_is_elsewhere_marks_nothing() -> None:
    assert not _pixels(BrightObject.circle(31.0, -60.0, ARCSEC)).any()
    assert not _pixels(BrightObject.circle(210.0, 60.0, ARCSEC)).any()
    with pytest.raises(ValueError, match="size"):
        BrightObject.circle(1.0, 2.0, 0.0)
